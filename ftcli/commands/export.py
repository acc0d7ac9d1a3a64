"""`ft export`: a trained checkpoint into a file that separates."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from exporters import Precision
from ftcore import plugins
from ftcore.errors import FtError, UsageError

if TYPE_CHECKING:
    from ftcore.checkpoint import Checkpoint

app = typer.Typer()


@app.command()
def export(
    file_format: Annotated[str, typer.Argument(metavar="FORMAT", help="onnx, or a format that a plugin adds.")],
    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint (.safetensors).")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The file to write.")],
    precision: Annotated[
        Precision,
        typer.Option(
            help="Of the weights. fp32 is exact, fp16 halves the file; int8 does too and is for large networks on CPUs."
        ),
    ] = "fp32",
) -> None:
    """Export a trained checkpoint for separation, checked against the original."""
    found = plugins.discover("ft.exporters")
    if file_format not in found:
        raise UsageError(f"no export format {file_format!r}; installed: {', '.join(found) or 'none'}")
    loaded = load_checkpoint(checkpoint)
    if not out.parent.is_dir():
        raise FtError(f"{out.parent}: no such folder")
    entry = found[file_format]
    exporter = plugins.load(entry)
    try:
        for row in exporter.export(loaded, out, precision=precision):
            typer.echo(str(row))
        typer.echo(f"{out}: {precision}, {out.stat().st_size / 1e6:.1f} MB")
    except Exception as error:
        if isinstance(error, FtError) or plugins.is_ours(entry):
            raise
        raise plugins.broken(entry, error) from error


def load_checkpoint(path: Path) -> Checkpoint:
    """One of our checkpoints. Raises FtError, also where torch is not installed."""
    try:
        from ftcore import checkpoint
    except ImportError as error:
        raise FtError(f"exporting needs {error.name}: pip install 'frame-transformer[train]'") from None
    return checkpoint.load(path)

"""`ft snapshots`: the checkpoints that the original's author published."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ftcore import plugins
from ftcore.errors import FtError, UsageError

app = typer.Typer()


@app.callback()
def snapshots() -> None:
    """The checkpoints that the original's author published, and how to use them."""


@app.command("list")
def list_snapshots() -> None:
    """List them, with what each is and whether it is imported already."""
    from snapshots.published import PUBLISHED
    from snapshots.registry import known_models

    known, _ = known_models()
    for name, snapshot in PUBLISHED.items():
        state = f"use it with -m {name}" if name in known else f"see ft snapshots show {name}"
        typer.echo(f"{name}  {snapshot.title} ({snapshot.date or 'date not stated'}): {snapshot.summary}; {state}")


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="One of `ft snapshots list`.")],
    shapes: Annotated[bool, typer.Option("--shapes", help="Also every tensor that its file must hold.")] = False,
) -> None:
    """Say all that is known of one: where to get it, what it is, how it is used."""
    from snapshots.published import PUBLISHED

    if name not in PUBLISHED:
        raise UsageError(f"no snapshot {name!r}; known: {', '.join(PUBLISHED)}")
    snapshot = PUBLISHED[name]
    signal = snapshot.signal
    rows = {
        "what": f"{snapshot.title}: {snapshot.summary}",
        "date": snapshot.date or "not stated",
        "address": snapshot.address or "in the snapshots folder of the original's repository",
        "licence": snapshot.licence,
        "sha256": snapshot.sha256 or "not known",
        "audio": f"{signal.sample_rate} Hz, n_fft {signal.n_fft}, hop {signal.hop}",
        "window": f"{signal.crop} frames with {signal.pad} of context on either side",
        "output": snapshot.reading,
        "quirk": snapshot.notes or "none",
        "config": ", ".join(f"{k} {v}" for k, v in snapshot.config.to_dict().items()),
        "to use": f"ft snapshots import FILE, then ft separate song.wav -m {name}",
    }
    for key, value in rows.items():
        typer.echo(f"{key:<8} {value}")
    if shapes:
        try:
            from snapshots.original import expected_shapes

            expected = expected_shapes(snapshot.config)
        except ImportError as error:
            raise needs(error) from None
        for tensor, shape in expected.items():
            typer.echo(f"{tensor} {list(shape)}")


@app.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(help="A downloaded .pth file, or a checkpoint of ft (.safetensors).")],
    name: Annotated[str | None, typer.Option(help="What to call the model; default: the snapshot's name.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace your model of that name.")] = False,
) -> None:
    """Turn a checkpoint into a model for `ft separate -m`: recognise, convert, compare, register.

    Everything is found out from the names and shapes inside; nothing in the file is executed.
    """
    try:
        from ftcore import checkpoint
        from snapshots.importing import recognise
        from snapshots.registry import CHECKPOINT, MODEL, registering

        found = recognise(file)
    except ImportError as error:
        raise needs(error) from None
    name = name or found.name
    exporter = plugins.load(plugins.discover("ft.exporters")["onnx"])
    with registering(name, summary=found.summary, licence=found.licence, overwrite=overwrite) as folder:
        values = sum(p.numel() for p in found.checkpoint.network.parameters())
        typer.echo(f"{file}: {found.title}, {values / 1e6:.1f} million parameters")
        typer.echo("exporting to ONNX and comparing with torch; this takes some minutes", err=True)
        checkpoint.save(folder / CHECKPOINT, found.checkpoint)
        report = exporter.export(found.checkpoint, folder / MODEL, precision="fp32")
    for row in report:
        typer.echo(str(row))
    typer.echo(f"registered as {name}; use it with ft separate song.wav -m {name}")


def needs(error: ImportError) -> FtError:
    """What to install where torch is missing."""
    return FtError(f"this needs {error.name}: pip install 'frame-transformer[train]'")

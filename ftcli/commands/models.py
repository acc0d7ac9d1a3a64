"""`ft models`: what can be named after -m."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ftcli.options import separations

if TYPE_CHECKING:
    from snapshots.manifest import Manifest

app = typer.Typer()


@app.callback()
def models() -> None:
    """The models that can be used by name."""


@app.command("list")
def list_models(
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Names only.")] = False,
) -> int:
    """List them, with what each is good for, its licence and its size."""
    from ftcli.app import fail
    from snapshots.registry import known_models

    known, broken = known_models()
    for name, manifest in known.items():
        if quiet:
            typer.echo(name)
            continue
        facts = ", ".join((manifest.licence, size(manifest.path), source(manifest), *default(name)))
        typer.echo(plain(f"{name}  {manifest.summary} ({facts})"))
        if manifest.card:
            typer.echo(f"{' ' * len(name)}  card: {manifest.card}")
    for error in broken:
        fail(str(error), 1)
    return 1 if broken else 0


@app.command()
def show(name: Annotated[str, typer.Argument(help="One of `ft models list`.")]) -> int:
    """Say all that is known of one, verify its file, and print its card."""
    from ftcli.app import fail
    from ftcore.errors import FtError, Mendable
    from snapshots.registry import find_manifest

    manifest = find_manifest(name)
    rows = known(name, manifest)
    problem: FtError | None = None
    try:
        manifest.checked_path()
        rows["sha256"] += ", and the file has it"
        rows |= inside(manifest.path)
    except Mendable as error:
        problem = error
        rows["sha256"] += " expected, which the file does not have"
    except FtError as error:  # onnxruntime is missing, or the file is of another version
        problem = error
    for key, value in rows.items():
        typer.echo(plain(f"{key:<10} {value}"))
    if manifest.card and manifest.card.is_file():
        typer.echo("\n" + plain(manifest.card.read_text(encoding="utf-8", errors="replace")).rstrip())
    return fail(str(problem), 1) if problem else 0


@app.command()
def add(
    file: Annotated[Path, typer.Argument(help="An exported model (.onnx).")],
    name: Annotated[str | None, typer.Option(help="What to call it; default: the file's name.")] = None,
    sha256: Annotated[str | None, typer.Option(help="The SHA-256 that the file must have.")] = None,
    card: Annotated[
        Path | None, typer.Option(help="Its model card (Markdown); default: the file of its name with .md.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace your model of that name.")] = False,
) -> None:
    """Copy an exported model, with its card, to your own models."""
    from snapshots.adding import add_model

    name = add_model(file, name=name, expected=sha256, card=card, overwrite=overwrite)
    typer.echo(f"registered as {name}; use it with ft separate song.wav -m {name}")


@app.command()
def remove(name: Annotated[str, typer.Argument(help="One of your own models.")]) -> None:
    """Delete one of your own models."""
    from snapshots import registry

    folder = registry.remove(name)
    typer.echo(f"{folder}: removed")


def known(name: str, manifest: Manifest) -> dict[str, str]:
    """What can be said without opening the file."""
    from snapshots.registry import CHECKPOINT

    rows = {
        "name": ", ".join((name, *default(name))),
        "what": manifest.summary,
        "source": source(manifest),
        "licence": manifest.licence,
        "path": str(manifest.path),
        "size": size(manifest.path),
        "sha256": manifest.sha256,
        "card": str(manifest.card or "none"),
    }
    checkpoint = manifest.path.with_name(CHECKPOINT)
    return rows | ({"checkpoint": str(checkpoint)} if checkpoint.is_file() else {})


def inside(path: Path) -> dict[str, str]:
    """What the file says of itself. Raises FtError where it cannot be opened."""
    from ftcore.runtime import OnnxModel

    info = OnnxModel(path, "cpu").info
    signal = info.signal
    frame = signal.hop / signal.sample_rate
    return {
        "audio": f"{signal.sample_rate} Hz, n_fft {signal.n_fft}, hop {signal.hop}",
        "window": f"crop {signal.crop} frames ({signal.crop * frame:.1f} s), "
        f"pad {signal.pad} ({signal.pad * frame:.1f} s) on either side"
        + separations(signal.stereo, signal.tta, signal.postfilter),
        "precision": info.precision,
        "provenance": listed(info.provenance) or "not stated",
        "network": listed(info.network.to_dict()),
    }


def source(manifest: Manifest) -> str:
    """Whose it is."""
    return f"installed with {manifest.package}" if manifest.package else "your own"


def default(name: str) -> tuple[str, ...]:
    """Words for the one that separates unless another is named."""
    from snapshots.registry import DEFAULT

    return ("the default",) if name == DEFAULT else ()


def size(path: Path) -> str:
    """Of the file, for people."""
    return f"{path.stat().st_size / 1e6:.1f} MB" if path.is_file() else "file missing"


def listed(values: dict[str, Any]) -> str:
    """Keys and values in one line."""
    return ", ".join(f"{k} {v if isinstance(v, str) else json.dumps(v)}" for k, v in values.items())


def plain(text: str) -> str:
    """`text` without what could steer the terminal: files from elsewhere have written it."""
    return "".join(
        "\N{REPLACEMENT CHARACTER}" if unicodedata.category(c) == "Cc" and c not in "\n\t" else c for c in text
    )

"""`ft models`: what can be named after -m."""

from __future__ import annotations

from typing import Annotated

import typer

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
        size = f"{manifest.path.stat().st_size / 1e6:.1f} MB" if manifest.path.exists() else "file missing"
        typer.echo(f"{name}  {manifest.summary} ({manifest.licence}, {size})")
        if manifest.card:
            typer.echo(f"{' ' * len(name)}  card: {manifest.card}")
    for error in broken:
        fail(str(error), 1)
    return 1 if broken else 0

"""`ft karaoke`: a song without its voice, as one file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ftcore.errors import FtError, UsageError

app = typer.Typer()


@app.command()
def karaoke(
    song: Annotated[Path, typer.Argument(help="An audio file.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The file to write; its suffix says the format.")],
    model: Annotated[str, typer.Option("--model", "-m", help="A name of `ft models list`.")] = "starter",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that exists.")] = False,
) -> None:
    """Write a song without its voice, to sing to."""
    from ftcore import audio  # what is slow to import is imported when the command runs
    from ftcore.encoders import FORMATS
    from ftcore.separator import Separator

    file_format = next((known for known in FORMATS if out.suffix.lower() == f".{known}"), None)
    if file_format is None:
        raise UsageError(f"{out}: the suffix must be one of {', '.join(FORMATS)}")
    if out.exists() and not overwrite:
        raise FtError(f"{out}: exists already; give --overwrite or another -o")
    if not out.parent.is_dir():
        raise FtError(f"{out.parent}: no such folder")
    done = Separator(model).separate_to(
        audio.probe(song), {"instrumental": out}, file_format=file_format, overwrite=overwrite
    )
    typer.echo(f"{out}: {done.seconds:.1f} s of audio in {done.elapsed:.1f} s", err=True)

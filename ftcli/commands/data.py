"""`ft data`: folders of audio as training sees them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ftcore.errors import FtError

if TYPE_CHECKING:
    from ftcore.data.library import Library

app = typer.Typer()


@app.callback()
def data() -> None:
    """Check folders of audio, and prepare them for training."""


@app.command()
def check(
    folders: Annotated[list[Path], typer.Argument(metavar="DIR...", help="Folders, searched below.")],
    seconds: Annotated[float, typer.Option(help="Shorter files are reported: the length of a crop.")] = 3.0,
) -> int:
    """Say what is wrong with which file: damaged, silent, clipped, short, a copy, or not readable here.

    Nothing is changed. The exit status is 1 when anything is wrong.
    """
    from ftcore.data.prepare import check as check_files

    files, total, wrong = 0, 0.0, 0
    for path, length, defects in check_files(folders, seconds):
        files += 1
        total += length
        wrong += bool(defects)
        for defect in defects:
            typer.echo(f"{path}: {defect}")
    typer.echo(f"{files} files, {total / 3600:.2f} hours; {wrong or 'none'} with defects")
    return 1 if wrong else 0


@app.command()
def prepare(
    folders: Annotated[list[Path], typer.Argument(metavar="DIR...", help="Folders, searched below.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the decoded library.")],
    rate: Annotated[int, typer.Option(help="Sample rate in Hz: that of the models to be trained.")] = 44100,
) -> int:
    """Decode folders of one kind (music, voices) into a library that `ft train` reads without a decoder.

    Stopped, it goes on where it was; prepared twice, nothing is done twice. Takes 10 MB per minute.
    """
    from ftcli.app import fail

    problems: list[str] = []
    library = prepared(folders, out, rate, problems)
    for problem in problems:
        fail(problem, 1)
    hours = library.ends[-1] / rate / 3600
    left_out = f"; {len(problems)} files left out" if problems else ""
    typer.echo(f"{out}: {len(library.tracks)} tracks, {hours:.2f} hours at {rate} Hz{left_out}")
    return 1 if problems else 0


@app.command()
def preview(
    instrumental: Annotated[list[Path], typer.Option(help="Prepared libraries or folders of music (repeatable).")],
    vocal: Annotated[list[Path], typer.Option(help="Of voices, likewise (repeatable).")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for pictures and audio.")],
    preset: Annotated[str, typer.Option(help="Whose mixtures: original (VoxAug), starter, tiny.")] = "original",
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="One setting, as for ft train.")
    ] = None,
    items: Annotated[int, typer.Option(min=1, help="How many.")] = 4,
    seed: Annotated[int, typer.Option(help="Those of a run with this seed.")] = 0,
) -> int:
    """Draw what training hears: mixture, instrumental, vocal and presence of the first items of a run."""
    try:
        from ftcore.training.preview import preview as draw
        from ftcore.training.settings import resolve
    except ImportError as error:
        raise FtError(f"mixing needs {error.name}: pip install 'frame-transformer[train]'") from None

    config = resolve("supervised", preset, settings=settings, values={"seed": seed})
    rate, folders = config.signal.sample_rate, {"instrumental": instrumental, "vocal": vocal}
    libraries = {kind: library(chosen, out / "cache" / kind, rate) for kind, chosen in folders.items()}
    for path in draw(config, libraries, items, out):
        typer.echo(path)
    return 0


def library(folders: list[Path], cache: Path, rate: int) -> Library:
    """Prepared libraries as they are, plain folders decoded into `cache`, all as one."""
    from ftcli.app import fail
    from ftcore.data.library import Library, is_prepared, open_library

    problems: list[str] = []
    parts = [open_library(folder, rate) for folder in folders if is_prepared(folder)]
    if plain := [folder for folder in folders if not is_prepared(folder)]:
        parts.append(prepared(plain, cache, rate, problems))
    for problem in problems:
        fail(f"left out: {problem}", 1)
    return Library([track for part in parts for track in part.tracks])


def prepared(folders: list[Path], out: Path, rate: int, problems: list[str]) -> Library:
    """Prepare with a progress bar in a terminal; what was left out goes to `problems`."""
    from rich.console import Console
    from rich.progress import Progress

    from ftcore.data.prepare import prepare as prepare_files

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)
        try:
            return prepare_files(
                folders,
                out,
                rate,
                problem=problems.append,
                progress=lambda done, count, path: bar.update(
                    task, completed=done, total=count, description=path.name.replace("[", r"\[")
                ),
            )
        except ImportError as error:
            raise FtError(f"decoding needs {error.name}; or prepare the library on another machine") from None

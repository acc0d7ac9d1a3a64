"""`ft separate`: files and folders into stems."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ftcore.errors import FtError, UsageError

if TYPE_CHECKING:
    from ftcore.audio import BitDepth
    from ftcore.separator import Stem

app = typer.Typer()


@app.command()
def separate(
    inputs: Annotated[list[str], typer.Argument(metavar="INPUT...", help="Audio files, or folders to search.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the stems, made if missing.")] = Path(),
    model: Annotated[
        str, typer.Option("--model", "-m", help="A name of `ft models list`, or an .onnx file.")
    ] = "starter",
    device: Annotated[str, typer.Option("--device", "-d", help="auto, cpu, cuda or cuda:N.")] = "auto",
    stem: Annotated[Literal["all", "vocals", "instrumental"], typer.Option(help="Which stems to write.")] = "all",
    file_format: Annotated[Literal["wav", "flac", "ogg"], typer.Option("--format", help="Of the stems.")] = "wav",
    bit_depth: Annotated[
        Literal["16", "24", "32f"] | None, typer.Option(help="Of wav and flac stems; default: the input's.")
    ] = None,
    crop: Annotated[int | None, typer.Option(help="Frames per window; default: the model's.")] = None,
    pad: Annotated[int | None, typer.Option(help="Frames of context on either side; default: the model's.")] = None,
    batch: Annotated[int, typer.Option(help="Windows at once: faster on a GPU, more memory.")] = 1,
    skip_existing: Annotated[bool, typer.Option("--skip-existing", help="Leave songs whose stems exist.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace stems that exist.")] = False,
    json_events: Annotated[bool, typer.Option("--json", help="Print one JSON event a line on stdout.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
    two_stems: Annotated[str | None, typer.Option("--two-stems", hidden=True)] = None,
) -> int:
    """Split songs into vocals and instrumental.

    Writes {track}_vocals and {track}_instrumental into the output folder, at the song's own sample rate,
    channel count and bit depth. The two add up to the song.
    """
    from ftcli.report import BarReport, JsonReport, Report
    from ftcore.atomic import make_folder
    from ftcore.separator import STEMS, Separator, output_paths

    if two_stems not in (None, "vocals", "instrumental"):
        raise UsageError(f"--two-stems {two_stems}: this tool knows vocals and instrumental")
    if skip_existing and overwrite:
        raise UsageError("--skip-existing and --overwrite exclude each other")
    check_bit_depth(file_format, bit_depth)
    stems: tuple[Stem, ...] = STEMS if stem == "all" else (stem,)
    files = find_files(inputs)
    check_collisions({f: output_paths(f, out, stems, file_format).values() for f in files})
    report = JsonReport() if json_events else Report() if quiet else BarReport(len(files))
    separator = Separator(model, device=device, crop=crop, pad=pad, batch=batch)
    make_folder(out)
    report.start(separator, model, len(files))
    failed = 0
    try:
        for file in files:
            existing = [p for p in output_paths(file, out, stems, file_format).values() if p.exists()]
            if skip_existing and len(existing) == len(stems):
                report.skipped(file)
                continue
            try:
                with report.file(file) as progress:
                    if existing and not (overwrite or skip_existing):
                        raise FtError(f"{existing[0]}: exists already; give --overwrite, --skip-existing or another -o")
                    result = separator.separate_file(
                        file, out, stems=stems, file_format=file_format, bit_depth=bit_depth, progress=progress
                    )
                report.done(file, result)
            except FtError as error:
                failed += 1
                report.failed(file, error)
    finally:
        report.stop()
    report.end(len(files), failed)
    return 1 if failed else 0


def check_bit_depth(file_format: str, bit_depth: BitDepth | None) -> None:
    """Raise UsageError for a depth that the format cannot hold."""
    if file_format == "ogg" and bit_depth is not None:
        raise UsageError("--bit-depth is for wav and flac: ogg has no bit depth")
    if file_format == "flac" and bit_depth == "32f":
        raise UsageError("flac holds 16 or 24 bits, no floating point; use --format wav or --bit-depth 24")


def find_files(inputs: list[str]) -> list[Path]:
    """The files given, and the audio files below the folders given, each once. Raises FtError."""
    from ftcore import audio

    found: dict[Path, None] = {}
    for name in inputs:
        path = Path(name)
        if path.is_dir():
            found |= dict.fromkeys(audio.find(path))
        else:
            found[path] = None  # whether it exists is that file's own error
    return list(found)


def check_collisions(targets: dict[Path, Any]) -> None:
    """Raise UsageError when two inputs would write the same file, or one would overwrite an input."""
    owner: dict[Path, Path] = {}
    inputs = {file.resolve() for file in targets}
    for file, paths in targets.items():
        for path in paths:
            other = owner.setdefault(path.resolve(), file)
            if other != file:
                raise UsageError(f"{other} and {file} would both write {path}; give them different output folders")
            if path.resolve() in inputs:
                raise UsageError(f"{file} would write {path}, which is an input too; give another -o")

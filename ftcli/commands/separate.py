"""`ft separate`: files and folders into stems."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Literal

import typer

from ftcli.options import Aggression, Device, Postfilter, Stereo, TestTimeAugmentation
from ftcore.errors import UsageError

app = typer.Typer()

Format = Literal["wav", "flac", "ogg", "opus", "mp3"]
BitDepth = Literal["16", "24", "32f"]


@app.command()
def separate(
    inputs: Annotated[
        list[str], typer.Argument(metavar="INPUT...", help="Audio files, folders to search, or - for standard input.")
    ],
    out: Annotated[
        str | None,
        typer.Option(
            "--out", "-o", help="Folder for the stems, made if missing; - for standard output.", metavar="DIR"
        ),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option("--model", "-m", help="A name of `ft models list`, or an .onnx file; several: an ensemble."),
    ] = None,
    ensemble: Annotated[
        Literal["mean", "min", "max"], typer.Option(help="How the vocals of several models become one.")
    ] = "mean",
    tta: TestTimeAugmentation = None,
    postfilter: Postfilter = None,
    aggression: Aggression = 0.0,
    stereo: Stereo = None,
    device: Device = "auto",
    stem: Annotated[Literal["all", "vocals", "instrumental"], typer.Option(help="Which stems to write.")] = "all",
    file_format: Annotated[Format, typer.Option("--format", help="Of the stems.")] = "wav",
    bit_depth: Annotated[BitDepth | None, typer.Option(help="Of wav and flac stems; default: the input's.")] = None,
    filename: Annotated[
        str, typer.Option(help="How stems are called; may hold / for folders.")
    ] = "{track}_{stem}.{ext}",
    start: Annotated[float, typer.Option(help="Begin so many seconds into each song.", min=0.0)] = 0.0,
    duration: Annotated[float | None, typer.Option(help="Separate so many seconds of each song.", min=0.0)] = None,
    crop: Annotated[int | None, typer.Option(help="Frames per window; default: the model's.")] = None,
    pad: Annotated[int | None, typer.Option(help="Frames of context on either side; default: the model's.")] = None,
    batch: Annotated[int, typer.Option(help="Windows at once: faster on a GPU, more memory.")] = 1,
    jobs: Annotated[int, typer.Option("--jobs", "-j", help="Songs at once.", min=1)] = 1,
    skip_existing: Annotated[
        bool, typer.Option("--skip-existing", help="Leave songs whose stems are there and whole.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace stems that exist.")] = False,
    plot: Annotated[bool, typer.Option("--plot", help="Also draw mixture and stems, as {track}_plot.png.")] = False,
    json_events: Annotated[bool, typer.Option("--json", help="Print one JSON event a line on stdout.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more: of the model, of each file.")] = False,
    two_stems: Annotated[str | None, typer.Option("--two-stems", hidden=True)] = None,
) -> int:
    """Split songs into vocals and instrumental.

    Writes {track}_vocals and {track}_instrumental into the output folder, at the song's own sample rate,
    channel count and bit depth, with its tags. The two add up to the song.
    """
    from ftcli.batch import Batch, reporter
    from ftcore import jobs as songs
    from ftcore import pipes
    from ftcore.separator import STEMS, Separator
    from snapshots.registry import DEFAULT

    if two_stems not in (None, "vocals", "instrumental"):
        raise UsageError(f"--two-stems {two_stems}: this tool knows vocals and instrumental")
    if skip_existing and overwrite:
        raise UsageError("--skip-existing and --overwrite exclude each other")
    check_bit_depth(file_format, bit_depth)
    piped = out == "-" or (out is None and "-" in inputs)
    if piped:
        check_pipe(inputs, stem, file_format, occupied=json_events, plot=plot)
    names = model or [DEFAULT]
    with contextlib.ExitStack() as stack:
        separator = Separator(
            names,
            device=device,
            crop=crop,
            pad=pad,
            batch=batch,
            aggression=aggression,
            stereo=stereo,
            tta=tta,
            postfilter=postfilter,
            ensemble=ensemble,
        )
        sources = [str(stack.enter_context(pipes.from_stdin())) if name == "-" else name for name in inputs]
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="ft-")) if piped else out or "."
        stems = STEMS if stem == "all" else (stem,)
        planned = songs.plan(sources, Path(folder), stems=stems, file_format=file_format, name=filename)
        todo = Batch(
            separator=separator,
            models=names,
            report=reporter(
                len(planned), json_events=json_events, quiet=quiet or (piped and not verbose), verbose=verbose
            ),
            file_format=file_format,
            bit_depth=bit_depth,
            start=start,
            duration=duration,
            skip_existing=skip_existing,
            overwrite=overwrite,
            plot=plot,
        )
        failed = todo.run(planned, at_once=jobs)
        if piped and not failed:
            pipes.to_stdout(planned[0].targets[stems[0]])
    return 1 if failed else 0


def check_bit_depth(file_format: Format, bit_depth: BitDepth | None) -> None:
    """Raise UsageError for a depth that the format cannot hold."""
    if bit_depth is None:
        return
    if file_format == "flac" and bit_depth == "32f":
        raise UsageError("flac holds 16 or 24 bits, no floating point; use --format wav or --bit-depth 24")
    if file_format not in ("wav", "flac"):
        raise UsageError(f"--bit-depth is for wav and flac: {file_format} has no bit depth")


def check_pipe(inputs: list[str], stem: str, file_format: str, *, occupied: bool, plot: bool) -> None:
    """Raise UsageError for what standard output cannot carry."""
    if stem == "all" or len(inputs) > 1 or Path(inputs[0]).is_dir():
        raise UsageError("standard output carries one stem of one song: give --stem vocals or instrumental, or -o DIR")
    if file_format != "wav" or occupied or plot:
        raise UsageError(
            "standard output carries the stem, as WAV: leave out --format, --json and --plot, or give -o DIR"
        )
    if sys.stdout.isatty():
        raise UsageError("standard output is a terminal; send the stem into a file or a pipe, or give -o DIR")

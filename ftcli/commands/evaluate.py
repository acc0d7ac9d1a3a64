"""`ft evaluate`: how well a model separates songs whose stems are known."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ftcli.options import Aggression, Device, Postfilter, Stereo, TestTimeAugmentation
from ftcore.errors import FtError

if TYPE_CHECKING:
    from ftcore.runtime import Model

app = typer.Typer()

VERSION = 1
"""Version of the JSON that --json writes."""


@app.command()
def evaluate(
    pairs: Annotated[Path, typer.Argument(help="Folder of pairs: per track mixture.* and instrumental.* or vocals.*")],
    model: Annotated[
        str, typer.Option("--model", "-m", help="A name of `ft models list`, an .onnx file, or a checkpoint.")
    ] = "starter",
    tta: TestTimeAugmentation = None,
    postfilter: Postfilter = None,
    aggression: Aggression = 0.0,
    stereo: Stereo = None,
    device: Device = "auto",
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write every figure to this file.")] = None,
    each: Annotated[bool, typer.Option("--each", help="Also print every track's vocals.")] = False,
) -> None:
    """Score a model on pairs: cSDR, uSDR and SI-SDR of both stems, beside three reference rows."""
    import json

    from rich.console import Console
    from rich.status import Status

    from ftcore import __version__
    from ftcore.atomic import write_bytes
    from ftcore.evaluation import DEFINITIONS, REFERENCES, Method, Pair, Stems, find_pairs
    from ftcore.evaluation import evaluate as evaluate_tracks
    from ftcore.separator import Separator

    tracks = find_pairs(pairs)
    opened = open_checkpoint(model, device) if model.endswith(".safetensors") else model
    separator = Separator(opened, device=device, aggression=aggression, stereo=stereo, tta=tta, postfilter=postfilter)

    def separated(pair: Pair) -> Stems:
        return separator.separate(pair.mixture, pair.rate)

    methods: dict[str, Method] = {model: separated, **REFERENCES}
    console = Console(stderr=True, highlight=False)
    with Status(f"{len(tracks)} tracks", console=console) as status:
        rows = evaluate_tracks(tracks, methods, lambda name: status.update(name))
    for line in table(rows, model if each else None):
        typer.echo(line)
    for name, definition in DEFINITIONS.items():
        typer.echo(f"{name} in dB: {definition}")
    if json_file is not None:
        report = {
            "version": VERSION,
            "ft": __version__,
            "definitions": DEFINITIONS,
            "model": model,
            "tta": separator.signals[0].tta,
            "aggression": aggression,
            "stereo": separator.signals[0].stereo,
            "postfilter": separator.signals[0].postfilter,
            "rows": rows,
        }
        write_bytes(json_file, json.dumps(report, indent=1).encode())


def open_checkpoint(path: str, device: str) -> Model:
    """A checkpoint of a training run, in torch."""
    try:
        from ftcore import checkpoint
        from ftcore.torch_runtime import TorchModel
    except ImportError as error:
        raise FtError(
            f"a checkpoint needs {error.name}: pip install 'frame-transformer[train]', or export it to ONNX"
        ) from None
    return TorchModel(checkpoint.load(Path(path)), "cpu" if device == "auto" else device)


def table(rows: dict[str, dict[str, Any]], each: str | None) -> list[str]:
    """Lines of text: a header, a row per method, and a row per track of the method `each`."""
    lines = []
    scores = {name: row["total"] for name, row in rows.items()}
    if each is not None:
        scores = {**rows[each]["tracks"], **scores}
    width = max(len(name) for name in scores)
    stems = next(iter(scores.values()))
    heads = [f"{stem} {metric}" for stem, metrics in stems.items() for metric in metrics]
    lines.append(" " * width + "".join(f"  {head}" for head in heads))
    for name, row in scores.items():
        values = [value for metrics in row.values() for value in metrics.values()]
        cells = "".join(f"  {value:{len(head)}.2f}" for value, head in zip(values, heads, strict=True))
        lines.append(f"{name:<{width}}{cells}")
    return lines

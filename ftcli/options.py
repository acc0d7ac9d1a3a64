"""Options that several commands take, in the same words."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

Device = Annotated[str, typer.Option("--device", "-d", help="auto, cpu, cuda or cuda:N.")]
TestTimeAugmentation = Annotated[
    bool | None,
    typer.Option(
        "--tta/--no-tta", help="Separate a semitone lower and higher, average: twice the time; default: the model's."
    ),
]
Aggression = Annotated[
    float, typer.Option(help="How readily what is in doubt counts as voice; below 0: as music.", metavar="DB")
]
Stereo = Annotated[
    Literal["joint", "mid-side", "both"],
    typer.Option(
        help="Two channels together, or mid and side each alone, which finds voices at both sides; or the mean of both."
    ),
]

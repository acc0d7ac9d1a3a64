"""Options that several commands take, in the same words."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

Device = Annotated[str, typer.Option("--device", "-d", help="auto, cpu, cuda or cuda:N.")]
TestTimeAugmentation = Annotated[
    bool | None,
    typer.Option(
        "--tta/--no-tta",
        help="Separate a semitone lower and higher, equalised, and average: twice the time, except with --stereo auto; "
        "default: the model's.",
    ),
]
Postfilter = Annotated[
    bool | None,
    typer.Option(
        "--postfilter/--no-postfilter",
        help="Give what is in doubt to the stem that was louder at that frequency lately, what the music holds again "
        "and again and what is found where nobody sings to the music, and harmonics of a single voice to the vocals; "
        "default: the model's.",
    ),
]
Aggression = Annotated[
    float, typer.Option(help="How readily what is in doubt counts as voice; below 0: as music.", metavar="DB")
]
Stereo = Annotated[
    Literal["joint", "mid-side", "auto"] | None,
    typer.Option(
        help="joint: two channels together; mid-side: mid and side each alone, which finds voices at both sides, in "
        "twice the time; auto: both, and the voice's width decides, in three times; default: the model's."
    ),
]


def separations(stereo: str, tta: bool, postfilter: bool) -> str:
    """What these options come to, in words that follow others; none for a single separation and nothing else."""
    augmented = ", equalised, once a semitone lower and once higher (--tta)" if tta else ""
    return f"{f', --stereo {stereo}' if stereo != 'joint' else ''}{augmented}{', --postfilter' if postfilter else ''}"

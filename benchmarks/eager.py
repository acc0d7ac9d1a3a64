"""Separate a song with torch eager, for `benchmarks.performance`.

python -m benchmarks.eager CHECKPOINT SONG CROP PAD
"""

from __future__ import annotations

import sys
from pathlib import Path

import soundfile

from ftcore import Separator
from ftcore.checkpoint import load
from ftcore.torch_runtime import TorchModel


def main() -> None:
    """Separate and drop the result; the caller times the whole process."""
    checkpoint, song, crop, pad = sys.argv[1:]
    audio, rate = soundfile.read(song, dtype="float32", always_2d=True)
    Separator(TorchModel(load(Path(checkpoint))), crop=int(crop), pad=int(pad)).separate(audio.T, rate)


if __name__ == "__main__":
    main()

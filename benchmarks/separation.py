"""Memory against length, and onnxruntime against torch, for `ft separate` with a bundled model.

    python benchmarks/separation.py examples/lets_go_fishin_excerpt.ogg [--minutes 10 60] [--json FILE]

The song is repeated to the asked lengths and separated by the real command in a process of its own,
whose peak memory the operating system reports. torch eager runs the same weights from the checkpoint
(`--checkpoint`) through the same pipeline, in turn with onnxruntime, so that the ratio holds on a
machine whose speed drifts.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from ftcore import Separator
from ftcore.memory import in_bytes
from ftcore.torch_runtime import TorchModel


def main() -> None:
    """Run both measurements and print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("song", type=Path)
    parser.add_argument("--minutes", type=float, nargs="*", default=[10.0, 60.0])
    parser.add_argument("--model", default="starter")
    parser.add_argument("--checkpoint", type=Path, help="also compare with torch eager")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    report: dict[str, Any] = {"cores": os.cpu_count(), "lengths": []}
    with tempfile.TemporaryDirectory() as folder:
        for minutes in args.minutes:
            row = whole_command(args.song, minutes, args.model, Path(folder))
            report["lengths"].append(row)
            print(row, flush=True)
    if args.checkpoint:
        report["onnxruntime against torch eager"] = compare(args.song, args.model, args.checkpoint, args.runs)
        print(report["onnxruntime against torch eager"])
    if args.json:
        args.json.write_text(json.dumps(report, indent=2) + "\n")


def whole_command(song: Path, minutes: float, model: str, folder: Path) -> dict[str, float]:
    """Separate `minutes` of audio with the real command; wall seconds, real-time factor, peak memory."""
    path = folder / f"{minutes:g}.wav"
    audio, rate = soundfile.read(song, dtype="int16", always_2d=True)
    left = int(minutes * 60 * rate)
    with soundfile.SoundFile(path, "w", rate, audio.shape[1]) as file:
        while left > 0:
            file.write(audio[:left])
            left -= min(left, len(audio))
    row = measured("separate", str(path), "-m", model, "-o", str(folder / "out"), "-q")
    for made in (path, *(folder / "out").iterdir()):
        made.unlink()
    return {"minutes": minutes, "real_time_factor": round(row["seconds"] / (60 * minutes), 4), **row}


def measured(*arguments: str, **environment: str) -> dict[str, float]:
    """Run `ft` in a process of its own: wall seconds, and the peak memory that the operating system saw."""
    command = [sys.executable, "-m", "ftcli", *arguments]
    start = time.monotonic()
    pid = os.posix_spawn(command[0], command, os.environ | environment)
    _, status, usage = os.wait4(pid, 0)
    seconds = time.monotonic() - start
    if status:
        raise SystemExit(f"{' '.join(command)} failed")
    return {"seconds": round(seconds, 1), "peak_memory_mb": round(in_bytes(usage.ru_maxrss) / 1e6, 1)}


def compare(song: Path, model: str, checkpoint: Path, runs: int) -> dict[str, Any]:
    """Real-time factors of the two in turn, and the median of the paired ratios."""
    audio, rate = soundfile.read(song, dtype="float32", always_2d=True)
    separators = {"onnxruntime": Separator(model, device="cpu"), "torch": Separator(TorchModel(checkpoint))}
    factors: dict[str, list[float]] = {name: [] for name in separators}
    vocals = {}
    for _ in range(runs + 1):  # the first warms up
        for name, separator in separators.items():
            start = time.monotonic()
            vocals[name] = separator.separate(audio.T, rate)["vocals"]
            factors[name].append((time.monotonic() - start) * rate / len(audio))
    ratios = [t / o for t, o in zip(factors["torch"][1:], factors["onnxruntime"][1:], strict=True)]
    return {
        "runs": runs,
        "real_time_factor": {name: round(statistics.median(v[1:]), 4) for name, v in factors.items()},
        "torch_over_onnxruntime": {
            "min": round(min(ratios), 2),
            "median": round(statistics.median(ratios), 2),
            "max": round(max(ratios), 2),
        },
        "largest_difference": float(np.abs(vocals["torch"] - vocals["onnxruntime"]).max()),
    }


if __name__ == "__main__":
    main()

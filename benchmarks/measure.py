"""What the benchmarks share: whole commands timed from outside, songs of any length, and the machine's own speed."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import soundfile
import torch

from ftcore.memory import in_bytes

LAUNCH = """
import os, sys, time
start = time.monotonic()
_, status, usage = os.wait4(os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ), 0)
print(os.waitstatus_to_exitcode(status), time.monotonic() - start, usage.ru_maxrss, file=sys.stderr)
"""
"""Starts a command from a small process: a peak counts what the starting process held at that moment."""

SIDE = 2048
"""Of the square matrices whose product says how fast a machine is."""


def measured(*arguments: str, **environment: str) -> dict[str, float]:
    """Run `ft` in a process of its own: wall seconds, and the peak memory that the operating system saw."""
    return process([sys.executable, "-m", "ftcli", *arguments], **environment)


def process(command: list[str], **environment: str) -> dict[str, float]:
    """The same for any command. Exits where it fails."""
    told = subprocess.run(
        [sys.executable, "-S", "-c", LAUNCH, *command], env=os.environ | environment, stderr=subprocess.PIPE, text=True
    )
    status, seconds, peak = told.stderr.strip().splitlines()[-1].split()
    if status != "0":
        raise SystemExit(f"{' '.join(command)} failed: {told.stderr}")
    return {"seconds": round(float(seconds), 2), "peak_memory_mb": round(in_bytes(int(peak)) / 1e6, 1)}


def write_song(source: Path, target: Path, seconds: float) -> Path:
    """Repeat (or cut) a song to a length."""
    audio, rate = soundfile.read(source, dtype="int16", always_2d=True)
    left = int(seconds * rate)
    with soundfile.SoundFile(target, "w", rate, audio.shape[1]) as file:
        while left > 0:
            file.write(audio[:left])
            left -= min(left, len(audio))
    return target


def matrix_rates(runs: int = 7) -> dict[str, float]:
    """GFLOP/s of the product of two float32 matrices of SIDE x SIDE in each library at hand, the median of `runs`."""
    a, b = np.random.default_rng(0).standard_normal((2, SIDE, SIDE), np.float32)
    x, y = torch.from_numpy(a), torch.from_numpy(b)
    session = onnxruntime.InferenceSession(product(), providers=["CPUExecutionProvider"])
    ways: dict[str, Callable[[], object]] = {
        "numpy": lambda: a @ b,
        "torch": lambda: x @ y,
        "onnxruntime": lambda: session.run(None, {"a": a, "b": b}),
    }
    seconds = {name: median_seconds(way, runs) for name, way in ways.items()}
    return {name: round(2 * SIDE**3 / each / 1e9, 1) for name, each in seconds.items()}


def median_seconds(work: Callable[[], object], runs: int) -> float:
    """Of `runs` calls, after one that warms up."""
    work()
    seconds = []
    for _ in range(runs):
        start = time.monotonic()
        work()
        seconds.append(time.monotonic() - start)
    return statistics.median(seconds)


def product() -> bytes:
    """A model that multiplies two matrices."""
    names = [onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, [SIDE, SIDE]) for n in "aby"]
    node = onnx.helper.make_node("MatMul", ["a", "b"], ["y"])
    graph = onnx.helper.make_graph([node], "product", names[:2], names[2:])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=10)
    data: bytes = model.SerializeToString()
    return data

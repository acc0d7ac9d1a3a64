"""The recorded behaviour of the original network: vectors in `tests/data/reference`, and their fill rule."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Shapes = dict[str, list[int]]

REFERENCE = Path(__file__).parent / "data" / "reference"


def fill(index: int, shape: tuple[int, ...], seed: int) -> npt.NDArray[np.float64]:
    """Values in [-1, 1) that anyone can compute again (the README of the recordings gives the rule)."""
    count = int(np.prod(shape))
    with np.errstate(over="ignore"):
        z = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z += np.uint64(index) * np.uint64(0xD1342543DE82EF95) + np.uint64(seed) * np.uint64(0x2545F4914F6CDD1D)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return (2.0 * (z >> np.uint64(40)) / 2**24 - 1.0).reshape(shape)


def filled_state(name: str) -> dict[str, npt.NDArray[np.float32]]:
    """The computed parameters of a recorded network, under their original names, tables included."""
    spec = describe(name)
    return filled(spec["parameters"], spec["seed"]) | tables(spec["buffers"])


def full_size_state(name: str) -> dict[str, npt.NDArray[np.float32]]:
    """The same for a checkpoint of the published size, whose values are nobody's."""
    shapes = describe(f"{name}.full")["params"]
    buffers = {key: shape for key, shape in shapes.items() if key.endswith((".freqs", ".pe"))}
    return filled({key: shape for key, shape in shapes.items() if key not in buffers}, 0) | tables(buffers)


def filled(shapes: Shapes, seed: int) -> dict[str, npt.NDArray[np.float32]]:
    """Parameters by the fill rule."""
    state = {}
    for index, (key, shape) in enumerate(shapes.items()):
        u = fill(index, tuple(shape), seed)
        last = key.rsplit(".", 1)[-1]
        if last == "weight" and "norm" in key:
            value = 1 + 0.3 * u
        elif "bias" in key:
            value = 0.2 * u
        else:
            fan = shape[-1] if last.startswith("weight_") or len(shape) == 1 else int(np.prod(shape[1:]))
            value = u * np.sqrt(3 / fan)
        state[key] = value.astype(np.float32)
    return state


def tables(shapes: Shapes) -> dict[str, npt.NDArray[np.float32]]:
    """Positional tables, of which only the shapes count."""
    return {key: np.zeros(shape, np.float32) for key, shape in shapes.items()}


def filled_input(name: str) -> npt.NDArray[np.float64]:
    """The recorded network's input."""
    spec = describe(name)
    x = fill(1000, tuple(spec["input_shape"]), spec["seed"])
    return np.abs(x) if spec["config"]["in_channels"] == 2 else x


def describe(name: str) -> dict[str, Any]:
    """The JSON beside a recorded network."""
    result: dict[str, Any] = json.loads((REFERENCE / f"{name}.json").read_text())
    return result


def relative_error(actual: npt.ArrayLike, expected: npt.ArrayLike) -> float:
    """Largest difference, relative to the largest expected magnitude."""
    expected = np.asarray(expected, np.float64)
    return float(np.abs(np.asarray(actual, np.float64) - expected).max() / np.abs(expected).max())

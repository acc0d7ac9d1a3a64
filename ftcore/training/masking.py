"""What pretraining hides: spans of frames, each blended with one of seven fills (torch)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ftcore.training.config import MaskConfig

FILLS = ("noise", "zeros", "ones", "mean", "min", "max", "variance")
"""Uniform noise U(0, 1), constants, and statistics of the span itself."""


def hide(x: Tensor, seeds: tuple[tuple[int, ...], ...], config: MaskConfig) -> Tensor:
    """x [B, C, F, T] with spans of frames replaced by `a * fill + (1 - a) * x`, a ~ U(0, 1); x itself stays.

    Spans lie where they fall and may overlap. Everything is drawn from the items' seeds.
    """
    y = x.clone()
    frames = x.shape[-1]
    for item, seed in zip(y, seeds, strict=True):
        rng = np.random.default_rng((*seed, 1))  # the item itself was drawn from `seed`
        if rng.random() < config.p_none:
            continue
        generator = torch.Generator(x.device).manual_seed(int(rng.integers(2**62)))
        for _ in range(int(rng.integers(1, config.spans + 1))):
            length = min(max(round(frames * rng.uniform(*config.span)), 1), frames)
            start = int(rng.integers(frames - length + 1))
            blend, fill = rng.random(), FILLS[rng.integers(len(FILLS))]
            span = item[..., start : start + length]
            span.lerp_(_fill(span, fill, generator), blend)
    return y


def _fill(span: Tensor, kind: str, generator: torch.Generator) -> Tensor:
    match kind:
        case "noise":
            return torch.rand(span.shape, generator=generator, device=span.device, dtype=span.dtype)
        case "zeros" | "ones":
            return torch.full_like(span, float(kind == "ones"))
        case "mean":
            value = span.mean()
        case "min":
            value = span.min()
        case "max":
            value = span.max()
        case _:
            value = span.var(correction=0)
    return value.expand_as(span)

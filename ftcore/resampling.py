"""Another sample rate, in streams."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import soxr

from ftcore.decoders import Block


def resample(blocks: Iterable[Block], source: int, target: int) -> Iterator[Block]:
    """Blocks [channels, samples] at rate `source`, as blocks at rate `target`."""
    if source == target:
        yield from blocks
        return
    stream = None
    for block in blocks:
        if stream is None:
            stream = soxr.ResampleStream(source, target, block.shape[0], dtype="float32", quality="HQ")
            rest = np.zeros((0, block.shape[0]), np.float32)
        out = stream.resample_chunk(np.ascontiguousarray(block.T))
        if len(out):
            yield np.ascontiguousarray(out.T)
    if stream is not None:
        yield np.ascontiguousarray(stream.resample_chunk(rest, last=True).T)

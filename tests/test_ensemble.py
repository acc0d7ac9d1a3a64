"""Several separations made one, and devices that are too small for the batch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ftcore import Separator
from ftcore.config import Stereo
from ftcore.ensemble import aligned, combine
from ftcore.jobs import Job
from ftcore.runtime import OnnxModel, OutOfMemoryError
from ftcore.separator import passes
from tests.conftest import noise


class Scaled:
    """A model whose vocals are a share of the mixture."""

    provider = "none"
    workers = 1

    def __init__(self, model: Path, share: float) -> None:
        self.info, self.share = OnnxModel(model).info, share
        self.batches: list[int] = []

    def run(self, x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        self.batches.append(len(x))
        if len(x) > 2:
            raise OutOfMemoryError("inference failed (out of memory)")
        return np.float32(1.0 - self.share) * x


@pytest.mark.parametrize(("ensemble", "share"), [("mean", 0.5), ("min", 0.2), ("max", 0.8)])
def test_ensembles(ensemble: Any, share: float, tiny_model: Path) -> None:
    wave = noise(9000, 2)
    models = [Scaled(tiny_model, 0.2), Scaled(tiny_model, 0.8)]
    vocals = Separator(models, ensemble=ensemble).separate(wave, 8000)["vocals"]
    alone = Separator(models[0]).separate(wave, 8000)["vocals"] / 0.2
    np.testing.assert_allclose(vocals, share * alone, atol=1e-4)
    first = Separator(models, ensemble=ensemble).separate(wave, 8000)
    np.testing.assert_allclose(first["vocals"] + first["instrumental"], wave, atol=1e-6)


def test_separations_are_aligned_whatever_their_blocks() -> None:
    wave = noise(1000, 2)

    def blocks(size: int) -> Any:
        return ((wave[:, i : i + size], 2 * wave[:, i : i + size]) for i in range(0, 1000, size))

    parts = list(aligned([blocks(7), blocks(300), blocks(1000)]))
    np.testing.assert_array_equal(np.concatenate([m for m, _ in parts], axis=1), wave)
    np.testing.assert_array_equal(np.concatenate([v for _, v in parts], axis=2), np.stack([2 * wave] * 3))
    assert list(combine([iter([(wave, wave)])], "min")) == [(wave, wave)]


def test_tta_plays_the_song_a_semitone_lower_and_higher(tiny_model: Path) -> None:
    class Listening(Scaled):
        def run(self, x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
            heard.append(int(np.abs(x[0, :, :, x.shape[-1] // 2]).sum(axis=0).argmax()))
            return super().run(x)

    heard: list[int] = []
    model = Listening(tiny_model, 0.3)
    plain = model.info
    augmented = replace(plain, signal=replace(plain.signal, tta=True))
    for info, tta, semitones in (
        (plain, None, {0}),
        (plain, True, {-1, 1}),
        (augmented, None, {-1, 1}),
        (augmented, False, {0}),
    ):
        model.info = info
        heard.clear()
        Separator(model, tta=tta).separate(tone(16001), 8000)
        assert set(heard) == {round(2500 * 2 ** (up / 12) * plain.signal.n_fft / 8000) for up in semitones}


@pytest.mark.parametrize(
    ("stereo", "tta", "expected"),
    [
        ("joint", False, [(0, False)]),
        ("joint", True, [(-1, False), (1, False)]),
        ("mid-side", False, [(0, True)]),
        ("mid-side", True, [(-1, True), (1, True)]),
        ("auto", False, [(0, False), (0, True)]),
        ("auto", True, [(1, False), (-1, True)]),  # no third one
    ],
)
def test_the_separations_of_a_song(stereo: Stereo, tta: bool, expected: list[tuple[int, bool]]) -> None:
    assert [(round(12 * np.log2(speed), 6), apart) for speed, apart in passes(stereo, tta)] == expected


@pytest.mark.parametrize("samples", [1, 40, 1500, 4001, 16001])
def test_tta_brings_every_sample_back_to_its_place(samples: int, tiny_model: Path) -> None:
    model = Scaled(tiny_model, 0.3)
    plain, averaged = (Separator(model, tta=tta).separate(tone(samples), 8000)["vocals"] for tta in (False, True))
    assert averaged.shape == plain.shape == (2, samples)
    inside = slice(70, -70)  # the outermost transforms hear clicks, which go higher than the lower one does
    np.testing.assert_allclose(averaged[:, inside], plain[:, inside], atol=1e-4)


def tone(samples: int) -> np.ndarray[Any, Any]:
    """A steady tone of 2.5 kHz at 8 kHz, [2, samples]."""
    return np.tile(0.5 * np.sin(2 * np.pi * 2500 / 8000 * np.arange(samples)), (2, 1))


def test_a_device_that_runs_out_of_memory_gets_half_the_batch(tiny_model: Path, song: Path) -> None:
    from ftcli.batch import Batch
    from ftcli.report import Report

    model = Scaled(tiny_model, 0.3)
    for size, failed in ((4, 0), (8, 1), (1, 0)):
        batch = Batch(
            separator=Separator(model, crop=10, pad=0, batch=size),
            models=["x"],
            report=Report(),
            file_format="wav",
            bit_depth=None,
            start=0.0,
            duration=None,
            skip_existing=False,
            overwrite=True,
            plot=False,
        )
        out = song.parent / "out"
        job = Job(source=song, targets={"vocals": out / "v.wav"})
        assert batch.run([job], at_once=1) == failed
        assert not failed or batch.totals.done == 0

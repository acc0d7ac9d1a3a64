"""The seed of the training: items that can be drawn again, scores that are right, a run that learns."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from ftcore import checkpoint
from ftcore.data.library import Library
from ftcore.data.mixing import MixConfig, draw_item
from ftcore.data.prepare import prepare
from ftcore.errors import FtError
from ftcore.evaluation import Pair
from ftcore.nn import spectral
from ftcore.nn.network import Generator
from ftcore.training import state as run_state
from ftcore.training.config import LossConfig, TrainConfig
from ftcore.training.fit import fit
from ftcore.training.items import Mixtures
from ftcore.training.loss import supervised_loss
from ftcore.training.presets import PRESETS
from ftcore.training.state import RunState
from ftcore.training.validate import load_pairs
from tests.conftest import TINY, TINY_SIGNAL, noise

RATE = TINY_SIGNAL.sample_rate
TINY_RUN = TrainConfig(
    network=TINY,
    signal=TINY_SIGNAL,
    steps=30,
    warmup=3,
    batch=2,
    frames=32,
    learning_rate=1e-2,
    ema=0.8,
    validate_every=15,
    save_every=10,
)


@pytest.fixture
def libraries(tmp_path: Path) -> tuple[Library, Library]:
    """Low hum as music, high hum as voice."""
    time = np.arange(RATE * 2) / RATE
    for kind, pitches in (("instrumental", (90, 130)), ("vocal", (900, 1500))):
        (tmp_path / kind).mkdir()
        for pitch in pitches:
            wave = np.stack([np.sin(2 * np.pi * pitch * time), np.sin(2 * np.pi * pitch * time + 1)])
            soundfile.write(tmp_path / kind / f"{pitch}.flac", 0.3 * wave.T, RATE)
    music, voices = (prepare([tmp_path / kind], tmp_path / f"{kind}-cache", RATE) for kind in ("instrumental", "vocal"))
    return music, voices


def pair(libraries: tuple[Library, Library]) -> Pair:
    item = draw_item(np.random.default_rng(9), *libraries, MixConfig(samples=RATE, level_db=(-5.0, -5.0)))
    return Pair(name="pair", rate=RATE, mixture=item.mixture, instrumental=item.instrumental)


def test_items_are_the_same_in_any_process(libraries: tuple[Library, Library]) -> None:
    items = Mixtures(instrumental=libraries[0], vocal=libraries[1], mix=MixConfig(samples=3000), seed=1, count=6)
    direct = [items[i] for i in range(6)]
    loaded = [
        (m[0], t[0]) for m, t in torch.utils.data.DataLoader(items, num_workers=2, multiprocessing_context="spawn")
    ]
    for (m, t), (m2, t2) in zip(direct, loaded, strict=True):
        assert torch.equal(m, m2)
        assert torch.equal(t, t2)
    assert not torch.equal(direct[0][0], direct[1][0])
    assert not torch.equal(dataclasses.replace(items, seed=2)[0][0], direct[0][0])


def test_items_have_the_asked_level(libraries: tuple[Library, Library]) -> None:
    config = MixConfig(samples=4000, level_db=(-7.0, -7.0), p_no_vocal=0.0, p_no_instrumental=0.0)
    for seed in range(8):
        item = draw_item(np.random.default_rng(seed), *libraries, config)
        voice = item.mixture - item.instrumental
        level = 10 * np.log10(np.mean(voice**2) / np.mean(item.instrumental**2))
        assert level == pytest.approx(-7.0, abs=0.05)
        assert item.mixture.shape == (2, 4000)
        assert item.mixture.dtype == np.float32
    bare = draw_item(np.random.default_rng(0), *libraries, dataclasses.replace(config, p_no_vocal=1.0))
    assert np.array_equal(bare.mixture, bare.instrumental)
    solo = draw_item(
        np.random.default_rng(0), *libraries, dataclasses.replace(config, p_no_vocal=0.0, p_no_instrumental=1.0)
    )
    assert not solo.instrumental.any()
    assert solo.mixture.any()


def test_spectrogram_and_wave_are_inverse() -> None:
    x = torch.from_numpy(noise(2000, 2))[None]
    z = spectral.spectrogram(x, TINY_SIGNAL)
    assert z.shape == (1, 4, 32, 63)
    y = spectral.wave(z, TINY_SIGNAL, 2000)
    smooth = torch.sin(torch.arange(2000) * 0.1)[None, None].expand(1, 2, -1)  # nothing at the Nyquist bin
    z = spectral.spectrogram(smooth, TINY_SIGNAL)
    assert torch.allclose(spectral.wave(z, TINY_SIGNAL, 2000)[..., :1980], smooth[..., :1980], atol=1e-3)
    assert y.shape == x.shape


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        (LossConfig(rmse=1.0, compressed=0.0), 0.5),
        (LossConfig(rmse=3.0, compressed=0.0), 1.5),
        (LossConfig(rmse=0.0, compressed=0.0, wave_l1=1.0), 0.5 * (2 / np.pi) ** 0.5),
        (LossConfig(rmse=0.0, compressed=0.0, l1=1.0), 0.5 * (1 / np.pi) ** 0.5),
        (LossConfig(rmse=0.0, compressed=1.0), (0.5 * np.pi**0.5 / 2) ** 0.5),
    ],
    ids=["rmse", "weighted", "wave", "l1", "compressed"],
)
def test_loss_terms_of_a_network_that_changes_nothing(weights: LossConfig, expected: float) -> None:
    """The error is then the vocal: noise at half the mixture's RMS."""
    torch.manual_seed(0)
    mixture = torch.randn(2, 2, 40 * TINY_SIGNAL.hop) * 0.1
    vocal = 0.5 * mixture
    identity = Generator(dataclasses.replace(TINY, output="complex_mask"))
    loss = supervised_loss(identity, mixture, mixture - vocal, dataclasses.replace(TINY_RUN, loss=weights))
    assert loss.item() == pytest.approx(expected, rel=0.05)


def test_a_run_learns_and_can_be_repeated(libraries: tuple[Library, Library], tmp_path: Path) -> None:
    def run(name: str) -> list[dict[str, float]]:
        state = RunState.fresh(TINY_RUN)
        fit(state, *libraries, [pair(libraries)], tmp_path / name, workers=0, provenance={"seed": 0})
        return [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]

    rows = run("a")
    assert [row["step"] for row in rows] == list(range(1, 31))
    losses = [row["loss"] for row in rows]
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])
    assert [row["loss"] for row in run("b")] == losses
    last, best = (checkpoint.load(tmp_path / "a" / f"{name}.safetensors") for name in ("last", "best"))
    assert last.provenance["step"] == 30
    assert best.provenance["validation"]["vocals_usdr_gain"] > 1.0
    same = checkpoint.load(tmp_path / "b" / "last.safetensors").network.state_dict()
    assert all(torch.equal(v, same[k]) for k, v in last.network.state_dict().items())


def test_a_loss_that_is_not_finite_stops_the_run(libraries: tuple[Library, Library], tmp_path: Path) -> None:
    with pytest.raises(FtError, match="step 1: the loss is nan"):
        broken = dataclasses.replace(TINY_RUN, loss=LossConfig(rmse=float("nan")))
        fit(RunState.fresh(broken), *libraries, [], tmp_path / "run", workers=0)


@pytest.mark.parametrize("stop_at", [1, 17, 29])
def test_a_run_that_was_stopped_goes_on_bit_for_bit(
    libraries: tuple[Library, Library], tmp_path: Path, stop_at: int
) -> None:
    config = dataclasses.replace(TINY_RUN, network=dataclasses.replace(TINY, dropout=0.1))
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    fit(RunState.fresh(config), *libraries, [pair(libraries)], whole, workers=0)

    state = RunState.fresh(config)
    fit(state, *libraries, [pair(libraries)], parts, workers=0, stop=lambda: state.step == stop_at)
    assert state.step == stop_at
    with (parts / "metrics.jsonl").open("a") as file:
        file.write("a step after the last save\n")
    torch.manual_seed(12345)  # another process has another history
    fit(run_state.load(parts), *libraries, [pair(libraries)], parts, workers=1)

    for name in ("last", "best"):
        assert (whole / f"{name}.safetensors").read_bytes() == (parts / f"{name}.safetensors").read_bytes()
    losses = [
        [json.loads(line)["loss"] for line in (out / "metrics.jsonl").read_text().splitlines()]
        for out in (whole, parts)
    ]
    assert losses[0] == losses[1]


def test_a_damaged_state_is_named(libraries: tuple[Library, Library], tmp_path: Path) -> None:
    with pytest.raises(FtError, match="no run to resume"):
        run_state.load(tmp_path)
    run_state.save(RunState.fresh(TINY_RUN), tmp_path)
    assert run_state.load(tmp_path).best == -float("inf")
    path = tmp_path / run_state.NAME
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(FtError, match=r"state.safetensors: damaged, the run cannot be resumed"):
        run_state.load(tmp_path)


@pytest.mark.parametrize("config", PRESETS.values(), ids=PRESETS)
def test_configs_survive_json(config: TrainConfig) -> None:
    assert TrainConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_learning_rate_rises_and_falls() -> None:
    rates = [TINY_RUN.learning_rate_at(step) for step in range(1, 31)]
    assert max(rates) == rates[2] == TINY_RUN.learning_rate
    assert rates[0] == pytest.approx(TINY_RUN.learning_rate / 3)
    assert rates[-1] == pytest.approx(TINY_RUN.learning_rate / 27)


def test_pairs_to_validate_on_are_what_the_network_sees(tmp_path: Path) -> None:
    track = tmp_path / "pairs" / "one"
    track.mkdir(parents=True)
    for stem in ("mixture", "instrumental"):
        soundfile.write(track / f"{stem}.wav", noise(100, 2).T, RATE)
    (loaded,) = load_pairs(tmp_path / "pairs", RATE)
    assert (loaded.name, loaded.mixture.shape) == ("one", (2, 100))
    with pytest.raises(FtError, match="must be 44100 Hz stereo"):
        load_pairs(tmp_path / "pairs", 44100)

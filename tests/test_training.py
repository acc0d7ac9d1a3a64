"""The loop: runs that learn, can be repeated, stopped, resumed, and survive what may happen to them."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from ftcore import checkpoint
from ftcore.config import overlay
from ftcore.data.library import Library
from ftcore.data.mixing import MixConfig, draw_item
from ftcore.errors import FtError, UsageError
from ftcore.evaluation import Pair
from ftcore.nn import spectral
from ftcore.nn.network import Recomputing
from ftcore.training import state as run_state
from ftcore.training.config import LossConfig, Phase, Precision, StageName, TrainConfig
from ftcore.training.fit import Data, Progress, fit
from ftcore.training.presets import PRESETS, STARTER, preset
from ftcore.training.run import Run
from ftcore.training.settings import parse_setting, resolve
from ftcore.training.state import RunState
from ftcore.training.validate import load_pairs
from tests.conftest import TINY, TINY_SIGNAL, noise
from tests.test_cli import ROOT

RATE = TINY_SIGNAL.sample_rate
TINY_RUN = dataclasses.replace(
    STARTER,
    network=TINY,
    signal=TINY_SIGNAL,
    steps=30,
    warmup=3,
    phases=(Phase(until=20, frames=32, batch=2), Phase(until=30, frames=40, batch=1, accumulate=2)),
    p_halves=0.3,
    learning_rate=1e-2,
    ema=0.8,
    validate_every=15,
    save_every=10,
)


@pytest.fixture
def data(libraries: dict[str, Library]) -> Data:
    config = MixConfig(levels=True, level_db=(-5.0, -5.0))
    item = draw_item(np.random.default_rng(9), libraries["instrumental"], libraries["vocal"], config, RATE, RATE)
    pair = Pair(name="pair", rate=RATE, mixture=item.instrumental + item.vocal, instrumental=item.instrumental)
    return Data(libraries=libraries, validation=[pair], workers=0)


def run(state: RunState, data: Data, out: Path, pictures: bool = False, **options: Any) -> RunState:
    folder = Run(out, data.validation if pictures else [], {"test": True})
    folder.begin(state)
    try:
        return fit(state, data, report=folder.written, **options)
    finally:
        folder.close()


def rows(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def without_times(out: Path) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k not in ("seconds", "waited")} for row in rows(out)]


def test_spectrogram_and_wave_are_inverse() -> None:
    x = torch.from_numpy(noise(2000, 2))[None]
    z = spectral.spectrogram(x, TINY_SIGNAL)
    assert z.shape == (1, 4, 32, 63)
    y = spectral.wave(z, TINY_SIGNAL, 2000)
    smooth = torch.sin(torch.arange(2000) * 0.1)[None, None].expand(1, 2, -1)  # nothing at the Nyquist bin
    z = spectral.spectrogram(smooth, TINY_SIGNAL)
    assert torch.allclose(spectral.wave(z, TINY_SIGNAL, 2000)[..., :1980], smooth[..., :1980], atol=1e-3)
    assert y.shape == x.shape


def test_a_run_learns_and_can_be_repeated(data: Data, tmp_path: Path) -> None:
    for name in ("a", "b"):
        run(RunState.fresh(TINY_RUN), data, tmp_path / name, pictures=name == "a")
    table = without_times(tmp_path / "a")
    assert table == without_times(tmp_path / "b")
    assert [row["step"] for row in table] == list(range(1, 31))
    losses = [row["loss"] for row in table]
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])
    assert {row["items"] for row in table} == {2}
    last, best = (checkpoint.load(tmp_path / "a" / f"{name}.safetensors") for name in ("last", "best"))
    assert last.provenance["step"] == 30
    assert best.provenance["validation"]["vocals_usdr_gain"] > 1.0
    same = checkpoint.load(tmp_path / "b" / "last.safetensors").network.state_dict()
    assert all(torch.equal(v, same[k]) for k, v in last.network.state_dict().items())
    made = sorted(path.name for path in (tmp_path / "a" / "validation").iterdir())
    assert made == [f"step-000000{n}{end}" for n in (15, 30) for end in (".png", "_instrumental.flac", "_vocals.flac")]


@pytest.mark.parametrize(
    ("stage", "stop_at"), [("supervised", 1), ("supervised", 17), ("supervised", 29), ("pretrain", 8), ("fgan", 17)]
)
def test_a_run_that_was_stopped_goes_on_bit_for_bit(data: Data, tmp_path: Path, stop_at: int, stage: StageName) -> None:
    dropping = dataclasses.replace(TINY, dropout=0.1)
    config = dataclasses.replace(TINY_RUN, network=dropping, stage=stage, voxaug=preset("original", stage).voxaug)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run(RunState.fresh(config), data, whole)

    state = RunState.fresh(config)
    run(state, data, parts, stop=lambda: state.step == stop_at)
    assert state.step == stop_at
    with (parts / "metrics.jsonl").open("a") as file:
        file.write("a step after the last save\n")
    torch.manual_seed(12345)  # another process has another history
    run(run_state.load(parts), dataclasses.replace(data, workers=1 if stop_at == 17 else 0), parts)

    for name in ("last", "best", "step-00000030"):
        assert (whole / f"{name}.safetensors").read_bytes() == (parts / f"{name}.safetensors").read_bytes()
    assert without_times(whole) == without_times(parts)


@pytest.mark.parametrize("stage", ["pretrain", "supervised", "fgan"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_checkpointing_trains_the_same_weights(data: Data, stage: StageName, precision: Precision) -> None:
    network = dataclasses.replace(TINY, dropout=0.1)
    config = dataclasses.replace(TINY_RUN, network=network, stage=stage, precision=precision, steps=6)
    states = [RunState.fresh(dataclasses.replace(config, checkpointing=on)) for on in (False, True)]
    for state in states:
        fit(state, dataclasses.replace(data, validation=[]))
        modules = [module for network in state.networks.values() for module in network.modules()]
        assert {m.checkpointing for m in modules if isinstance(m, Recomputing)} == {state.config.checkpointing}
        assert not state.skipped
    weights = [[p for module in state.modules().values() for p in module.parameters()] for state in states]
    assert all(torch.equal(a, b) for a, b in zip(*weights, strict=True))


def test_steps_without_finite_gradients_are_skipped_then_end_the_run(data: Data, tmp_path: Path) -> None:
    state = RunState.fresh(dataclasses.replace(TINY_RUN, patience=4))
    broken = {6, 7, 8, 15, 16, 17, 18}
    weights: dict[int, torch.Tensor] = {}

    def spoil() -> bool:  # asked after each step, that is before the next
        generator = state.networks["generator"]
        weights[state.step] = next(generator.parameters()).detach().clone()
        handle = spoil.__dict__.pop("handle", None)
        if handle:
            handle.remove()
        if state.step + 1 in broken:
            spoil.__dict__["handle"] = next(generator.parameters()).register_hook(lambda grad: grad * float("nan"))
        return False

    with pytest.raises(FtError, match="step 18: no finite gradient for 4 steps; the last good weights are kept"):
        run(state, data, tmp_path, stop=spoil)
    assert state.skipped == 7
    assert rows(tmp_path)[9]["skipped"] == 3
    assert torch.equal(weights[5], weights[8])
    assert not torch.equal(weights[8], weights[9])
    kept = checkpoint.load(tmp_path / "last.safetensors")
    assert kept.provenance["step"] == 10
    assert all(v.isfinite().all() for v in kept.network.state_dict().values())
    assert run_state.load(tmp_path).step == 10


def test_an_error_amid_a_run_loses_no_step(data: Data, tmp_path: Path) -> None:
    state = RunState.fresh(TINY_RUN)
    folder = Run(tmp_path, [], {})
    folder.begin(state)
    run_state.save(state, tmp_path)
    for _ in range(6):
        fit(state, data, report=folder.written, stop=lambda: True)
    for track in data.libraries["vocal"].tracks:
        track.path.write_bytes(track.path.read_bytes()[:-100])
    with pytest.raises(FtError, match=r"npy: damaged or gone; prepare the library again"):
        fit(state, dataclasses.replace(data, workers=1), report=folder.written)
    (tmp_path / run_state.NAME).unlink()
    folder.rescue(state)
    assert run_state.load(tmp_path).step == 6


def test_old_checkpoints_make_room(data: Data, tmp_path: Path) -> None:
    config = dataclasses.replace(TINY_RUN, validate_every=5, keep=2, steps=22)
    run(RunState.fresh(config), data, tmp_path)
    assert sorted(p.name for p in tmp_path.glob("step-*")) == ["step-00000020.safetensors", "step-00000022.safetensors"]


def test_a_damaged_state_is_named(tmp_path: Path) -> None:
    with pytest.raises(FtError, match="no run to resume"):
        run_state.load(tmp_path)
    run_state.save(RunState.fresh(TINY_RUN), tmp_path)
    assert run_state.load(tmp_path).best == -float("inf")
    path = tmp_path / run_state.NAME
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(FtError, match=r"state.safetensors: damaged, the run cannot be resumed"):
        run_state.load(tmp_path)


def test_a_full_disk_ends_the_run_and_keeps_what_was_saved(
    data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = RunState.fresh(TINY_RUN)
    real = Path.write_bytes

    def write_bytes(path: Path, content: bytes) -> int:
        if state.step == 20 and path.suffix == ".safetensors":
            real(path, content[:1000])
            raise OSError(28, "No space left on device")
        return real(path, content)

    monkeypatch.setattr(Path, "write_bytes", write_bytes)
    with pytest.raises(FtError, match=r"last.safetensors: cannot be written \(No space left on device\)"):
        run(state, data, tmp_path)
    assert run_state.load(tmp_path).step == 10
    assert checkpoint.load(tmp_path / "last.safetensors").provenance["step"] == 10
    assert not list(tmp_path.glob(".ft-*"))


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("stage", ["pretrain", "supervised", "fgan"])
def test_configs_survive_json(name: str, stage: StageName) -> None:
    config = preset(name, stage)
    assert config.stage == stage
    assert TrainConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_the_original_recipe_is_the_published_one() -> None:
    config = preset("original", "supervised")
    assert (config.learning_rate, config.betas, config.clip) == (1e-4, (0.5, 0.999), 0.5)
    assert (config.warmup, preset("original", "pretrain").warmup) == (8000, 12000)
    assert (config.decay_power, config.least_learning_rate, config.decay_steps) == (0.1, 1e-12, 1000000)
    phases = [(p.until, p.frames, p.batch, p.accumulate) for p in config.phases]
    assert phases == [(900000, 256, 2, 4), (1108000, 512, 1, 8)]
    assert (config.loss, config.adversarial.reconstruction, config.p_halves) == (LossConfig(l1=1.0), 100.0, 0.5)
    assert config.rate_at(4000) == 0.5
    assert config.rate_at(8000) == 1.0
    assert config.rate_at(504000) == pytest.approx(0.5**0.1, rel=1e-3)
    assert config.rate_at(1000001) == config.rate_at(1108000) == pytest.approx(1e-8)


def test_learning_rate_rises_and_falls() -> None:
    rates = [TINY_RUN.rate_at(step) for step in range(1, 31)]
    assert max(rates) == rates[2] == 1.0
    assert rates[0] == pytest.approx(1 / 3)
    assert rates[-1] == pytest.approx(1 / 28)


def test_another_length_keeps_its_shares() -> None:
    config = preset("original", "supervised").with_steps(1108)
    assert (config.steps, config.warmup, config.decay_steps) == (1108, 8, 1000)
    assert [p.until for p in config.phases] == [900, 1108]
    assert [p.until for p in preset("tiny", "supervised").with_steps(2).phases] == [2]


def test_settings_lie_over_file_over_preset(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("learning_rate = 0.5\nwarmup = 7\n[loss]\nl1 = 0.25\n[voxaug.vocal]\np_swap = 1\n")
    config = resolve("supervised", "tiny", None, file, ["loss.wave_l1=2", "scale=peak"], None, {"seed": 5})
    assert (config.learning_rate, config.warmup, config.seed, config.scale) == (0.5, 7, 5, "peak")
    assert config.loss == LossConfig(l1=0.25, wave_l1=2.0, rmse=1.0, compressed=1.0)
    assert config.voxaug.vocal.p_swap == 1.0
    saved = tmp_path / "config.json"
    saved.write_text(json.dumps(config.to_dict()))
    assert resolve("supervised", "original", None, saved) == config


def test_the_settings_of_what_ships_are_settings_of_today() -> None:
    """Files that no longer say what a run may be, and files that `docs/model.md` does not name, are noticed."""
    files = {file.name: resolve("supervised", "starter", file=file) for file in (ROOT / "benchmarks/starter").iterdir()}
    assert set(re.findall(r"`(run\d+\.toml)`", (ROOT / "docs/model.md").read_text())) == set(files)
    for config in files.values():
        assert config.network.without_dropout() == preset("starter", "supervised").network.without_dropout()
        assert config.phases[-1].until == config.steps
    assert files["run4.toml"].mix.vocal.resample == (0.6, 1.3)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("loss.l3=1.0", "LossConfig of this version of ft: it has no l3"),
        ("learning_rate=fast", "TrainConfig.learning_rate: expected float, not 'fast'"),
        ("phases=3", "TrainConfig.phases: expected a list, not 3"),
        ("betas=[0.5]", "TrainConfig.betas: expected a list of 2, not [0.5]"),
        ("scale=loud", "TrainConfig.scale: expected peak or rms, not 'loud'"),
        ("loss=1", "not a LossConfig: 1"),
        ("warmup=100", "impossible training: 40 steps leave no room for 100 of warm-up"),
        ("nothing", "--set nothing: expected NAME=VALUE"),
        ("a b=1", "--set a b=1: expected NAME=VALUE"),
    ],
)
def test_wrong_settings_are_named(setting: str, message: str) -> None:
    with pytest.raises(FtError, match=re.escape(message)):
        resolve("supervised", "tiny", settings=[setting])


def test_names_of_settings() -> None:
    assert parse_setting("loss.l1=1.0") == {"loss": {"l1": 1.0}}
    assert parse_setting("precision=bfloat16") == {"precision": "bfloat16"}
    with pytest.raises(UsageError, match="no preset 'huge'; known: starter, tiny, original"):
        preset("huge", "supervised")
    assert overlay(TINY_RUN, {}) == TINY_RUN


def test_pairs_to_validate_on_are_what_the_network_sees(tmp_path: Path) -> None:
    track = tmp_path / "pairs" / "one"
    track.mkdir(parents=True)
    for stem in ("mixture", "instrumental"):
        soundfile.write(track / f"{stem}.wav", noise(100, 2).T, RATE)
    (loaded,) = load_pairs(tmp_path / "pairs", RATE)
    assert (loaded.name, loaded.mixture.shape) == ("one", (2, 100))
    with pytest.raises(FtError, match="must be 44100 Hz stereo"):
        load_pairs(tmp_path / "pairs", 44100)


def test_what_a_step_reports(data: Data) -> None:
    seen: list[Progress] = []
    config = dataclasses.replace(TINY_RUN, stage="fgan", steps=4)
    fit(RunState.fresh(config), data, report=lambda state, progress, last: seen.append(progress))
    assert set(seen[0].metrics) == {"discriminator", "d_accuracy", "presence", "g_accurate", "g_fooled"}
    assert seen[0].loss == pytest.approx(100 * seen[0].metrics["g_accurate"] + seen[0].metrics["g_fooled"], rel=1e-4)
    assert 0 < seen[-1].waited < seen[-1].seconds
    assert next(iter(seen[-1].scores)) == "vocals_usdr_gain"

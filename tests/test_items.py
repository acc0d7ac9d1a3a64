"""Items: the same wherever they are drawn, in whatever company."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from ftcore.data.library import Library
from ftcore.data.mixing import Item, MixConfig, PartMix, draw_item
from ftcore.data.voxaug import VoxAugConfig
from ftcore.training.config import Phase, Scale, TrainConfig
from ftcore.training.items import Batch, Draw, Draws, Keys, loaded, to_batch
from ftcore.training.presets import STARTER, TINY
from tests.conftest import TINY_SIGNAL

RATE = TINY_SIGNAL.sample_rate

PHASES = (Phase(until=2, frames=20, batch=2, accumulate=2), Phase(until=5, frames=33, batch=1))
CONFIG = dataclasses.replace(TINY, signal=TINY_SIGNAL, steps=5, warmup=1, phases=PHASES, voxaug=VoxAugConfig())


def draws_of(libraries: dict[str, Library], config: TrainConfig = CONFIG) -> Draws:
    return Draws(instrumental=libraries["instrumental"], vocal=libraries["vocal"], config=config, mix=config.mix)


def batch_of(draws: list[Draw], config: TrainConfig = CONFIG) -> Batch:
    return to_batch(draws, config.signal, config.voxaug, config.scale, 4, torch.device("cpu"))


def test_keys_follow_the_curriculum_and_a_resume() -> None:
    keys = list(Keys(CONFIG, 0))
    assert keys[:2] == [[(0, 20), (1, 20)], [(2, 20), (3, 20)]]
    assert keys[4:] == [[(8, 33)], [(9, 33)], [(10, 33)]]
    assert list(Keys(CONFIG, 1)) == keys[2:]
    assert list(Keys(CONFIG, 3)) == keys[5:]


def test_items_are_the_same_in_workers_and_over_ranks(libraries: dict[str, Library]) -> None:
    draws = draws_of(libraries)
    alone = [draws.draw(*key) for keys in Keys(CONFIG, 0) for key in keys]
    in_workers = [draw for drawn in loaded(draws, Keys(CONFIG, 0), 2) for draw in drawn]
    halves = tuple(dataclasses.replace(phase, batch=1) for phase in PHASES[:1])
    config = dataclasses.replace(CONFIG, phases=halves, steps=2)
    ranks = [[draw for drawn in loaded(draws, Keys(config, 0, rank, 2), 0) for draw in drawn] for rank in (0, 1)]
    over_ranks = [draw for both in zip(*ranks, strict=True) for draw in both]
    assert len(in_workers) == len(alone) == 11
    for a, b in [*zip(alone, in_workers, strict=True), *zip(alone[:8], over_ranks, strict=True)]:
        assert (a.seed, a.instrumental_plan, a.vocal_plan) == (b.seed, b.instrumental_plan, b.vocal_plan)
        assert torch.equal(a.instrumental, b.instrumental)
        assert torch.equal(a.vocal, b.vocal)
    other = dataclasses.replace(draws, config=dataclasses.replace(CONFIG, seed=1))
    assert not torch.equal(other.draw(0, 20).instrumental, alone[0].instrumental)


def test_an_item_does_not_depend_on_its_batch(libraries: dict[str, Library]) -> None:
    draws = draws_of(libraries)
    drawn = [draws.draw(number, 24) for number in range(12)]
    together = batch_of(drawn)
    assert any(d.vocal_plan.stretch != 1 for d in drawn)
    assert {name for d in drawn for name, _ in d.vocal_plan.steps} >= {"swap", "pitch", "phase", "noise"}
    for i, draw in enumerate(drawn):
        (one,) = (batch_of([draw]),)
        for name in ("mixture", "instrumental", "presence"):
            assert torch.allclose(getattr(one, name)[0], getattr(together, name)[i], atol=1e-6), (i, name)


@pytest.mark.parametrize("scale", ["peak", "rms"])
def test_a_batch_adds_up_and_has_its_scale(libraries: dict[str, Library], scale: Scale) -> None:
    config = dataclasses.replace(CONFIG, scale=scale)
    drawn = [draws_of(libraries).draw(number, 32) for number in range(6)]
    batch = batch_of(drawn, config)
    assert batch.mixture.shape == (6, 4, 32, 32)
    assert batch.presence.shape == (6, 2, 4, 32)
    magnitude = (batch.mixture[:, :2].square() + batch.mixture[:, 2:].square()).sqrt()
    level = magnitude.amax(dim=(1, 2, 3)) if scale == "peak" else magnitude.square().mean(dim=(1, 2, 3)).sqrt()
    assert torch.allclose(level, torch.ones(6), atol=1e-5)
    # the vocal that the presence was taken from is the one in the mixture
    vocal = batch.mixture - batch.instrumental
    power = (vocal[:, :2].square() + vocal[:, 2:].square()).sqrt()
    peak = magnitude.amax(dim=(1, 2, 3), keepdim=True)
    means = (power / peak).unflatten(2, (4, 8)).mean(dim=3)
    unclear = (means - CONFIG.voxaug.presence).abs() < 1e-5
    assert ((means > CONFIG.voxaug.presence).float() == batch.presence)[~unclear].all()
    assert 0 < batch.presence.mean() < 1


def test_halves_are_items_of_half_the_frames(libraries: dict[str, Library]) -> None:
    batch = batch_of([draws_of(libraries).draw(number, 32) for number in range(2)])
    halved = batch.halved()
    assert halved.mixture.shape == (4, 4, 32, 16)
    assert torch.equal(torch.cat((halved.mixture[:2], halved.mixture[2:]), dim=-1), batch.mixture)
    assert torch.equal(halved.presence[2:], batch.presence[..., 16:])
    assert len(set(halved.seeds)) == 4


def test_items_have_the_asked_level(libraries: dict[str, Library]) -> None:
    config = dataclasses.replace(
        STARTER.mix,
        level_db=(-7.0, -7.0),
        p_no_vocal=0.0,
        p_no_instrumental=0.0,
        p_master=0.0,
        p_codec=0.0,
        p_limit=0.0,
    )
    music, voices = libraries["instrumental"], libraries["vocal"]

    def drawn(seed: int, config: MixConfig) -> tuple[np.ndarray, np.ndarray]:
        item = draw_item(np.random.default_rng(seed), music, voices, config, RATE, 4000)
        return item.instrumental, item.vocal

    for seed in range(8):
        instrumental, vocal = drawn(seed, config)
        assert 10 * np.log10(np.mean(vocal**2) / np.mean(instrumental**2)) == pytest.approx(-7.0, abs=0.05)
        assert instrumental.shape == vocal.shape == (2, 4000)
        assert instrumental.dtype == vocal.dtype == np.float32
    assert not drawn(0, dataclasses.replace(config, p_no_vocal=1.0))[1].any()
    instrumental, vocal = drawn(0, dataclasses.replace(config, p_no_instrumental=1.0))
    assert not instrumental.any()
    assert vocal.any()


def test_without_a_recipe_crops_stay_as_they_are(libraries: dict[str, Library]) -> None:
    item = draw_item(
        np.random.default_rng(3), libraries["instrumental"], libraries["vocal"], MixConfig(), RATE, 500, 700
    )
    assert (item.instrumental.shape, item.vocal.shape) == ((2, 500), (2, 700))
    for wave, kind in ((item.instrumental, "instrumental"), (item.vocal, "vocal")):
        whole = [track.read(0, track.samples) for track in libraries[kind].tracks]
        found = [
            np.array_equal(track[:, i : i + wave.shape[1]], wave)
            for track in whole
            for i in np.flatnonzero(track[0] == wave[0, 0])
        ]
        assert any(found)


def test_what_a_codec_changes_counts_as_instrumental(libraries: dict[str, Library]) -> None:
    def drawn(**config: float) -> Item:
        rng, mix = np.random.default_rng(5), MixConfig(**config)  # type: ignore[arg-type]
        return draw_item(rng, libraries["instrumental"], libraries["vocal"], mix, RATE, 4000)

    before, after = drawn(), drawn(p_codec=1.0)
    assert np.array_equal(before.vocal, after.vocal)
    difference = after.instrumental - before.instrumental
    assert 0.0 < np.mean(difference**2) < 0.3 * np.mean((before.instrumental + before.vocal) ** 2)


def test_parts_of_unlike_length_are_not_finished_together(libraries: dict[str, Library]) -> None:
    mix = MixConfig(p_master=1.0, p_limit=1.0, p_codec=1.0)
    item = draw_item(np.random.default_rng(5), libraries["instrumental"], libraries["vocal"], mix, RATE, 4000, 3000)
    plain = draw_item(
        np.random.default_rng(5), libraries["instrumental"], libraries["vocal"], MixConfig(), RATE, 4000, 3000
    )
    assert np.array_equal(item.instrumental, plain.instrumental)


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(PartMix) if field.name.startswith("p_")])
def test_each_chance_changes_its_part_alone(libraries: dict[str, Library], name: str) -> None:
    def drawn(part: PartMix) -> Item:
        mix = MixConfig(vocal=part)
        return draw_item(np.random.default_rng(5), libraries["instrumental"], libraries["vocal"], mix, RATE, 4000)

    base = PartMix(p_resample=1.0) if name == "p_formants" else PartMix()
    before, after = drawn(base), drawn(dataclasses.replace(base, **{name: 1.0}))  # type: ignore[arg-type]
    assert np.array_equal(before.instrumental, after.instrumental)
    assert after.vocal.shape == (2, 4000)
    assert not np.allclose(before.vocal, after.vocal)

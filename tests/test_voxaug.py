"""VoxAug: each augmentation does what its name says, and nothing at zero strength."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from ftcore.config import SignalConfig
from ftcore.data import voxaug
from ftcore.data.voxaug import AUGMENTATIONS, INSTRUMENTAL, PLAIN, VOCAL, PartConfig, Plan, VoxAugConfig
from ftcore.nn import spectral

SIGNAL = SignalConfig(sample_rate=8000, n_fft=256, hop=64)
ADVANCE = 2 * math.pi * 64 / 256


def parts(z: Tensor) -> Tensor:
    """complex [N, C, F, T] as augmentations take it."""
    return torch.stack((z.real, z.imag), dim=1)


def whole(x: Tensor) -> Tensor:
    """The inverse of `parts`."""
    return torch.complex(*x.unbind(1))


def sines(pitch: float = 1000.0, samples: int = 8000) -> Tensor:
    """complex [1, 2, 128, T]: a sine on the left, a softer one of twice its pitch on the right."""
    time = torch.arange(samples) / SIGNAL.sample_rate
    wave = torch.stack((torch.sin(2 * math.pi * pitch * time), 0.5 * torch.sin(4 * math.pi * pitch * time)))
    return whole(voxaug.by_parts(spectral.spectrogram(wave[None], SIGNAL)))


def apply(name: str, *strengths: float, x: Tensor | None = None, seed: int = 0) -> Tensor:
    x = sines() if x is None else x
    plan = Plan(steps=((name, strengths),), seed=seed)
    return whole(voxaug.augment(parts(x), [plan] * len(x), ADVANCE))


def loudest(x: Tensor) -> list[float]:
    """Frequency of the loudest bin in each channel."""
    bins = x[0].abs().mean(dim=-1).argmax(dim=-1)
    return [b.item() * SIGNAL.sample_rate / SIGNAL.n_fft for b in bins]


NEUTRAL: dict[str, tuple[float, ...]] = {
    "dynamics": (0.0, 0.3, 1.0, 1.0),
    "noise": (0.0,),
    "equaliser": (1.0, 1.0),
    "width": (0.5,),
    "phase": (0.0,),
    "pitch": (0.0,),
    "emphasis": (0.0,),
    "deemphasis": (0.0,),
}


@pytest.mark.parametrize("name", NEUTRAL)
def test_nothing_at_zero_strength(name: str) -> None:
    x = sines()
    assert torch.allclose(apply(name, *NEUTRAL[name]), x, atol=2e-3 if name == "pitch" else 1e-4)


STRONG: dict[str, tuple[float, ...]] = {
    "mute": (0.7,),
    "dynamics": (0.25, 0.5, 1.0, 1.0),
    "noise": (0.25,),
    "equaliser": (0.0, 2.0),
    "width": (2.0,),
    "phase": (0.5,),
    "pitch": (7.0,),
    "emphasis": (1.0,),
    "deemphasis": (1.0,),
    "swap": (),
}


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_shape_peak_and_change(name: str) -> None:
    x = sines()
    y = apply(name, *STRONG[name])
    assert y.shape == x.shape
    assert y.dtype == torch.complex64
    assert torch.view_as_real(y).isfinite().all()
    assert y.abs().max() <= x.abs().max() * (1 + 1e-5)
    assert not torch.allclose(y, x, atol=1e-2)
    assert torch.equal(y, apply(name, *STRONG[name]))
    if name in ("noise", "equaliser", "phase"):
        assert not torch.equal(y, apply(name, *STRONG[name], seed=1))


def test_mute_takes_one_channel() -> None:
    for strength, muted in ((0.2, 0), (0.99, 1)):
        y = apply("mute", strength)
        assert not y[:, muted].any()
        assert torch.equal(y[:, 1 - muted], sines()[:, 1 - muted])


def test_dynamics_changes_one_side_of_the_threshold() -> None:
    x = sines() * 0.5
    x[0, 0, 0, 0] = 200.0  # the peak, far above all
    threshold = 0.1
    loud = x.abs() > threshold * 200
    up, down = apply("dynamics", 0.2, threshold, 1.0, 1.0, x=x), apply("dynamics", 0.2, threshold, -1.0, -1.0, x=x)
    inside = loud.clone()
    inside[0, 0, 0, 0] = False
    assert torch.allclose(up[inside], x[inside] * 1.2)
    assert torch.equal(up[~loud], x[~loud])
    assert torch.equal(down[loud], x[loud])
    assert torch.allclose(down[~loud], x[~loud] * 0.8)


def test_noise_and_phase_have_their_strength() -> None:
    x = torch.ones(1, 2, 128, 400, dtype=torch.complex64)
    x[0, 0, 0, 0] = 10.0
    gain = apply("noise", 0.2, x=x).abs()[0, 1]
    assert gain.mean().item() == pytest.approx(1.0, abs=0.005)
    assert gain.std().item() == pytest.approx(0.2, abs=0.005)
    turned = apply("phase", 0.3, x=x)
    assert torch.allclose(turned.abs(), x.abs(), atol=1e-5)
    assert turned.angle().abs().max().item() == pytest.approx(0.3 * math.pi, rel=0.01)


def test_equaliser_is_one_smooth_curve_for_both_channels() -> None:
    x = torch.ones(1, 2, 128, 5, dtype=torch.complex64)
    x[0, 0, 0, 0] = 10.0
    gain = apply("equaliser", 0.5, 1.5, x=x).abs()[0, :, 1:, 1:]
    assert torch.equal(gain[0], gain[1])
    assert torch.allclose(gain[..., 0], gain[..., 3])
    assert (gain > 0.5).all()
    assert (gain < 1.5).all()
    curve = gain[0, :, 0] - gain[0, :, 0].mean()
    assert curve.std() > 0.02
    assert (curve[1:] * curve[:-1]).mean() > 0.4 * curve.square().mean()  # neighbours are alike


def test_width_zero_is_mono() -> None:
    y = apply("width", 0.0)
    assert torch.allclose(y[:, 0], y[:, 1])
    y = apply("width", 1.0)
    assert torch.allclose(y[:, 0], -y[:, 1])


@pytest.mark.parametrize("semitones", [-12.0, -5.0, 4.0, 7.0])
def test_pitch_moves_the_tone_and_its_phase(semitones: float) -> None:
    y = apply("pitch", semitones)
    ratio = 2 ** (semitones / 12)
    resolution = SIGNAL.sample_rate / SIGNAL.n_fft
    for found, pitch in zip(loudest(y), (1000.0, 2000.0), strict=True):
        assert found == pytest.approx(pitch * ratio, abs=resolution)
    wave = spectral.wave(parts(y).flatten(1, 2), SIGNAL, 8000)[0, 0, 1000:7000]
    spectrum = torch.fft.rfft(wave * torch.hann_window(6000))
    power = spectrum.abs().square()
    around = round(1000 * ratio * 6000 / 8000)
    assert power[around - 6 : around + 7].sum() > 0.6 * power.sum()  # one tone, not a cloud around it


@pytest.mark.parametrize("frames", [60, 126, 200])
def test_stretch_changes_length_and_keeps_pitch(frames: int) -> None:
    x = sines()
    taken = parts(x)[0]
    stretched = voxaug.stretch(taken, frames)
    y = whole(stretched[None])
    assert y.shape == (1, 2, 128, frames)
    assert loudest(y) == loudest(x)
    assert y.abs().max() <= x.abs().max() * (1 + 1e-5)
    if frames == x.shape[-1]:
        assert stretched is taken
    wave = spectral.wave(stretched.flatten(0, 1)[None], SIGNAL, (frames - 1) * 64)[0, 0, 256:-256]
    power = torch.fft.rfft(wave * torch.hann_window(len(wave))).abs().square()
    around = round(1000 * len(wave) / 8000)
    assert power[around - 6 : around + 7].sum() > 0.9 * power.sum()


def test_emphasis_and_its_inverse_cancel() -> None:
    x = sines(500.0)
    x[0, 0, 0, 0] = 4 * x.abs().max()
    y = apply("emphasis", 0.9, x=x)
    assert y.abs()[0, 0, -1].max() <= 0.11 * x.abs()[0, 0, -1].max() + 1e-6
    assert torch.allclose(apply("deemphasis", 0.9, x=y), x, atol=1e-3)


def test_swap() -> None:
    assert torch.equal(apply("swap"), sines().flip(1))


def test_plans_follow_their_chances_and_ranges() -> None:
    rng = np.random.default_rng(0)
    for config in (VOCAL, INSTRUMENTAL):
        plans = [voxaug.draw_plan(rng, config) for _ in range(4000)]
        counts = {name: sum(name in dict(p.steps) for p in plans) / len(plans) for name in AUGMENTATIONS}
        for name, share in counts.items():
            assert share == pytest.approx(getattr(config, f"p_{name}"), abs=0.03), name
        stretched = [p.stretch for p in plans if p.stretch != 1.0]
        assert len(stretched) / len(plans) == pytest.approx(config.p_stretch, abs=0.03)
        assert all(0.5 <= s <= 2.0 for s in stretched)
        pitches = [dict(p.steps)["pitch"][0] for p in plans if "pitch" in dict(p.steps)]
        assert config.pitch[0] <= min(pitches) < 0.9 * config.pitch[0]
        assert config.pitch[1] >= max(pitches) > 0.9 * config.pitch[1]
        firsts = {p.steps[0][0] for p in plans if p.steps}
        assert firsts == {name for name, share in counts.items() if share}  # any of them may come first


def test_a_plain_config_changes_nothing() -> None:
    plan = voxaug.draw_plan(np.random.default_rng(0), PLAIN.vocal)
    assert (plan.stretch, plan.steps) == (1.0, ())
    x = sines()
    assert torch.equal(whole(voxaug.augment(parts(x), [plan], ADVANCE)), x)


def test_presence_marks_the_bands_and_frames_of_the_vocal() -> None:
    vocal = torch.zeros(1, 2, 128, 10, dtype=torch.complex64)
    vocal[0, 1, 40, 3] = 0.00125 * 32 * 1.01  # the mean over the 32 bins of band 1 is just above the threshold
    vocal[0, 1, 100, 7] = 0.00125 * 32 * 0.99
    found = voxaug.presence(2 * parts(vocal), torch.full((1, 1, 1, 1), 2.0), 4, VoxAugConfig().presence)
    assert found.shape == (1, 2, 4, 10)
    assert found.nonzero().tolist() == [[0, 1, 1, 3]]


def test_defaults_are_the_published_table() -> None:
    chances = {f.name: getattr(VOCAL, f.name) for f in dataclasses.fields(PartConfig) if f.name.startswith("p_")}
    assert chances == {
        "p_stretch": 0.5, "p_mute": 0.04, "p_dynamics": 0.2, "p_noise": 0.2, "p_equaliser": 0.2, "p_width": 0.2,
        "p_phase": 0.2, "p_pitch": 0.2, "p_emphasis": 0.2, "p_deemphasis": 0.2, "p_swap": 0.5,
    }  # fmt: skip
    assert (INSTRUMENTAL.p_stretch, INSTRUMENTAL.p_noise, INSTRUMENTAL.p_emphasis) == (0.0, 0.0, 0.0)
    assert (INSTRUMENTAL.p_mute, INSTRUMENTAL.dynamics, INSTRUMENTAL.phase) == (0.02, (0.0, 0.125), (0.0, 0.125))

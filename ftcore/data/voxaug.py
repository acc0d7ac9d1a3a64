"""VoxAug: instrumental and vocal augmented as spectrograms, on the training device (torch).

Axes: N items, C audio channels, F bins, T frames. A spectrogram is complex64 [N, C, F, T], so that what
changes magnitudes is a gain and what changes phases a rotation. What happens to an item (`Plan`) is drawn
from the item's own generator on the host; noise comes from a generator seeded by the plan. An item is
therefore the same in any batch, process or rank, on a given kind of device.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

Range = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class PartConfig:
    """What may happen to one part; p_ is the chance per item, the field after it the strength's uniform range."""

    p_stretch: float = 0.0
    """Time stretch: a crop of another length is resampled along frames to the crop size (phase vocoder)."""
    stretch: Range = (0.5, 2.0)
    """Length of that crop over the crop size, every ratio being equally likely."""
    p_mute: float = 0.0
    """One channel is silent."""
    p_dynamics: float = 0.0
    """Magnitudes above (or below) a threshold U(0, 1) * peak are raised or lowered by a gain."""
    dynamics: Range = (0.0, 0.25)
    """That gain."""
    p_noise: float = 0.0
    """Magnitudes are multiplied with noise N(1, s)."""
    noise: Range = (0.0, 0.25)
    """Its s."""
    p_equaliser: float = 0.0
    """Random EQ: mean of nine linear-interpolated random curves with 512, 256, ..., 2 knots."""
    equaliser_least: Range = (0.0, 1.0)
    """Least gain of the curves."""
    equaliser_most: Range = (1.0, 2.0)
    """Greatest gain of the curves."""
    p_width: float = 0.0
    """Stereo width: a * side + (1 - a) * mid, with side = L - R and mid = L + R; a = 0.5 changes nothing."""
    width: Range = (0.0, 2.0)
    """That a."""
    p_phase: float = 0.0
    """Phase noise: strength * U(-pi, pi)."""
    phase: Range = (0.0, 0.5)
    """Its strength."""
    p_pitch: float = 0.0
    """Pitch shift: bins resampled, phase advance rescaled."""
    pitch: Range = (-12.0, 12.0)
    """In semitones."""
    p_emphasis: float = 0.0
    """Magnitudes are multiplied with 1 - c * linspace(0, 1) over the bins."""
    p_deemphasis: float = 0.0
    """Magnitudes are divided by it."""
    emphasis: Range = (0.8, 1.0)
    """The c of both."""
    p_swap: float = 0.0
    """Left and right change places."""


VOCAL = PartConfig(
    p_stretch=0.5,
    p_mute=0.04,
    p_dynamics=0.2,
    p_noise=0.2,
    p_equaliser=0.2,
    p_width=0.2,
    p_phase=0.2,
    p_pitch=0.2,
    p_emphasis=0.2,
    p_deemphasis=0.2,
    p_swap=0.5,
)
"""The original's vocals."""

INSTRUMENTAL = PartConfig(
    p_mute=0.02,
    p_dynamics=0.2,
    dynamics=(0.0, 0.125),
    p_equaliser=0.2,
    equaliser_least=(0.5, 1.0),
    equaliser_most=(1.0, 1.5),
    p_width=0.2,
    width=(0.5, 1.5),
    p_phase=0.2,
    phase=(0.0, 0.125),
    p_pitch=0.2,
    pitch=(-6.0, 6.0),
    p_swap=0.5,
)
"""The original's instrumentals."""


@dataclass(frozen=True, kw_only=True)
class VoxAugConfig:
    """The augmentations of both parts, and what counts as presence."""

    instrumental: PartConfig = INSTRUMENTAL
    """Of the instrumental."""
    vocal: PartConfig = VOCAL
    """Of the vocal."""
    presence: float = 0.00125
    """A frame holds vocals where the band's mean of |vocal| over the mixture's peak exceeds this."""


PLAIN = VoxAugConfig(instrumental=PartConfig(), vocal=PartConfig())
"""Nothing is changed."""


@dataclass(frozen=True)
class Plan:
    """What happens to one part of one item."""

    stretch: float = 1.0
    """Frames of its crop over the crop size."""
    steps: tuple[tuple[str, tuple[float, ...]], ...] = ()
    """Augmentations in their order, each with its strengths."""
    seed: int = 0
    """Of the noises."""


def draw_plan(rng: np.random.Generator, config: PartConfig) -> Plan:
    """Which augmentations one part gets, in which order and how strong."""
    stretched = rng.random() < config.p_stretch
    stretch = float(np.exp(rng.uniform(*np.log(config.stretch)))) if stretched else 1.0
    steps: list[tuple[str, tuple[float, ...]]] = []

    def add(name: str, chance: float, *ranges: Range) -> None:
        if rng.random() < chance:
            steps.append((name, tuple(float(rng.uniform(*r)) for r in ranges)))

    add("mute", config.p_mute, (0.0, 1.0))
    add("dynamics", config.p_dynamics, config.dynamics, (0.0, 1.0), (-1.0, 1.0), (-1.0, 1.0))
    add("noise", config.p_noise, config.noise)
    add("equaliser", config.p_equaliser, config.equaliser_least, config.equaliser_most)
    add("width", config.p_width, config.width)
    add("phase", config.p_phase, config.phase)
    add("pitch", config.p_pitch, config.pitch)
    add("emphasis", config.p_emphasis, config.emphasis)
    add("deemphasis", config.p_deemphasis, config.emphasis)
    add("swap", config.p_swap)
    rng.shuffle(steps)
    return Plan(stretch, tuple(steps), int(rng.integers(2**62)))


def augment(x: Tensor, plans: Sequence[Plan], advance: float) -> Tensor:
    """Apply each item's steps in its own order, items that are at the same augmentation together.

    x: complex [N, C, F, T], changed in place and returned. advance: radians by which the phase of bin 1
    moves from frame to frame (2 pi hop / n_fft). After each step magnitudes stay within the item's peak.
    """
    if not any(plan.steps for plan in plans):
        return x
    peak = peaks(x)
    generators = [torch.Generator(x.device).manual_seed(plan.seed) for plan in plans]
    for turn in range(max(len(plan.steps) for plan in plans)):
        at: dict[str, list[int]] = {}
        for item, plan in enumerate(plans):
            if turn < len(plan.steps):
                at.setdefault(plan.steps[turn][0], []).append(item)
        for name, items in at.items():
            strengths = torch.tensor([plans[i].steps[turn][1] for i in items], dtype=torch.float32, device=x.device)
            arguments = Arguments(strengths, [generators[i] for i in items], peak[items], advance)
            y = AUGMENTATIONS[name](x.index_select(0, torch.tensor(items, device=x.device)), arguments)
            for item, changed in zip(items, within(y, arguments.peak) if name in LOUDER else y, strict=True):
                x[item] = changed
    return x


@dataclass(frozen=True)
class Arguments:
    """What an augmentation gets beside its items."""

    strengths: Tensor
    """[N, strengths], float32."""
    noise: list[torch.Generator]
    """One per item."""
    peak: Tensor
    """Largest magnitude of each item before all augmentations, [N, 1, 1, 1]."""
    advance: float
    """See `augment`."""

    def column(self, index: int) -> Tensor:
        """One strength as [N, 1, 1, 1]."""
        return self.strengths[:, index, None, None, None]


def peaks(x: Tensor) -> Tensor:
    """Largest magnitude per item: complex [N, C, F, T] -> [N, 1, 1, 1]."""
    return power(x).amax(dim=(1, 2, 3), keepdim=True).sqrt()


def power(x: Tensor) -> Tensor:
    """Squared magnitudes."""
    parts = torch.view_as_real(x)
    return parts[..., 0].square() + parts[..., 1].square()


def magnitude(x: Tensor) -> Tensor:
    """Magnitudes, four times as fast on a CPU as `abs`, which guards against overflow."""
    return power(x).sqrt()


def within(x: Tensor, peak: Tensor) -> Tensor:
    """Magnitudes above the peak are set to it."""
    return x * (peak.clamp_min(1e-20) * power(x).clamp_min(1e-36).rsqrt()).clamp_max(1.0)


def stretch(x: Tensor, frames: int, advance: float) -> Tensor:
    """Resample along frames to `frames`: complex [C, F, T'] -> [C, F, frames] (phase vocoder, Flanagan & Golden 1966).

    Magnitudes are interpolated; every frame's phase moves on as it did where it came from.
    """
    here = x.shape[-1]
    if here == frames:
        return x
    position = torch.linspace(0, here - 1, frames, device=x.device)
    low = position.floor().long().clamp_max(max(here - 2, 0))
    high = (low + 1).clamp_max(here - 1)
    loud = magnitude(x)
    # as unit numbers, whose products need no arc tangent; where there is nothing, the phase stays
    unit = torch.where(loud > 1e-20, x * loud.clamp_min(1e-20).reciprocal(), 1.0)
    turns = unit[..., 1:] * unit[..., :-1].conj()
    phases = torch.cat((unit[..., :1], turns[..., low[:-1].clamp_max(max(here - 2, 0))]), dim=-1).cumprod(dim=-1)
    return phases * torch.lerp(loud[..., low], loud[..., high], position - low)


def phase_steps(x: Tensor, advance: float) -> Tensor:
    """Phase advance from frame to frame, unwrapped around the bin's own: complex [C, F, T] -> [C, F, T - 1] radians."""
    own = advance * torch.arange(x.shape[-2], device=x.device, dtype=torch.float32)[:, None]
    return wrapped((x[..., 1:] * x[..., :-1].conj()).angle() - own) + own


def wrapped(phase: Tensor) -> Tensor:
    """Angles in -pi..pi."""
    return phase - 2 * math.pi * torch.round(phase / (2 * math.pi))


def mute(x: Tensor, arguments: Arguments) -> Tensor:
    """One channel becomes silent."""
    channels = x.shape[1]
    chosen = (arguments.strengths[:, 0] * channels).long().clamp_max(channels - 1)
    keep = torch.arange(channels, device=x.device)[None] != chosen[:, None]
    return x * keep[:, :, None, None]


def dynamics(x: Tensor, arguments: Arguments) -> Tensor:
    """Magnitudes on one side of the threshold times 1 +- gain."""
    gain, threshold = arguments.column(0), (arguments.column(1) * arguments.peak).square()
    above = (power(x) > threshold) == (arguments.column(2) > 0)
    return x * torch.where(above, 1.0 + gain * arguments.column(3).sign(), 1.0)


def noise(x: Tensor, arguments: Arguments) -> Tensor:
    """Magnitudes times N(1, s), none below zero."""
    gain = _filled(x, arguments.noise, lambda out, g: out.normal_(generator=g))
    return x * gain.mul_(arguments.column(0)).add_(1.0).clamp_min_(0.0)


def equaliser(x: Tensor, arguments: Arguments) -> Tensor:
    """Magnitudes times the mean of nine random curves over the bins, the same in both channels."""
    knots = [2**k for k in range(9, 0, -1)]
    values = torch.stack([torch.rand(sum(knots), device=x.device, generator=g) for g in arguments.noise])
    least, most = arguments.strengths[:, :1], arguments.strengths[:, 1:]
    values = least + (most - least) * values
    curves = [
        functional.interpolate(part[:, None], x.shape[2], mode="linear", align_corners=True)[:, 0]
        for part in values.split(knots, dim=1)
    ]
    return x * torch.stack(curves).mean(dim=0)[:, None, :, None]


def width(x: Tensor, arguments: Arguments) -> Tensor:
    """Side times a, middle times 1 - a; more or fewer than two channels stay as they are."""
    if x.shape[1] != 2:
        return x
    left, right = x[:, :1], x[:, 1:]
    side, mid = arguments.column(0) * (left - right), (1.0 - arguments.column(0)) * (left + right)
    return torch.cat((mid + side, mid - side), dim=1)


def phase(x: Tensor, arguments: Arguments) -> Tensor:
    """Phases plus strength * U(-pi, pi)."""
    angle = _filled(x, arguments.noise, lambda out, g: out.uniform_(-math.pi, math.pi, generator=g))
    angle = angle * arguments.column(0)
    return x * torch.complex(angle.cos(), angle.sin())


def pitch(x: Tensor, arguments: Arguments) -> Tensor:
    """Every item's bins moved by its semitones, each phase advance by as much."""
    return torch.stack(
        [
            _shifted(item, 2 ** (s / 12), arguments.advance)
            for item, s in zip(x, arguments.strengths[:, 0].tolist(), strict=True)
        ]
    )


def _shifted(x: Tensor, ratio: float, advance: float) -> Tensor:
    """complex [C, F, T] with frequencies times `ratio`."""
    bins = x.shape[-2]
    source = torch.arange(bins, device=x.device) / ratio
    reached = source <= bins - 1
    low = source.floor().long().clamp_max(bins - 2)
    part = (source - low)[:, None]
    loud = magnitude(x)
    loud = torch.lerp(loud[:, low], loud[:, low + 1], part) * reached[:, None]
    nearest = source.round().long().clamp_max(bins - 1)
    turns = wrapped(phase_steps(x, advance)[:, nearest] * ratio)  # wrapped: their sum stays small and exact
    return torch.polar(loud, torch.cat((x[:, nearest, :1].angle(), turns), dim=-1).cumsum(dim=-1))


def emphasis(x: Tensor, arguments: Arguments) -> Tensor:
    """Magnitudes times a falling line over the bins."""
    return x * _line(x, arguments)


def deemphasis(x: Tensor, arguments: Arguments) -> Tensor:
    """Magnitudes over the same line (at most times 100)."""
    return x / _line(x, arguments).clamp_min(0.01)


def swap(x: Tensor, arguments: Arguments) -> Tensor:
    """The channels in reverse."""
    return x.flip(1)


Augmentation = Callable[[Tensor, Arguments], Tensor]
AUGMENTATIONS: dict[str, Augmentation] = {
    each.__name__: each for each in (mute, dynamics, noise, equaliser, width, phase, pitch, emphasis, deemphasis, swap)
}
"""By the names in a `Plan`."""

LOUDER = frozenset({"dynamics", "noise", "equaliser", "width", "deemphasis"})
"""Those that can exceed the peak."""


def presence(vocal: Tensor, peak: Tensor, bands: int, threshold: float) -> Tensor:
    """Where vocals are: complex [N, C, F, T], the mixture's peak [N, 1, 1, 1] -> 0.0 or 1.0 [N, C, bands, T]."""
    means: Tensor = magnitude(vocal).unflatten(2, (bands, -1)).mean(dim=3)
    return (means > threshold * peak).float()


def _line(x: Tensor, arguments: Arguments) -> Tensor:
    line: Tensor = 1.0 - arguments.column(0) * torch.linspace(0, 1, x.shape[2], device=x.device)[:, None]
    return line


def _filled(x: Tensor, generators: list[torch.Generator], fill: Callable[[Tensor, torch.Generator], Tensor]) -> Tensor:
    """Real noise in the shape of x, each item from its own generator."""
    out = torch.empty(x.shape, dtype=torch.float32, device=x.device)
    for item, generator in zip(out, generators, strict=True):
        fill(item, generator)
    return out

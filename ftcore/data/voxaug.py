"""VoxAug: instrumental and vocal augmented as spectrograms, on the training device (torch).

Axes: N items, C audio channels, F bins, T frames. A spectrogram is float32 [N, 2, C, F, T], real parts
apart from imaginary parts: on a CPU, angles, magnitudes and real gains cost several times as much on complex
tensors. Gains and magnitudes are [N, C, F, T]. What happens to an item (`Plan`) is drawn from the item's own
generator on the host; noise comes from a generator seeded by the plan. An item is therefore the same in any
batch, process or rank, on a given kind of device.
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


def by_parts(x: Tensor) -> Tensor:
    """A complex spectrogram as networks take it, [N, 2C, F, T], as [N, 2, C, F, T]."""
    parts: Tensor = x.unflatten(1, (2, -1))
    return parts


def augment(x: Tensor, plans: Sequence[Plan], advance: float) -> Tensor:
    """Apply each item's steps in its own order, items that are at the same augmentation together.

    x: [N, 2, C, F, T], changed in place and returned. advance: radians by which the phase of bin 1
    moves from frame to frame (2 pi hop / n_fft). After each step magnitudes stay within the item's peak.
    """
    if not any(plan.steps for plan in plans):
        return x
    peak = peaks(power(x))
    generators = [torch.Generator(x.device).manual_seed(plan.seed) for plan in plans]
    for turn in range(max(len(plan.steps) for plan in plans)):
        at: dict[str, list[int]] = {}
        for item, plan in enumerate(plans):
            if turn < len(plan.steps):
                at.setdefault(plan.steps[turn][0], []).append(item)
        for name, items in at.items():
            strengths = torch.tensor([plans[i].steps[turn][1] for i in items], dtype=torch.float32, device=x.device)
            arguments = Arguments(strengths, [generators[i] for i in items], peak[items], advance)
            chosen = torch.tensor(items, device=x.device)
            y = AUGMENTATIONS[name](x.index_select(0, chosen), arguments)
            x.index_copy_(0, chosen, within(y, arguments.peak) if name in LOUDER else y)
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


def power(x: Tensor) -> Tensor:
    """Squared magnitudes: [N, 2, C, F, T] -> [N, C, F, T]."""
    real, imaginary = x.unbind(1)
    return torch.addcmul(real * real, imaginary, imaginary)


def peaks(squared: Tensor) -> Tensor:
    """Largest magnitude per item, from squared ones: [N, C, F, T] -> [N, 1, 1, 1]."""
    return squared.amax(dim=(1, 2, 3), keepdim=True).sqrt()


def within(x: Tensor, peak: Tensor) -> Tensor:
    """Magnitudes above the peak are set to it, in place."""
    gain = power(x).clamp_min_(1e-36).rsqrt_().mul_(peak.clamp_min(1e-20)).clamp_max_(1.0)
    return x.mul_(gain[:, None])


def turned(x: Tensor, angle: Tensor) -> Tensor:
    """Phases plus an angle [N, C, F, T]."""
    (real, imaginary), cos, sin = x.unbind(1), angle.cos(), angle.sin()
    return torch.stack(
        (torch.addcmul(real * cos, imaginary, sin, value=-1.0), torch.addcmul(real * sin, imaginary, cos)), dim=1
    )


def turns(x: Tensor) -> tuple[Tensor, Tensor]:
    """Real and imaginary part of each frame times the conjugate of the one before: [2, C, F, T] -> [C, F, T - 1]."""
    (real, imaginary), (real_before, imaginary_before) = x[..., 1:], x[..., :-1]
    return (
        torch.addcmul(real * real_before, imaginary, imaginary_before),
        torch.addcmul(imaginary * real_before, real, imaginary_before, value=-1.0),
    )


def stretch(x: Tensor, frames: int) -> Tensor:
    """Resample along frames to `frames`: [2, C, F, T'] -> [2, C, F, frames] (phase vocoder, Flanagan & Golden 1966).

    Magnitudes are interpolated; every frame's phase moves on as it did where it came from.
    """
    if x.shape[-1] == frames:
        return x
    loud = power(x[None])[0].sqrt_()
    # as unit numbers, whose products need no arc tangent; where there is nothing, the phase stays
    unit = x * loud.clamp_min(1e-20).reciprocal_()
    unit[0].masked_fill_(loud <= 1e-20, 1.0)
    if x.shape[-1] > 1:
        moved = [functional.interpolate(part, frames - 1) for part in turns(unit)]  # that of the frame before
        first = torch.complex(unit[0, ..., :1], unit[1, ..., :1])
        phases = torch.cat((first, torch.complex(*moved)), dim=-1).cumprod(dim=-1)
        unit = torch.stack((phases.real, phases.imag))
    return unit.mul_(functional.interpolate(loud, frames, mode="linear", align_corners=True))


def mute(x: Tensor, arguments: Arguments) -> Tensor:
    """One channel becomes silent."""
    channels = x.shape[2]
    chosen = (arguments.strengths[:, 0] * channels).long().clamp_max(channels - 1)
    keep = torch.arange(channels, device=x.device)[None] != chosen[:, None]
    return x.mul_(keep[:, None, :, None, None])


def dynamics(x: Tensor, arguments: Arguments) -> Tensor:
    """Magnitudes on one side of the threshold times 1 +- gain."""
    gain, threshold = arguments.column(0), (arguments.column(1) * arguments.peak).square()
    above = (power(x) > threshold) == (arguments.column(2) > 0)
    return x.mul_(torch.where(above, 1.0 + gain * arguments.column(3).sign(), 1.0)[:, None])


def noise(x: Tensor, arguments: Arguments) -> Tensor:
    """Magnitudes times N(1, s), none below zero."""
    gain = _filled(x, arguments.noise, lambda out, g: out.normal_(generator=g))
    return x.mul_(gain.mul_(arguments.column(0)).add_(1.0).clamp_min_(0.0)[:, None])


def equaliser(x: Tensor, arguments: Arguments) -> Tensor:
    """Magnitudes times the mean of nine random curves over the bins, the same in both channels."""
    knots = [2**k for k in range(9, 0, -1)]
    values = torch.stack([torch.rand(sum(knots), device=x.device, generator=g) for g in arguments.noise])
    least, most = arguments.strengths[:, :1], arguments.strengths[:, 1:]
    values = least + (most - least) * values
    curves = [
        functional.interpolate(part[:, None], x.shape[3], mode="linear", align_corners=True)[:, 0]
        for part in values.split(knots, dim=1)
    ]
    return x.mul_(torch.stack(curves).mean(dim=0)[:, None, None, :, None])


def width(x: Tensor, arguments: Arguments) -> Tensor:
    """Side times a, middle times 1 - a; more or fewer than two channels stay as they are."""
    if x.shape[2] != 2:
        return x
    left, right = x[:, :, :1], x[:, :, 1:]
    a = arguments.column(0)[:, None]
    side, mid = a * (left - right), (1.0 - a) * (left + right)
    return torch.cat((mid + side, mid - side), dim=2)


def phase(x: Tensor, arguments: Arguments) -> Tensor:
    """Phases plus strength * U(-pi, pi)."""
    angle = _filled(x, arguments.noise, lambda out, g: out.uniform_(-math.pi, math.pi, generator=g))
    return turned(x, angle.mul_(arguments.column(0)))


def pitch(x: Tensor, arguments: Arguments) -> Tensor:
    """Every item's bins moved by its semitones, each phase advance by as much."""
    return torch.stack(
        [
            _shifted(item, 2 ** (s / 12), arguments.advance)
            for item, s in zip(x, arguments.strengths[:, 0].tolist(), strict=True)
        ]
    )


def _shifted(x: Tensor, ratio: float, advance: float) -> Tensor:
    """[2, C, F, T] with frequencies times `ratio`; what moves beyond the last bin is lost."""
    bins = x.shape[-2]
    reached = min(math.floor((bins - 1) * ratio) + 1, bins)
    source = torch.arange(reached, device=x.device) / ratio
    low = source.floor().long().clamp_max(bins - 2)
    loud = power(x[None])[0].sqrt_()
    loud = torch.lerp(loud[:, low], loud[:, low + 1], (source - low)[:, None])
    nearest = source.round().long().clamp_max(bins - 1)
    x = x[:, :, nearest]
    real, imaginary = turns(x)
    own = advance * nearest.to(x.dtype)[:, None]  # what the phase of a tone amid the bin would move by
    moved = wrapped(torch.atan2(imaginary, real) - own).add_(own).mul_(ratio)
    first = torch.atan2(x[1, ..., :1], x[0, ..., :1])
    angle = torch.cat((first, wrapped(moved)), dim=-1).cumsum(dim=-1)  # wrapped: their sum stays small and exact
    return functional.pad(loud * torch.stack((angle.cos(), angle.sin())), (0, 0, 0, bins - reached))


def wrapped(angle: Tensor) -> Tensor:
    """Angles in -pi..pi."""
    return angle - 2 * math.pi * torch.round(angle / (2 * math.pi))


def emphasis(x: Tensor, arguments: Arguments) -> Tensor:
    """Magnitudes times a falling line over the bins."""
    return x.mul_(_line(x, arguments))


def deemphasis(x: Tensor, arguments: Arguments) -> Tensor:
    """Magnitudes over the same line (at most times 100)."""
    return x.div_(_line(x, arguments).clamp_min(0.01))


def swap(x: Tensor, arguments: Arguments) -> Tensor:
    """The channels in reverse."""
    return x.flip(2)


Augmentation = Callable[[Tensor, Arguments], Tensor]
"""[N, 2, C, F, T] -> the same shape; may change its input in place, which is a copy."""
AUGMENTATIONS: dict[str, Augmentation] = {
    each.__name__: each for each in (mute, dynamics, noise, equaliser, width, phase, pitch, emphasis, deemphasis, swap)
}
"""By the names in a `Plan`."""

LOUDER = frozenset({"dynamics", "noise", "equaliser", "width", "deemphasis"})
"""Those that can exceed the peak."""


def presence(vocal: Tensor, peak: Tensor, bands: int, threshold: float) -> Tensor:
    """Where vocals are: [N, 2, C, F, T], the mixture's peak [N, 1, 1, 1] -> 0.0 or 1.0 [N, C, bands, T]."""
    means: Tensor = power(vocal).sqrt_().unflatten(2, (bands, -1)).mean(dim=3)
    return (means > threshold * peak).float()


def _line(x: Tensor, arguments: Arguments) -> Tensor:
    line: Tensor = 1.0 - arguments.column(0) * torch.linspace(0, 1, x.shape[3], device=x.device)[:, None]
    return line[:, None]


def _filled(x: Tensor, generators: list[torch.Generator], fill: Callable[[Tensor, torch.Generator], Tensor]) -> Tensor:
    """Noise for each bin of x, each item's from its own generator."""
    out = torch.empty_like(x[:, 0])
    for item, generator in zip(out, generators, strict=True):
        fill(item, generator)
    return out

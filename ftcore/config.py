"""What a model is: frozen descriptions that travel inside every checkpoint and exported file."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from reprlib import repr as shown  # of values from files: never long, however large or deep they are
from types import UnionType
from typing import Any, Literal, Self, TypeVar, get_args, get_origin, get_type_hints

from ftcore.errors import FtError

T = TypeVar("T")
Output = Literal["mapping", "magnitude_mask", "complex_mask", "mask_and_mapping"]
Normalisation = Literal["song_peak", "window_rms"]
Stereo = Literal["joint", "mid-side", "auto"]

MOST_LEVELS = 16
MOST_FRAMES = 4096
"""Of a window with its context. Attention takes memory by its square."""
MOST_OVERLAP = 16
"""n_fft over the hop: how many windows a sample is in."""
BAND_GROUP = 4
"""Neighbouring bands that are equally wide."""

BOUNDS: dict[str, tuple[float, float]] = {
    "audio_channels": (1, 64),
    "features": (2, 1 << 15),
    "bands": (0, 1 << 12),
    "channels": (1, 1 << 12),
    "multipliers": (1, 1 << 8),
    "attention_maps": (0, 1 << 8),
    "heads": (1, 1 << 10),
    "expansion": (1, 1 << 16),
    "latent_layers": (0, 64),
    "latent_expansion": (1, 64),
    "latent_kernel": (1, 31),
    "embedding_scales": (0, MOST_LEVELS),
    "dense_levels": (0, MOST_LEVELS),
    "compression": (0.0, 2.0),
    "dropout": (0.0, 1.0),
    "decoder_dropout": (0.0, 1.0),
    "sample_rate": (1_000, 192_000),
    "n_fft": (4, 1 << 16),
    "crop": (1, MOST_FRAMES),
    "pad": (0, MOST_FRAMES // 2),
}
"""Least and largest value of every number that describes a model (of each entry, where there is one per level):
beyond any network there is, and short of what a damaged or hostile file could ask for."""


@dataclass(frozen=True, kw_only=True)
class SpectralConfig:
    """What every network says of the spectrogram that it takes and of the one that it gives."""

    audio_channels: int = 2
    """Audio channels that the network sees at once."""
    features: int = 1024
    """Frequency bins F that enter the network: n_fft / 2, the Nyquist bin dropped."""
    output: Output = "mapping"
    """How the network's raw output is read (see `ftcore.nn.spectral.SpectralNetwork.estimate`)."""
    normalisation: Normalisation = "song_peak"
    """`song_peak`: the caller divides by the song's largest magnitude; `window_rms`: the network
    divides each window by its own root mean square."""
    embedding_scales: int = 0
    """Scales of the convolutional embedding, each of half the features and frames; 0 = no embedding."""

    def __post_init__(self) -> None:
        _check_bounds(self)
        _check(self.output in get_args(Output), f"unknown output {self.output!r}")
        _check(self.normalisation in get_args(Normalisation), f"unknown normalisation {self.normalisation!r}")

    @property
    def is_complex(self) -> bool:
        """Whether real and imaginary parts enter as separate channels (else magnitudes)."""
        return self.output != "magnitude_mask"

    @property
    def spectral_channels(self) -> int:
        """Channels of the spectrogram that enters and leaves: real and imaginary parts, or magnitudes."""
        return self.audio_channels * (2 if self.is_complex else 1)

    def without_dropout(self) -> Self:
        """The network as it separates: dropout says how weights are learned, not what they mean."""
        return self

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """The inverse of `to_dict`, also after a trip through JSON. Raises FtError."""
        return from_plain(cls, values)


@dataclass(frozen=True, kw_only=True)
class NetworkConfig(SpectralConfig):
    """Hyper-parameters of one AsymUNetMCT. The defaults are the original's full size.

    A tuple "per level" has one entry for each U-Net level, the latent one last; level i works on
    `features / 2**i` features, or on `bands / 2**i`.
    """

    bands: int = 0
    """Bands that take the place of bins on level 1: narrow below, wide above (see `ftcore.nn.bands`); 0 = none."""
    channels: int = 8
    """Base width c; level i has c * multipliers[i] channels."""
    multipliers: tuple[int, ...] = (1, 2, 4, 6, 8, 10, 12, 14, 16)
    """Width of each level over the base width."""
    attention_maps: tuple[int, ...] = (1, 1, 1, 1, 1, 1, 1, 1)
    """Channels M that the transformer of each level but the latent one works on; 0 = no transformer."""
    heads: tuple[int, ...] = (8, 8, 8, 8, 8, 8, 8, 8, 8)
    """Attention heads per level."""
    expansion: int = 4096
    """Hidden features E of the transformers' feed-forward parts."""
    latent_layers: int = 4
    """Convolutional transformer blocks L on the last level."""
    latent_expansion: int = 4
    """Hidden channels of the latent feed-forward part over its channels."""
    latent_kernel: int = 1
    """Kernel size of the latent attention's projections."""
    latent_restart: bool = False
    """The original's quirk: after the attention the residual restarts from the block's input."""
    embedding_scales: int = 9
    compression: float = 1.0
    """Exponent of the magnitudes that enter the first level, below 1 to lift the quiet ones."""
    dropout: float = 0.1
    """Dropout of every residual branch, in training only."""
    decoder_dropout: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0, 0.5, 0.5, 0.5, 0.5)
    """Dropout of each decoder level's residual branch, level 1 first."""

    def __post_init__(self) -> None:
        super().__post_init__()
        levels = len(self.multipliers)
        _check(2 <= levels <= MOST_LEVELS, f"multipliers needs 2 to {MOST_LEVELS} levels")
        _check(len(self.attention_maps) == levels - 1, "attention_maps needs one entry per level but the last")
        _check(len(self.decoder_dropout) == levels - 1, "decoder_dropout needs one entry per level but the last")
        _check(len(self.heads) == levels, "heads needs one entry per level")
        _check(self.bands <= self.features, "bands must be at most as many as features")
        if self.bands:
            together = self.bands % BAND_GROUP == self.features % BAND_GROUP == 0
            _check(together, f"with bands, {BAND_GROUP} must divide both bands and features")
        halved = "bands" if self.bands else "features"
        _check(self.level_features(0) % 2 ** (levels - 1) == 0, f"{halved} must halve down to the last level")
        _check(self.embedding_scales <= levels, "embedding_scales is at most the number of levels")
        _check(self.latent_kernel % 2 == 1, "latent_kernel must be odd")
        for level, maps in enumerate(self.attention_maps):
            if maps:
                _check_heads(self.level_features(level), self.heads[level], f"level {level + 1}")
        if self.latent_layers:
            _check_heads(self.level_channels(levels - 1), self.heads[-1], "the latent level")

    @property
    def output_channels(self) -> int:
        """Channels of the raw output."""
        return self.spectral_channels * (2 if self.output == "mask_and_mapping" else 1)

    @property
    def levels(self) -> int:
        """Number of U-Net levels, the latent one included."""
        return len(self.multipliers)

    def level_features(self, level: int) -> int:
        """Features of the level with index `level` (0-based)."""
        return (self.bands or self.features) >> level

    def level_channels(self, level: int) -> int:
        """Channels of the level with index `level` (0-based), attention maps not counted."""
        return self.channels * self.multipliers[level]

    def without_dropout(self) -> Self:
        """See `SpectralConfig.without_dropout`."""
        return dataclasses.replace(self, dropout=0.0, decoder_dropout=(0.0,) * (self.levels - 1))


@dataclass(frozen=True, kw_only=True)
class EarlyConfig(SpectralConfig):
    """Hyper-parameters of the networks before the AsymUNetMCT, whose published checkpoints we read.

    Level 0 is a transformer on the input itself; levels 1, 2, ... are as in the AsymUNetMCT, without latent blocks.
    """

    kind: Literal["v1", "v2b"]
    """Which of the two: see `ftcore.nn.early`."""
    output: Output = "magnitude_mask"
    channels: int = 8
    """Base width c; level i has c * multipliers[i - 1] channels."""
    multipliers: tuple[int, ...] = (1, 2, 4, 6, 8, 10)
    """Width of levels 1, 2, ... over the base width."""
    attention_maps: tuple[int, ...] = (1, 1, 1, 1, 1, 1, 1)
    """Channels M that the transformer of each level works on, level 0 first."""
    heads: int = 8
    """Attention heads of every level."""
    expansion: int = 24
    """Hidden size of the transformers' feed-forward parts over their input: features in v1, maps in v2b."""
    dense_levels: int = 0
    """How many of the deepest levels have residual blocks made of linear maps instead of convolutions."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _check(2 <= self.levels <= MOST_LEVELS, f"multipliers needs 1 to {MOST_LEVELS - 1} levels")
        _check(len(self.attention_maps) == self.levels, "attention_maps needs one entry per level")
        _check(min(self.attention_maps) > 0, "attention_maps must be positive")
        _check(self.output != "mask_and_mapping", "V1 and V2b have one output")
        scales = max(self.embedding_scales - 1, 0)
        _check(self.features >> scales > 0, "embedding_scales are more than the features can be halved")
        _check(self.features % 2 ** max(self.levels - 2, 0) == 0, "features must halve down to the last level")
        for level in range(self.levels):
            _check_heads(self.level_features(level), self.heads, f"level {level}")

    @property
    def levels(self) -> int:
        """Number of levels, level 0 included."""
        return len(self.multipliers) + 1

    def level_features(self, level: int) -> int:
        """Features of a level: levels 0 and 1 have all of them."""
        return self.features >> max(level - 1, 0)


def network_config(values: Any) -> NetworkConfig | EarlyConfig:
    """The config of whichever family its plain values describe. Raises FtError."""
    if isinstance(values, dict) and "kind" in values:
        return EarlyConfig.from_dict(values)
    return NetworkConfig.from_dict(values)


@dataclass(frozen=True, kw_only=True)
class SignalConfig:
    """The audio and spectrogram format that a model works in, and how songs are separated with it by default."""

    sample_rate: int = 44100
    """Samples per second at which the network sees the song."""
    n_fft: int = 2048
    """STFT window length in samples (periodic Hann)."""
    hop: int = 1024
    """Samples between frames."""
    crop: int = 152
    """Frames per window that are kept, by default."""
    pad: int = 4
    """Frames of context on either side of a window, by default; they cost as much as others (`docs/performance.md`)."""
    stereo: Stereo = "joint"
    """How two channels reach the network by default: together, mid and side each alone, or both (`ftcore.stereo`)."""
    tta: bool = False
    """Whether a song is, by default, separated a semitone lower and once more a semitone higher, either time equalised
    (`ftcore.equaliser`), and these averaged.
    """
    postfilter: bool = False
    """Whether doubt goes, by default, to the stem that was louder at that frequency lately (`ftcore.postfilter`), to
    the music where that comes back (`ftcore.repetition`) or nobody sings, and to a single voice at its harmonics
    (`ftcore.harmonics`).
    """

    def __post_init__(self) -> None:
        _check_bounds(self)
        _check(self.n_fft % 2 == 0, "n_fft must be even")
        least = max(self.n_fft // MOST_OVERLAP, 1)
        _check(least <= self.hop <= self.n_fft // 2, f"hop must be 1/{MOST_OVERLAP} to 1/2 of n_fft")
        _check(self.crop + 2 * self.pad <= MOST_FRAMES, f"crop and twice pad must be {MOST_FRAMES} frames at most")

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """The inverse of `to_dict`, also after a trip through JSON. Raises FtError."""
        return from_plain(cls, values)


def check_fit(network: SpectralConfig, signal: SignalConfig) -> None:
    """Raise FtError where a network cannot take the spectrogram of this format."""
    _check(2 * network.features == signal.n_fft, f"{network.features} features are not half of n_fft {signal.n_fft}")


def parse_object(text: str) -> dict[str, Any]:
    """The object that is written in JSON. Raises ValueError for any other text."""
    try:
        values = json.loads(text)
    except RecursionError:
        raise ValueError("nested too deep") from None
    if not isinstance(values, dict):
        raise ValueError(f"expected an object, not {shown(values)}")
    return values


def from_plain(cls: type[T], values: Any) -> T:
    """Build the dataclass `cls`, and those inside it, from plain JSON or TOML values.

    Unknown, missing or impossible ones raise FtError that names them.
    """
    if not isinstance(values, dict):
        raise FtError(f"not a {cls.__name__}: {shown(values)}")
    hints = get_type_hints(cls)
    if unknown := sorted(set(values) - set(hints)):
        raise FtError(f"not a {cls.__name__} of this version of ft: it has no {', '.join(unknown)[:200]}")
    built = {}
    for name, value in values.items():
        try:
            built[name] = _typed(hints[name], value)
        except ValueError as error:
            raise FtError(f"{cls.__name__}.{name}: {error}") from None
    try:
        return cls(**built)
    except TypeError as error:
        raise FtError(f"not a {cls.__name__} of this version of ft: {error}") from None


def overlay(config: T, values: dict[str, Any]) -> T:
    """`config` with some of its fields replaced; `values` may nest as the config does. Raises FtError."""
    return from_plain(type(config), _merged(dataclasses.asdict(config), values))  # type: ignore[call-overload]


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for name, value in above.items():
        both = isinstance(value, dict) and isinstance(below.get(name), dict)
        merged[name] = _merged(below[name], value) if both else value
    return merged


def _typed(hint: Any, value: Any) -> Any:
    """A plain value as a field of this type holds it; ValueError says what was expected."""
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return from_plain(hint, value)
    kind, inner = get_origin(hint), get_args(hint)
    if kind is UnionType:  # T | None
        return None if value is None else _typed(inner[0], value)
    if kind is tuple:
        open_ended = inner[-1] is Ellipsis
        if not isinstance(value, (list, tuple)) or not (open_ended or len(value) == len(inner)):
            raise ValueError(f"expected a list{'' if open_ended else f' of {len(inner)}'}, not {shown(value)}")
        return tuple(_typed(inner[0] if open_ended else inner[i], v) for i, v in enumerate(value))
    if kind is Literal:
        if value not in inner:
            raise ValueError(f"expected {', '.join(map(str, inner[:-1]))} or {inner[-1]}, not {shown(value)}")
        return value
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            raise ValueError(f"{shown(value)} is too large") from None
    if type(value) is not hint:
        raise ValueError(f"expected {hint.__name__}, not {shown(value)}")
    return value


def _check(holds: bool, message: str) -> None:
    if not holds:
        raise FtError(f"impossible configuration: {message}")


def _check_bounds(config: Any) -> None:
    """Every number of a config within BOUNDS."""
    for field in dataclasses.fields(config):
        if field.name in BOUNDS:
            (least, most), value = BOUNDS[field.name], getattr(config, field.name)
            for entry in value if isinstance(value, tuple) else (value,):
                _check(least <= entry <= most, f"{field.name} must be {least} to {most}, not {shown(entry)}")


def _check_heads(width: int, heads: int, where: str) -> None:
    size = width // heads if heads > 0 else 0
    _check(heads > 0 and size * heads == width, f"{where}: {heads} heads do not divide {width}")
    _check(size == 1 or size % 2 == 0, f"{where}: head size {size} is odd, rotary embedding needs pairs")

"""Scores of stems on pairs of mixture and truth, and the rows to compare them with (no torch).

Every array is float32 [channels, samples] at full scale 1.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ftcore import audio
from ftcore.audio import Block
from ftcore.errors import FtError
from ftcore.separator import STEMS, Stem
from ftcore.stft import istft, stft

Stems = dict[Stem, Block]
Method = Callable[["Pair"], Stems]
"""Estimates the stems of a pair's mixture (a reference row may also look at the truth)."""

Scores = dict[Stem, dict[str, float]]
"""dB by stem and metric."""

DEFINITIONS = {
    "cSDR": "museval v4's SDR: median over frames of 1 s, of which the median over tracks",
    "uSDR": "10 log10(sum s^2 / sum (s - e)^2) over the whole track, mean over tracks",
    "SI-SDR": "10 log10(sum (a s)^2 / sum (a s - e)^2), a = <e, s> / <s, s>, over the whole track, mean over tracks",
}
"""What the metrics mean; printed wherever their figures are."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A mixture and its true instrumental."""

    name: str
    rate: int
    """Samples per second."""
    mixture: Block
    instrumental: Block

    @property
    def stems(self) -> Stems:
        """The truth; the vocals are what the instrumental leaves of the mixture."""
        return {"vocals": self.mixture - self.instrumental, "instrumental": self.instrumental}


def find_pairs(folder: Path) -> list[Path]:
    """Tracks of a folder of pairs: its subfolders that hold a `mixture.*`. Raises FtError when there are none."""
    if not folder.is_dir():
        raise FtError(f"{folder}: no such folder")
    tracks = sorted({path.parent for path in folder.glob("*/mixture.*")})
    if not tracks:
        raise FtError(f"{folder}: no folders with mixture.* and instrumental.* or vocals.* in it")
    return tracks


def load_pair(track: Path) -> Pair:
    """`mixture.*` and `instrumental.*`, or else `vocals.*` (as in MUSDB18-HQ), of a folder. Raises FtError."""
    info, mixture = audio.read(_find(track, "mixture"))
    stem = "instrumental" if any(track.glob("instrumental.*")) else "vocals"
    stem_info, truth = audio.read(_find(track, stem))
    if (stem_info.rate, truth.shape) != (info.rate, mixture.shape):
        raise FtError(
            f"{stem_info.path}: {stem_info.rate} Hz, {truth.shape[0]} channels, {truth.shape[1]} samples; "
            f"the mixture beside it has {info.rate} Hz, {mixture.shape[0]} channels, {mixture.shape[1]} samples"
        )
    instrumental = truth if stem == "instrumental" else mixture - truth
    return Pair(name=track.name, rate=info.rate, mixture=mixture, instrumental=instrumental)


def usdr(reference: Block, estimate: Block) -> float:
    """uSDR of a track in dB (Mitsufuji et al. 2022)."""
    return _ratio(_power(reference), _power(reference - estimate))


def si_sdr(reference: Block, estimate: Block) -> float:
    """Scale-invariant SDR of a track in dB (Le Roux et al. 2019), channels joined, means not removed."""
    s, e = reference.astype(np.float64), estimate.astype(np.float64)
    target = s * (np.sum(s * e) / max(np.sum(s * s), 1e-12))
    return _ratio(_power(target), _power(target - e))


def csdr(truth: Stems, estimates: Stems, rate: int) -> dict[Stem, float]:
    """museval v4's SDR of a track in dB by stem (Stoter et al. 2018): the median over its whole seconds.

    Seconds in which any stem, true or estimated, is silent do not count; NaN when none is left.
    (museval splits the error into interference and artefacts; their sum, the SDR, needs no split.)
    """
    sounding: npt.NDArray[np.bool_] | bool = True
    values = {}
    for stem, reference in truth.items():
        seconds = reference.shape[1] // rate
        s, e = (
            x[:, : seconds * rate].reshape(len(x), seconds, rate).astype(np.float64)
            for x in (reference, estimates[stem])
        )
        signal, other, error = (np.square(x).sum(axis=(0, 2)) for x in (s, e, s - e))
        sounding = sounding & (signal > 0) & (other > 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            values[stem] = 10.0 * np.log10(signal / error)
    return {s: float(np.median(v[sounding])) if np.any(sounding) else float("nan") for s, v in values.items()}


def score(pair: Pair, stems: Stems) -> Scores:
    """Every metric of every stem."""
    truth = pair.stems
    framewise = csdr(truth, stems, pair.rate)
    return {
        stem: {"cSDR": framewise[stem], "uSDR": usdr(truth[stem], e), "SI-SDR": si_sdr(truth[stem], e)}
        for stem, e in stems.items()
    }


def total(tracks: Iterable[Scores]) -> Scores:
    """Over tracks: the median of cSDR, the mean of the others; tracks without a value do not count."""
    rows = list(tracks)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # no track has a value: NaN says so
        return {
            stem: {
                metric: float((np.nanmedian if metric == "cSDR" else np.nanmean)([row[stem][metric] for row in rows]))
                for metric in DEFINITIONS
            }
            for stem in STEMS
        }


def mixture_itself(pair: Pair) -> Stems:
    """Doing nothing: the mixture as either stem."""
    return {"vocals": pair.mixture, "instrumental": pair.mixture}


def centre_cancel(pair: Pair) -> Stems:
    """The oldest karaoke trick: what all channels share is the vocals, what is left is the instrumental."""
    vocals = np.broadcast_to(pair.mixture.mean(axis=0, dtype=np.float32), pair.mixture.shape)
    return {"vocals": vocals, "instrumental": pair.mixture - vocals}


def oracle_ratio_mask(pair: Pair, n_fft: int = 4096, hop: int = 1024) -> Stems:
    """The best that a soft mask of magnitudes can be expected to do: |V| / (|V| + |I|), from the truth."""

    def spectrogram(x: Block) -> npt.NDArray[np.complex64]:
        return np.concatenate(list(stft([x], n_fft, hop)), axis=-1)

    vocals, instrumental = (np.abs(spectrogram(pair.stems[stem])) for stem in STEMS)
    masked = spectrogram(pair.mixture) * (vocals / (vocals + instrumental + 1e-9))
    estimate = np.concatenate(list(istft([masked], n_fft, hop)), axis=-1)[:, : pair.mixture.shape[1]]
    return {"vocals": estimate, "instrumental": pair.mixture - estimate}


REFERENCES: dict[str, Method] = {
    "mixture itself": mixture_itself,
    "centre cancel": centre_cancel,
    "oracle ratio mask": oracle_ratio_mask,
}
"""Rows that give a model's figures their scale: nothing done, the simplest thing, the truth through a mask."""


def evaluate(
    tracks: list[Path], methods: dict[str, Method], progress: Callable[[str], None] = lambda name: None
) -> dict[str, dict[str, Any]]:
    """By method: `tracks` (scores by track) and `total`, plain values for JSON. Raises FtError.

    `progress` is called with each track's name before its turn.
    """
    found: dict[str, dict[str, Scores]] = {name: {} for name in methods}
    for track in tracks:
        progress(track.name)
        pair = load_pair(track)
        for name, method in methods.items():
            found[name][pair.name] = score(pair, method(pair))
    return {name: {"tracks": scores, "total": total(scores.values())} for name, scores in found.items()}


def _find(track: Path, stem: str) -> Path:
    paths = sorted(track.glob(f"{stem}.*"))
    if not paths:
        raise FtError(f"{track}: no {stem}.* in it")
    return paths[0]


def _power(x: npt.NDArray[np.floating[Any]]) -> float:
    return float(np.sum(np.square(x, dtype=np.float64)))


def _ratio(signal: float, noise: float) -> float:
    return float(10.0 * np.log10((signal + 1e-9) / (noise + 1e-9)))

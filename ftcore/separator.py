"""`Separator`: the one way to separate, for Python and for the command line."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from ftcore import audio, tags
from ftcore.atomic import make_folder, replacing
from ftcore.audio import AudioInfo
from ftcore.config import Stereo
from ftcore.decoders import BLOCK, BitDepth, Block
from ftcore.encoders import FORMATS, Format, Spool, check_format, encode, full_scale
from ftcore.ensemble import Ensemble, combine
from ftcore.errors import FtError, UsageError
from ftcore.harmonics import by_voice
from ftcore.pipeline import Grid, Windowing, channel_groups, separate_blocks, single_groups, song_peak
from ftcore.repetition import by_repetition
from ftcore.runtime import Model, OnnxModel
from ftcore.stereo import by_width, left_right, mid_side

Stem = Literal["vocals", "instrumental"]
STEMS: tuple[Stem, ...] = get_args(Stem)

ProgressCallback = Callable[[float, float], None]
"""Called with (seconds of audio done, seconds in all) after every window."""

SEMITONE = 2 ** (1 / 12)
"""Speed at which a song sounds a semitone higher."""

MOST_AGGRESSION = 60
"""dB: a thousandfold."""

Named = str | Path | Model
"""A model: its name, the path of an exported one, or an open one."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """A separated file."""

    stems: dict[Stem, Path]
    """Where each stem was written."""
    seconds: float
    """Length of the audio."""
    elapsed: float
    """Seconds it took."""
    gain_db: float
    """Shared gain of all stems in dB; below 0 only where one would have clipped."""
    plot: Path | None = None
    """The picture, where one was drawn."""
    notes: tuple[str, ...] = ()
    """What is not as one might expect, a sentence each."""


class Separator:
    """Takes songs apart into vocals and instrumental.

    `model` is the name of a known model, a path of an exported one, or an open `Model`; of several, `ensemble` says how
    their vocals become one (see `ftcore.ensemble.combine`). `device` is auto, cpu, cuda or cuda:N. By default each
    model says `crop` and `pad` in frames (`crop` or less, rather: all windows of a song are equally full), `stereo`,
    `tta` and `postfilter`. `stereo` is how two channels reach the network: joint together, mid-side (twice the time)
    each of those on its own, auto (three times) both, the voice's width deciding between them (see `ftcore.stereo`).
    With `tta` (test-time augmentation) the song is separated played a semitone lower and once more a semitone higher,
    and the two averaged, for twice the time; of auto's two separations one is played higher and one lower, for no more.
    Either time the network hears it equalised (see `ftcore.equaliser`).
    With `postfilter` what is in doubt goes to the stem that was louder at that frequency lately (see
    `ftcore.postfilter`), to the music where that comes back (see `ftcore.repetition`) or where nobody sings, and to a
    single voice at its harmonics, else to the music (see `ftcore.harmonics`).
    `aggression`, in dB, is how much more readily sound counts as voice than the networks say (see
    `ftcore.pipeline.lean`). Raises FtError when a model cannot be opened, UsageError for values out of range.
    """

    def __init__(
        self,
        model: Named | Sequence[Named] = "starter",
        *,
        device: str = "auto",
        crop: int | None = None,
        pad: int | None = None,
        batch: int = 1,
        aggression: float = 0.0,
        stereo: Stereo | None = None,
        tta: bool | None = None,
        postfilter: bool | None = None,
        ensemble: Ensemble = "mean",
    ) -> None:
        given = model if isinstance(model, Sequence) and not isinstance(model, str) else [model]
        self.models: list[Model] = [opened(m, device) for m in given]
        # of all songs and all their separations: every window in a network takes memory, and more are no faster
        self._pools = [ThreadPoolExecutor(each.workers) for each in self.models]
        self.ensemble = ensemble
        self.batch = batch
        self.aggression = aggression
        self.crop = crop
        if batch < 1:
            raise UsageError(f"batch must be at least 1, not {batch}")
        if not abs(aggression) <= MOST_AGGRESSION:
            raise UsageError(f"aggression must be {-MOST_AGGRESSION} to {MOST_AGGRESSION} dB, not {aggression:g}")
        if stereo not in (None, *get_args(Stereo)):
            raise UsageError(f"stereo must be joint, mid-side or auto, not {stereo}")
        options = {"crop": crop, "pad": pad, "stereo": stereo, "tta": tta, "postfilter": postfilter}
        asked: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
        try:
            self.signals = [dataclasses.replace(each.info.signal, **asked) for each in self.models]
        except FtError as error:
            raise UsageError(str(error)) from None

    @property
    def provider(self) -> str:
        """What runs the models, in onnxruntime's words."""
        return self.models[0].provider

    def separate(
        self, mixture: npt.ArrayLike, sample_rate: int, progress: ProgressCallback | None = None
    ) -> dict[Stem, Block]:
        """Stems of `mixture`, float32 [channels, samples] at full scale 1; each like the input.

        They add up to the mixture. Raises FtError for an empty, non-finite or wrongly shaped array.
        """
        wave = np.asarray(mixture, np.float32)
        if wave.ndim != 2 or 0 in wave.shape:
            raise FtError(f"audio must be [channels, samples] with at least one of each, not {list(wave.shape)}")
        if not np.isfinite(wave).all():
            raise FtError("audio holds NaN or infinite samples")

        def blocks() -> Iterator[Block]:
            return (wave[:, i : i + BLOCK] for i in range(0, wave.shape[1], BLOCK))

        parts = list(self._separate(blocks, wave.shape[0], wave.shape[1], sample_rate, progress))
        vocals = np.concatenate([v for _, v in parts], axis=1)
        return {"vocals": vocals, "instrumental": wave - vocals}

    def separate_file(
        self,
        path: str | Path,
        out: str | Path = ".",
        *,
        stems: Iterable[Stem] = STEMS,
        file_format: Format = "wav",
        bit_depth: BitDepth | None = None,
        start: float = 0.0,
        duration: float | None = None,
        overwrite: bool = True,
        progress: ProgressCallback | None = None,
    ) -> Result:
        """Separate a file, or `duration` seconds of it from `start` on, from disk to disk.

        Writes `{track}_{stem}.{format}` into the folder `out`; see `separate_to`.
        """
        info = audio.probe(Path(path)).section(start, duration)
        targets = output_paths(info.path, Path(out), stems, file_format)
        return self.separate_to(
            info, targets, file_format=file_format, bit_depth=bit_depth, overwrite=overwrite, progress=progress
        )

    def separate_to(
        self,
        info: AudioInfo,
        targets: Mapping[Stem, Path],
        *,
        file_format: Format = "wav",
        bit_depth: BitDepth | None = None,
        overwrite: bool = True,
        progress: ProgressCallback | None = None,
    ) -> Result:
        """Write the stems of a file, in memory that does not depend on its length.

        They have the input's rate (or the next one that the format knows), channel count, tags and (unless
        given) bit depth. The files appear complete or not at all; their folders are made if missing. A stem
        that an integer format would clip turns all stems down by one gain. Raises FtError.
        """
        begun = time.monotonic()
        check_format(file_format, info.channels)
        depth = bit_depth or ("24" if info.bit_depth == "32f" and file_format == "flac" else info.bit_depth)
        for target in targets.values():
            make_folder(target.parent)
        notes = []
        with contextlib.ExitStack() as stack:
            spools = {
                stem: stack.enter_context(Spool(target.parent, stem, rate=info.rate, channels=info.channels))
                for stem, target in targets.items()
            }
            for mixture, vocals in self._separate(
                lambda: audio.read_blocks(info), info.channels, info.samples, info.rate, progress
            ):
                for stem, spool in spools.items():
                    spool.write(vocals if stem == "vocals" else mixture - vocals)
            peak = max(spool.peak for spool in spools.values())
            gain = min(1.0, full_scale(file_format, depth) / max(peak, 1e-9))
            parts = {stem: stack.enter_context(replacing(p, overwrite=overwrite)) for stem, p in targets.items()}
            carried = tags.read(info.path)
            for stem, spool in spools.items():
                encode(spool, parts[stem], samples=info.samples, file_format=file_format, bit_depth=depth, gain=gain)
                if carried:
                    try:
                        tags.write(parts[stem], carried)
                    except FtError as error:
                        notes.append(str(error))
        if gain < 1.0:
            notes.append(
                f"all stems turned down by {-20.0 * np.log10(gain):.2f} dB, or one would clip; "
                "--format wav --bit-depth 32f keeps the level"
            )
        if (rate := FORMATS[file_format].rate(info.rate)) != info.rate:
            notes.append(f"written at {rate} Hz, since {file_format} does not know {info.rate} Hz")
        return Result(
            stems=dict(targets),
            seconds=info.seconds,
            elapsed=time.monotonic() - begun,
            gain_db=20.0 * float(np.log10(gain)),
            notes=tuple(dict.fromkeys(notes)),
        )

    def smaller(self) -> bool:
        """Halve the batch, for a device that ran out of memory; False where it is 1 already."""
        if self.batch == 1:
            return False
        self.batch //= 2
        return True

    def _separate(
        self,
        blocks: Callable[[], Iterator[Block]],
        channels: int,
        samples: int,
        rate: int,
        progress: ProgressCallback | None,
    ) -> Iterator[tuple[Block, Block]]:
        """(mixture, vocals) blocks of a source that can be read again and again."""
        if rate not in audio.RATES:
            raise FtError(f"{rate} Hz is outside {audio.RATES.start} to {audio.RATES.stop - 1} Hz")
        with contextlib.ExitStack() as stack:
            # NumPy's own threads would wait for cores on which windows are at work
            stack.enter_context(threadpool_limits(1, user_api="blas"))
            each = []
            for model, signal, pool in zip(self.models, self.signals, self._pools, strict=True):
                peak = 1.0
                if model.info.network.normalisation == "song_peak":
                    peak = song_peak(blocks(), rate=rate, model=model)
                width = model.info.network.audio_channels
                stereo = signal.stereo if channels == 2 else "joint"
                separations = passes(stereo, signal.tta)  # which share the workers; each has one window more waiting
                windowing = Windowing(
                    crop=signal.crop,
                    pad=signal.pad,
                    batch=self.batch,
                    ahead=1 + -(-model.workers // len(separations)),
                    equalised=signal.tta,
                )
                estimates = []
                for speed, apart in separations:
                    played = rate * speed  # a song that is read as of another rate has another speed
                    frames = 2 + samples // Grid.of(signal, played).hop
                    estimate = separate_blocks(
                        mid_side(blocks()) if apart else blocks(),
                        rate=played,
                        groups=single_groups(2, width) if apart else channel_groups(channels, width),
                        model=model,
                        pool=pool,
                        windowing=windowing if self.crop else windowing.fitted(frames),
                        aggression=self.aggression,
                        postfilter=signal.postfilter,
                        peak=peak,
                    )
                    estimates.append(((left_right(m), left_right(v)) for m, v in estimate) if apart else estimate)
                separated = by_width(estimates, rate) if stereo == "auto" else combine(estimates, "mean")
                if signal.postfilter:
                    separated = by_repetition(separated, Grid.of(signal, rate), rate)
                    separated = by_voice(separated, rate)
                each.append(separated)
            done = 0
            for mixture, vocals in combine(each, self.ensemble):
                yield mixture, vocals
                done += mixture.shape[1]
                if progress is not None:
                    progress(done / rate, samples / rate)


def passes(stereo: Stereo, tta: bool) -> list[tuple[float, bool]]:
    """The separations that a song takes: the speed it is played at, and whether mid and side are apart."""
    lower, higher = (1 / SEMITONE, SEMITONE) if tta else (1.0, 1.0)
    if stereo == "auto":
        return [(higher, False), (lower, True)]
    return [(speed, stereo == "mid-side") for speed in dict.fromkeys((lower, higher))]


def opened(model: Named, device: str) -> Model:
    """A model ready to run. Raises FtError."""
    if not isinstance(model, (str, Path)):
        return model
    from snapshots.registry import find_model

    return OnnxModel(find_model(str(model)), device)


def output_paths(path: Path, out: Path, stems: Iterable[Stem], file_format: str) -> dict[Stem, Path]:
    """Where the stems of a file go."""
    return {stem: out / f"{path.stem}_{stem}.{file_format}" for stem in stems}

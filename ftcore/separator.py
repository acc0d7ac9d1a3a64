"""`Separator`: the one way to separate, for Python and for the command line."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from ftcore import audio
from ftcore.atomic import make_folder, replacing
from ftcore.audio import BitDepth, Block, Format
from ftcore.errors import FtError, UsageError
from ftcore.pipeline import Windowing, separate_blocks, song_peak
from ftcore.runtime import Model, OnnxModel

Stem = Literal["vocals", "instrumental"]
STEMS: tuple[Stem, ...] = get_args(Stem)

ProgressCallback = Callable[[float, float], None]
"""Called with (seconds of audio done, seconds in all) after every window."""


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


class Separator:
    """Takes songs apart into vocals and instrumental.

    `model` is the name of a known model, a path of an exported one, or an open `Model`; `device` is
    auto, cpu, cuda or cuda:N; `crop`, `pad` (frames) and `batch` default to what the model says.
    Raises FtError when the model cannot be opened.
    """

    def __init__(
        self,
        model: str | Path | Model = "starter",
        *,
        device: str = "auto",
        crop: int | None = None,
        pad: int | None = None,
        batch: int = 1,
    ) -> None:
        if isinstance(model, (str, Path)):
            from snapshots.registry import find_model

            model = OnnxModel(find_model(str(model)), device)
        self.model: Model = model
        signal = model.info.signal
        self.windowing = Windowing(
            crop=signal.crop if crop is None else crop, pad=signal.pad if pad is None else pad, batch=batch
        )
        if self.windowing.crop < 1 or self.windowing.pad < 0 or batch < 1:
            raise UsageError("crop and batch must be at least 1, pad at least 0")

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
            return (wave[:, i : i + audio.BLOCK] for i in range(0, wave.shape[1], audio.BLOCK))

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
        progress: ProgressCallback | None = None,
    ) -> Result:
        """Separate a file from disk to disk, in memory that does not depend on its length.

        Writes `{track}_{stem}.{format}` into the folder `out`, made if missing, at the input's rate,
        channel count and (unless given) bit depth. The files appear complete or not at all. A stem
        that an integer format would clip turns all stems down by one gain. Raises FtError.
        """
        start = time.monotonic()
        info = audio.probe(Path(path))
        depth = bit_depth or ("24" if info.bit_depth == "32f" and file_format == "flac" else info.bit_depth)
        targets = output_paths(info.path, Path(out), stems, file_format)
        make_folder(Path(out))
        with contextlib.ExitStack() as stack:
            spools = {stem: stack.enter_context(audio.Spool(Path(out), info.channels)) for stem in targets}
            for mixture, vocals in self._separate(
                lambda: audio.read_blocks(info), info.channels, info.samples, info.rate, progress
            ):
                for stem, spool in spools.items():
                    spool.write(vocals if stem == "vocals" else mixture - vocals)
            peak = max(spool.peak for spool in spools.values())
            gain = min(1.0, audio.full_scale(file_format, depth) / max(peak, 1e-9))
            parts = {stem: stack.enter_context(replacing(target)) for stem, target in targets.items()}
            for stem, spool in spools.items():
                audio.encode(
                    spool,
                    parts[stem],
                    rate=info.rate,
                    samples=info.samples,
                    file_format=file_format,
                    bit_depth=depth,
                    gain=gain,
                )
        return Result(
            stems=targets,
            seconds=info.seconds,
            elapsed=time.monotonic() - start,
            gain_db=20.0 * float(np.log10(gain)),
        )

    def _separate(
        self,
        blocks: Callable[[], Iterator[Block]],
        channels: int,
        samples: int,
        rate: int,
        progress: ProgressCallback | None,
    ) -> Iterator[tuple[Block, Block]]:
        """(mixture, vocals) blocks of a source that can be read twice."""
        if rate not in audio.RATES:
            raise FtError(f"{rate} Hz is outside {audio.RATES.start} to {audio.RATES.stop - 1} Hz")
        peak = 1.0
        if self.model.info.network.normalisation == "song_peak":
            peak = song_peak(blocks(), rate=rate, channels=channels, model=self.model)
        done = 0
        for mixture, vocals in separate_blocks(
            blocks(), rate=rate, channels=channels, model=self.model, windowing=self.windowing, peak=peak
        ):
            yield mixture, vocals
            done += mixture.shape[1]
            if progress is not None:
                progress(done / rate, samples / rate)


def output_paths(path: Path, out: Path, stems: Iterable[Stem], file_format: str) -> dict[Stem, Path]:
    """Where the stems of a file go."""
    return {stem: out / f"{path.stem}_{stem}.{file_format}" for stem in stems}

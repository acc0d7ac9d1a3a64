"""How `ft separate` shows what it does: in a terminal, as JSON events, or not at all."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ftcli.app import fail
from ftcli.options import separations
from ftcore.audio import AudioInfo
from ftcore.errors import FtError
from ftcore.memory import peak_bytes
from ftcore.separator import Result, Separator

EVENTS = 1
"""Version of the events that --json prints."""

Show = Callable[[float, float], None]
"""Called with (seconds of audio done, seconds in all)."""


@dataclass
class Totals:
    """What a run has come to."""

    done: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0.0
    """Of audio separated."""
    begun: float = field(default_factory=time.monotonic)

    def add(self, result: Result) -> None:
        """One more song."""
        self.done += 1
        self.seconds += result.seconds

    @property
    def files(self) -> int:
        """All songs."""
        return self.done + self.failed + self.skipped

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.begun


class Report:
    """How a run is shown: here, errors only. The others add to it. Songs may run in several threads."""

    def start(self, separator: Separator, models: Sequence[str], files: int) -> None:
        """Nothing."""

    @contextmanager
    def file(self, path: Path) -> Iterator[Show]:
        """No progress."""
        yield lambda done, total: None

    def found(self, info: AudioInfo) -> None:
        """Nothing."""

    def done(self, path: Path, result: Result) -> None:
        """Nothing."""

    def skipped(self, path: Path) -> None:
        """Nothing."""

    def failed(self, path: Path, error: FtError) -> None:
        """One line on stderr."""
        fail(str(error), 1)

    def stop(self) -> None:
        """Nothing."""

    def end(self, totals: Totals) -> None:
        """Nothing."""


class BarReport(Report):
    """A progress bar per file and, for several, one over all (in a terminal), and a line per result, on stderr."""

    def __init__(self, files: int, *, verbose: bool) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

        self.verbose = verbose
        self.provider = ""
        self.console = Console(stderr=True, highlight=False, soft_wrap=True)
        self.progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[speed]}"),
            TextColumn("ETA"),
            TimeRemainingColumn(),
            console=self.console,
            disable=not self.console.is_terminal,
            transient=True,
        )
        self.overall = self.progress.add_task("all files", total=files, speed="", visible=files > 1)

    def say(self, text: str) -> None:
        """One line, whatever characters are in it."""
        self.progress.console.print(text, markup=False)

    def start(self, separator: Separator, models: Sequence[str], files: int) -> None:
        """Models and provider."""
        self.provider = separator.provider.removesuffix("ExecutionProvider")
        joined = f" ({separator.ensemble})" if len(models) > 1 else ""
        self.say(f"model {' + '.join(models)}{joined} on {self.provider}, {files} file{'s' if files > 1 else ''}")
        if self.verbose:
            for name, model, signal in zip(models, separator.models, separator.signals, strict=True):
                self.say(
                    f"{name}: {signal.sample_rate} Hz, n_fft {signal.n_fft}, hop {signal.hop}, {model.info.precision}"
                )
                self.say(
                    f"{name}: windows of up to {signal.crop} frames with {signal.pad} of context on either side, "
                    f"{separator.batch} at once{separations(signal.stereo, signal.tta, signal.postfilter)}"
                    f"{f', aggression {separator.aggression:g} dB' if separator.aggression else ''}"
                )
        self.progress.start()

    @contextmanager
    def file(self, path: Path) -> Iterator[Show]:
        """The bar of one file."""
        task = self.progress.add_task(path.name, total=None, speed="")
        begun = time.monotonic()

        def update(done: float, total: float) -> None:
            speed = f"{done / max(time.monotonic() - begun, 1e-9):.1f}x"
            self.progress.update(task, completed=done, total=total, speed=speed)

        try:
            yield update
        finally:
            self.progress.remove_task(task)
            self.progress.advance(self.overall)

    def found(self, info: AudioInfo) -> None:
        """What a song is."""
        if self.verbose:
            depth = "float" if info.bit_depth == "32f" else f"{info.bit_depth} bit"
            self.say(f"{info.path}: {info.seconds:.1f} s, {info.rate} Hz, {info.channels} channels, {depth}")

    def done(self, path: Path, result: Result) -> None:
        """Where the stems are."""
        names = ", ".join(str(p) for p in (*result.stems.values(), *((result.plot,) if result.plot else ())))
        speed = result.seconds / max(result.elapsed, 1e-9)
        self.say(f"{path}: {names} ({result.seconds:.1f} s of audio in {result.elapsed:.1f} s, {speed:.1f}x)")
        for note in result.notes:
            self.say(f"{path}: {note}")

    def skipped(self, path: Path) -> None:
        """Said, so that nobody waits for it."""
        self.say(f"{path}: skipped, its stems are there and whole")

    def failed(self, path: Path, error: FtError) -> None:
        """One line on stderr, above the bars."""
        self.say(f"ft: {' '.join(str(error).split())}")

    def stop(self) -> None:
        """Give the terminal back."""
        self.progress.stop()

    def end(self, totals: Totals) -> None:
        """What it came to."""
        counts = f"{totals.done} of {totals.files} files done"
        for number, what in ((totals.skipped, "skipped"), (totals.failed, "failed")):
            counts += f", {number} {what}" if number else ""
        factor = f", real-time factor {totals.elapsed / totals.seconds:.3f}" if totals.seconds else ""
        peak = peak_bytes()
        memory = f", peak memory {peak / 1e6:.0f} MB" if peak else ""
        self.say(
            f"{counts}: {totals.seconds:.1f} s of audio in {totals.elapsed:.1f} s{factor} on {self.provider}{memory}"
        )


class JsonReport(Report):
    """One JSON object a line on stdout, flushed at once; see `docs/json-events.md`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def emit(self, event: str, **values: Any) -> None:
        """Print one event."""
        with self._lock:
            sys.stdout.write(json.dumps({"version": EVENTS, "event": event, **values}) + "\n")
            sys.stdout.flush()

    def start(self, separator: Separator, models: Sequence[str], files: int) -> None:
        """Event `start`."""
        self.emit("start", model=models[0], models=list(models), provider=separator.provider, files=files)

    @contextmanager
    def file(self, path: Path) -> Iterator[Show]:
        """Events `progress`."""
        yield lambda done, total: self.emit("progress", file=str(path), done=round(done, 3), total=round(total, 3))

    def done(self, path: Path, result: Result) -> None:
        """Event `result`."""
        self.emit(
            "result",
            file=str(path),
            stems={stem: str(p) for stem, p in result.stems.items()},
            plot=None if result.plot is None else str(result.plot),
            seconds=result.seconds,
            elapsed=round(result.elapsed, 3),
            gain_db=result.gain_db,
            notes=list(result.notes),
        )

    def skipped(self, path: Path) -> None:
        """Event `skipped`."""
        self.emit("skipped", file=str(path))

    def failed(self, path: Path, error: FtError) -> None:
        """Event `error`, and the line on stderr as ever."""
        self.emit("error", file=str(path), message=str(error))
        super().failed(path, error)

    def end(self, totals: Totals) -> None:
        """Event `summary`."""
        self.emit(
            "summary",
            files=totals.files,
            done=totals.done,
            skipped=totals.skipped,
            failed=totals.failed,
            seconds=round(totals.seconds, 3),
            elapsed=round(totals.elapsed, 3),
            peak_memory_bytes=peak_bytes(),
        )

"""How `ft separate` shows what it does: in a terminal, as JSON events, or not at all."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ftcli.app import fail
from ftcore.errors import FtError
from ftcore.separator import Result, Separator

EVENTS = 1
"""Version of the events that --json prints."""


class Report:
    """How a run is shown: here, errors only. The others add to it."""

    def start(self, separator: Separator, model: str, files: int) -> None:
        """Nothing."""

    @contextmanager
    def file(self, path: Path) -> Iterator[Any]:
        """No progress."""
        yield None

    def done(self, path: Path, result: Result) -> None:
        """Nothing."""

    def skipped(self, path: Path) -> None:
        """Nothing."""

    def failed(self, path: Path, error: FtError) -> None:
        """One line on stderr."""
        fail(str(error), 1)

    def stop(self) -> None:
        """Nothing."""

    def end(self, files: int, failed: int) -> None:
        """Nothing."""


class BarReport(Report):
    """A progress bar per file and, for several, one over all (in a terminal), and a line per result."""

    def __init__(self, files: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

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

    def start(self, separator: Separator, model: str, files: int) -> None:
        """Model and provider."""
        provider = separator.model.provider.removesuffix("ExecutionProvider")
        self.say(f"model {model} on {provider}, {files} file{'s' if files > 1 else ''}")
        self.progress.start()

    @contextmanager
    def file(self, path: Path) -> Iterator[Any]:
        """The bar of one file."""
        task = self.progress.add_task(path.name, total=None, speed="")

        def update(done: float, total: float) -> None:
            elapsed = self.progress.tasks[-1].elapsed or 0.0
            speed = f"{done / elapsed:.1f}x" if elapsed > 0 else ""
            self.progress.update(task, completed=done, total=total, speed=speed)

        try:
            yield update
        finally:
            self.progress.remove_task(task)
            self.progress.advance(self.overall)

    def done(self, path: Path, result: Result) -> None:
        """Where the stems are."""
        names = ", ".join(str(p) for p in result.stems.values())
        speed = result.seconds / max(result.elapsed, 1e-9)
        self.say(f"{path}: {names} ({result.seconds:.1f} s of audio in {result.elapsed:.1f} s, {speed:.1f}x)")
        if result.gain_db < 0:
            gain = f"turned down by {-result.gain_db:.2f} dB"
            self.say(f"{path}: all stems {gain}, or one would clip; --bit-depth 32f keeps the level")

    def skipped(self, path: Path) -> None:
        """Said, so that nobody waits for it."""
        self.say(f"{path}: skipped, its stems exist")
        self.progress.advance(self.overall)

    def failed(self, path: Path, error: FtError) -> None:
        """One line on stderr, above the bars."""
        self.say(f"ft: {' '.join(str(error).split())}")

    def stop(self) -> None:
        """Give the terminal back."""
        self.progress.stop()

    def end(self, files: int, failed: int) -> None:
        """A summary where something failed."""
        if failed and files > 1:
            self.say(f"{files - failed} of {files} files done, {failed} failed")


class JsonReport(Report):
    """One JSON object a line on stdout, flushed at once; see `docs/json-events.md`."""

    def emit(self, event: str, **values: Any) -> None:
        """Print one event."""
        sys.stdout.write(json.dumps({"version": EVENTS, "event": event, **values}) + "\n")
        sys.stdout.flush()

    def start(self, separator: Separator, model: str, files: int) -> None:
        """Event `start`."""
        self.emit("start", model=model, provider=separator.model.provider, files=files)

    @contextmanager
    def file(self, path: Path) -> Iterator[Any]:
        """Events `progress`."""
        yield lambda done, total: self.emit("progress", file=str(path), done=round(done, 3), total=round(total, 3))

    def done(self, path: Path, result: Result) -> None:
        """Event `result`."""
        self.emit(
            "result",
            file=str(path),
            stems={stem: str(p) for stem, p in result.stems.items()},
            seconds=result.seconds,
            elapsed=round(result.elapsed, 3),
            gain_db=result.gain_db,
        )

    def skipped(self, path: Path) -> None:
        """Event `skipped`."""
        self.emit("skipped", file=str(path))

    def failed(self, path: Path, error: FtError) -> None:
        """Event `error`, and the line on stderr as ever."""
        self.emit("error", file=str(path), message=str(error))
        super().failed(path, error)

    def end(self, files: int, failed: int) -> None:
        """Event `summary`."""
        self.emit("summary", files=files, failed=failed)

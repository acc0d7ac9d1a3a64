"""Many songs: which files, where their stems go, what is done already, several at a time."""

from __future__ import annotations

import string
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from ftcore import audio
from ftcore.audio import AudioInfo
from ftcore.encoders import FORMATS, Format
from ftcore.errors import FtError, UsageError
from ftcore.separator import Stem

NAME = "{track}_{stem}.{ext}"
"""How stems are called, unless the user knows better."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One song."""

    source: Path
    targets: dict[Stem, Path]

    @property
    def existing(self) -> list[Path]:
        """Stems that are there already, whatever they hold."""
        return [path for path in self.targets.values() if path.exists()]

    def is_finished(self, info: AudioInfo, file_format: Format) -> bool:
        """Whether every stem is there, whole, and as long as `info` says of the source.

        Each is decoded to its end: a header alone promises what a file cut short does not hold.
        """
        rate = FORMATS[file_format].rate(info.rate)
        samples = info.samples * rate / info.rate
        try:
            for path in self.targets.values():
                made = audio.probe(path)
                for _ in audio.read_blocks(made):
                    pass
                if (made.rate, made.channels) != (rate, info.channels) or abs(made.samples - samples) > 1:
                    return False
        except FtError:
            return False
        return True


def plan(
    inputs: Iterable[str], out: Path, *, stems: Sequence[Stem], file_format: Format, name: str = NAME
) -> list[Job]:
    """A job for each file given, and for each audio file below the folders given, whose tree is kept in `out`.

    What lies in `out` or is a stem of another job is no song, when a folder is searched. Raises FtError for
    folders without audio, UsageError where two songs would write the same file or one would overwrite a song.
    """
    check_name(name, stems)
    jobs: dict[Path, Job] = {}
    given: set[Path] = set()

    def add(source: Path, folder: Path) -> None:
        targets: dict[Stem, Path] = {
            stem: folder / name.format(track=source.stem, stem=stem, ext=file_format) for stem in stems
        }
        jobs.setdefault(source, Job(source=source, targets=targets))

    for text in inputs:
        path = Path(text)
        if not path.is_dir():
            given.add(path)
            add(path, out)  # whether it exists is that file's own error
            continue
        inside = out.resolve() != path.resolve() and out.resolve().is_relative_to(path.resolve())
        for source in audio.find(path):
            if not (inside and source.resolve().is_relative_to(out.resolve())):
                add(source, out / source.parent.relative_to(path))
    written = {target.resolve() for job in jobs.values() for target in job.targets.values()}
    kept = [job for job in jobs.values() if job.source in given or job.source.resolve() not in written]
    _check_collisions(kept)
    return kept


def check_name(name: str, stems: Sequence[Stem]) -> None:
    """Raise UsageError for a pattern of file names that cannot serve."""
    try:
        fields = {field for _, field, _, _ in string.Formatter().parse(name) if field is not None}
        name.format(track="", stem="", ext="")
    except (ValueError, KeyError, IndexError, AttributeError):
        fields = {""}
    if not fields <= {"track", "stem", "ext"}:
        raise UsageError(f"--filename {name}: it may hold {{track}}, {{stem}} and {{ext}}, and nothing else in braces")
    if len(stems) > 1 and "stem" not in fields:
        raise UsageError(f"--filename {name}: without {{stem}} both stems would be the same file")
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise UsageError(f"--filename {name}: it must stay in the output folder")


def _check_collisions(jobs: Sequence[Job]) -> None:
    owner: dict[Path, Path] = {}
    songs = {job.source.resolve() for job in jobs}
    for job in jobs:
        for path in job.targets.values():
            other = owner.setdefault(path.resolve(), job.source)
            if other != job.source:
                raise UsageError(
                    f"{other} and {job.source} would both write {path}; give them different output folders"
                )
            if path.resolve() in songs:
                raise UsageError(f"{job.source} would write {path}, which is an input too; give another -o")


class Stopped(Exception):
    """Raised inside a job that is to end early."""


def run(jobs: Sequence[Job], work: Callable[[Job, Callable[[], None]], None], *, at_once: int) -> None:
    """Call `work` for each job, `at_once` of them in threads; it calls the function that it gets now and then.

    When this is interrupted, that function raises Stopped in the jobs that still run, and the rest is not begun.
    """
    if at_once == 1:
        for job in jobs:
            work(job, lambda: None)
        return
    stopping = False

    def check() -> None:
        if stopping:
            raise Stopped

    with ThreadPoolExecutor(at_once) as pool:
        running: set[Future[None]] = {pool.submit(work, job, check) for job in jobs}
        try:
            while running:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    future.result()
        except BaseException:
            stopping = True
            pool.shutdown(wait=True, cancel_futures=True)
            raise

"""A run of `ft separate`: one song after another, or several at once, each shown and none spoiling the rest."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ftcli.report import BarReport, JsonReport, Report, Totals
from ftcore import audio, jobs
from ftcore.atomic import sweep
from ftcore.audio import AudioInfo
from ftcore.decoders import BitDepth
from ftcore.encoders import Format
from ftcore.errors import FtError
from ftcore.jobs import Job
from ftcore.runtime import OutOfMemoryError
from ftcore.separator import ProgressCallback, Result, Separator


@dataclass(kw_only=True)
class Batch:
    """What is done with each song."""

    separator: Separator
    models: Sequence[str]
    report: Report
    file_format: Format
    bit_depth: BitDepth | None
    start: float
    duration: float | None
    skip_existing: bool
    overwrite: bool
    plot: bool
    totals: Totals = field(default_factory=Totals)

    def run(self, planned: Sequence[Job], *, at_once: int) -> int:
        """Do them all; how many failed."""
        for folder in {target.parent for job in planned for target in job.targets.values()}:
            sweep(folder)
        self.report.start(self.separator, self.models, len(planned))
        try:
            jobs.run(planned, self.one, at_once=at_once)
        finally:
            self.report.stop()
        self.report.end(self.totals)
        return self.totals.failed

    def one(self, job: Job, check: Callable[[], None]) -> None:
        """One song; what is wrong with it is its own error. `check` raises where the run is to end early."""
        try:
            with self.report.file(job.source) as show:

                def progress(done: float, total: float) -> None:
                    check()
                    show(done, total)

                info = audio.probe(job.source).section(self.start, self.duration)
                self.report.found(info)
                result = self.separated(job, info, progress)
            if result is None:
                self.totals.skipped += 1
                self.report.skipped(job.source)
            else:
                self.totals.add(result)
                self.report.done(job.source, result)
        except FtError as error:
            self.totals.failed += 1
            self.report.failed(job.source, error)

    def separated(self, job: Job, info: AudioInfo, progress: ProgressCallback) -> Result | None:
        """Its stems, and a picture where it is wanted; None where they are there already. Raises FtError."""
        if self.skip_existing and job.is_finished(info, self.file_format):
            return None
        if job.existing and not (self.overwrite or self.skip_existing):
            raise FtError(f"{job.existing[0]}: exists already; give --overwrite, --skip-existing or another -o")
        try:
            result = self._separated(job, info, progress)
        except OutOfMemoryError:
            if not self.separator.smaller():
                raise
            result = self._separated(job, info, progress)
            note = "the device ran out of memory; done with half the batch, from here on"
            result = dataclasses.replace(result, notes=(*result.notes, note))
        if self.plot:
            from ftcore import picture

            path = next(iter(job.targets.values())).parent / f"{job.source.stem}_plot.png"
            picture.stems(info, result.stems, path)
            result = dataclasses.replace(result, plot=path)
        return result

    def _separated(self, job: Job, info: AudioInfo, progress: ProgressCallback) -> Result:
        return self.separator.separate_to(
            info,
            job.targets,
            file_format=self.file_format,
            bit_depth=self.bit_depth,
            overwrite=self.overwrite or self.skip_existing,
            progress=progress,
        )


def reporter(files: int, *, json_events: bool, quiet: bool, verbose: bool) -> Report:
    """How a run is shown."""
    if json_events:
        return JsonReport()
    return Report() if quiet else BarReport(files, verbose=verbose)

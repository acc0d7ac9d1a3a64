"""`ft doctor`: is everything there, and if not, how to get it."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path

import typer

from ftcore import __version__, plugins
from ftcore.errors import FtError

app = typer.Typer()

Finding = tuple[str, str]
"""(state, what was found); the state is ok, note or FAIL."""


@app.command()
def doctor() -> int:
    """Check the installation; say what is missing and how to get it."""
    failed = False
    for check in (versions, audio, runtime, models, training, extensions):
        for state, text in guarded(check):
            failed |= state == "FAIL"
            typer.echo(f"{state:>4}  {text}")
    return 1 if failed else 0


def guarded(check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """A check that cannot run is a finding too."""
    try:
        yield from check()
    except FtError as error:
        yield "FAIL", str(error)


def versions() -> Iterator[Finding]:
    """ft, Python, the machine."""
    yield "ok", f"ft {__version__}, Python {platform.python_version()}, {platform.platform()}"
    yield "ok", f"installed in {Path(sys.prefix)}"


def audio() -> Iterator[Finding]:
    """The audio libraries."""
    import soundfile

    libsndfile = soundfile.__libsndfile_version__
    yield "ok", f"audio: soundfile {soundfile.__version__}, {libsndfile}, soxr {metadata.version('soxr')}"


def runtime() -> Iterator[Finding]:
    """onnxruntime, one of its two packages, and what it can run on."""
    from ftcore.runtime import import_onnxruntime, installed_runtimes

    ort = import_onnxruntime()
    names = " and ".join(sorted(installed_runtimes())) or "onnxruntime (no package metadata)"
    yield "ok", f"inference: {names} {ort.__version__}, providers {', '.join(ort.get_available_providers())}"


def models() -> Iterator[Finding]:
    """Each model's file and hash, and that the default one runs."""
    from ftcore.separator import Separator
    from snapshots.registry import known_models

    known, broken = known_models()
    for manifest in known.values():
        try:
            manifest.checked_path()
            yield "ok", f"model {manifest.name}: {manifest.path}, hash right"
        except FtError as error:
            yield "FAIL", str(error)
    for problem in broken:
        yield "FAIL", str(problem)
    stems = Separator("starter").separate([[0.0] * 4410, [0.0] * 4410], 44100)
    yield "ok", f"model starter runs, stems: {', '.join(stems)}"


def training() -> Iterator[Finding]:
    """torch is only needed to train and export."""
    try:
        yield "ok", f"training: torch {metadata.version('torch')}"
    except metadata.PackageNotFoundError:
        yield "note", "training and export need torch: pip install 'frame-transformer[train]'"


def extensions() -> Iterator[Finding]:
    """Plugins that are not ours."""
    for group in plugins.GROUPS:
        for name, entry in plugins.discover(group).items():
            if plugins.package(entry) == plugins.OURS:
                continue
            try:
                plugins.load(entry)
                yield "ok", f"plugin {name} ({group}) of {plugins.package(entry)}"
            except FtError as error:
                yield "FAIL", f"{error}; pip uninstall {plugins.package(entry)}, or ask its author"

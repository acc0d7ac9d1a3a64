"""`ft doctor`: is everything there, and if not, what mends it."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal

import typer

from ftcore import __version__, plugins
from ftcore.errors import FtError, Mendable

app = typer.Typer()

LOW = 1_000_000_000
"""Bytes of free disk below which a note says so: a large model and its checkpoint take some hundred millions."""

DAY = 24 * 60 * 60
"""Seconds after which a temporary folder belongs to no import that still runs."""

State = Literal["ok", "note", "FAIL"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One line of the diagnosis."""

    check: str
    state: State
    text: str
    fix: str | None = None
    """The command that mends it."""


Check = Callable[[], Iterator[Finding]]


@app.command()
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as one JSON document.")] = False,
) -> int:
    """Check the installation; say what is missing and the command that mends it."""
    checks = (versions, audio, m4a, runtime, gpu, models, separation, cache, disk, leftovers, training, extensions)
    findings = []
    for check in checks:
        for finding in guarded(check):
            findings.append(finding)
            if not as_json:
                typer.echo(f"{finding.state:>4}  {' '.join(finding.text.split())}")
                if finding.fix:
                    typer.echo(f"      to mend it: {finding.fix}")
    if as_json:
        typer.echo(json.dumps([dataclasses.asdict(finding) for finding in findings], indent=2))
    return 1 if any(finding.state == "FAIL" for finding in findings) else 0


def guarded(check: Check) -> Iterator[Finding]:
    """A check that cannot run is a finding too."""
    try:
        yield from check()
    except Mendable as error:
        yield failure(check, error.problem, error.fix)
    except (FtError, ImportError, OSError) as error:
        yield failure(check, str(error))


def ok(check: Check, text: str) -> Finding:
    """Nothing to mend."""
    return Finding(check=check.__name__, state="ok", text=text)


def note(check: Check, text: str, fix: str) -> Finding:
    """Something that one may want to mend."""
    return Finding(check=check.__name__, state="note", text=text, fix=fix)


def failure(check: Check, text: str, fix: str | None = None) -> Finding:
    """Something that keeps ft from working."""
    return Finding(check=check.__name__, state="FAIL", text=text, fix=fix)


def versions() -> Iterator[Finding]:
    """ft, Python, the machine."""
    yield ok(versions, f"ft {__version__}, Python {platform.python_version()}, {platform.platform()}")
    yield ok(versions, f"installed in {Path(sys.prefix)}")


def audio() -> Iterator[Finding]:
    """The audio libraries."""
    try:
        import soundfile
        import soxr
    except (ImportError, OSError) as error:  # OSError: it does not find libsndfile
        yield failure(audio, f"audio: {error}", "pip install --force-reinstall soundfile soxr")
        return
    libsndfile = soundfile.__libsndfile_version__
    yield ok(audio, f"audio: soundfile {soundfile.__version__}, {libsndfile}, soxr {soxr.__version__}")


def m4a() -> Iterator[Finding]:
    """PyAV, which is only needed for some formats."""
    from ftcore.decoders import INSTALL

    if find_spec("av") is None:
        yield note(m4a, "m4a, aac, webm and videos cannot be read without PyAV", INSTALL)
    else:
        yield ok(m4a, f"m4a, aac, webm and videos: PyAV {metadata.version('av')}")


def runtime() -> Iterator[Finding]:
    """onnxruntime, one of its two packages, and what it can run on."""
    from ftcore.runtime import INSTALL, INSTALL_GPU, import_onnxruntime, installed_runtimes

    installed = installed_runtimes()
    install = INSTALL_GPU if nvidia_gpu() else INSTALL
    try:
        ort = import_onnxruntime()
    except Mendable as error:
        # pip would keep a package that is there, however broken
        remove = f"pip uninstall -y {' '.join(sorted(installed))} && " if installed else ""
        yield failure(runtime, error.problem, f"{remove}{install}")
        return
    names = " and ".join(sorted(installed)) or "onnxruntime (no package metadata)"
    yield ok(runtime, f"inference: {names} {ort.__version__}, providers {', '.join(ort.get_available_providers())}")


def gpu() -> Iterator[Finding]:
    """Whether the GPU and the package for it are both there, and work together."""
    from ftcore.runtime import INSTALL, INSTALL_GPU, OnnxModel, installed_runtimes

    installed = installed_runtimes()
    if installed == {"onnxruntime"} and nvidia_gpu():
        text = "there is an NVIDIA GPU, but onnxruntime's CPU package does not use it"
        yield note(gpu, text, f"pip uninstall -y onnxruntime && {INSTALL_GPU}")
    if installed != {"onnxruntime-gpu"}:
        return
    if not nvidia_gpu():
        text = "onnxruntime-gpu is installed, but there is no NVIDIA GPU here: separation runs on the CPU"
        yield note(gpu, text, f"pip uninstall -y onnxruntime-gpu && {INSTALL}")
        return
    path = default_model()
    if path is None:
        return
    try:
        OnnxModel(path, "cuda")
        yield ok(gpu, "CUDA works")
    except FtError as error:
        text = f"separation falls back to the CPU: {error}. CUDA 13 needs a driver of version 580 or newer, too"
        yield failure(gpu, text, INSTALL_GPU)


def nvidia_gpu() -> bool:
    """Whether this machine seems to have one."""
    return shutil.which("nvidia-smi") is not None or Path("/dev/nvidia0").exists()


def models() -> Iterator[Finding]:
    """Each model's file and hash."""
    from snapshots.registry import known_models

    known, broken = known_models()
    for manifest in known.values():
        try:
            manifest.checked_path()
            yield ok(models, f"model {manifest.name}: {manifest.path}, hash right")
        except Mendable as error:
            broken.append(error)
    for problem in broken:
        yield failure(models, problem.problem, problem.fix)


def separation() -> Iterator[Finding]:
    """That the default model runs, where the checks before found all that it needs."""
    from ftcore.separator import Separator
    from snapshots.registry import DEFAULT

    if default_model() is None:
        return
    stems = Separator(DEFAULT).separate([[0.0] * 4410, [0.0] * 4410], 44100)
    yield ok(separation, f"model {DEFAULT} runs, stems: {', '.join(stems)}")


def default_model() -> Path | None:
    """Its file; None where it or onnxruntime is not as it should be, which their own checks say."""
    from ftcore.runtime import import_onnxruntime
    from snapshots.registry import DEFAULT, find_model

    try:
        import_onnxruntime()
        return find_model(DEFAULT)
    except FtError:
        return None


def cache() -> Iterator[Finding]:
    """Whether models of the user can be kept."""
    from snapshots.registry import cache_folder

    folder = cache_folder()
    try:
        tempfile.TemporaryFile(dir=existing(folder)).close()
        yield ok(cache, f"cache: {folder}")
    except OSError as error:
        if os.environ.get("FT_CACHE_DIR"):
            fix = "unset FT_CACHE_DIR, or set it to a folder that you can write"
        else:
            fix = f"export FT_CACHE_DIR={shlex.quote(str(Path.home() / 'ft-cache'))}, or a folder that you can write"
        yield failure(cache, f"cache: {folder} cannot be written ({error.strerror})", fix)


def disk() -> Iterator[Finding]:
    """Free space where models are kept, and for what is temporary."""
    from snapshots.registry import cache_folder

    for folder, variable in ((cache_folder(), "FT_CACHE_DIR"), (Path(tempfile.gettempdir()), "TMPDIR")):
        free = shutil.disk_usage(existing(folder)).free
        text = f"disk: {free / 1e9:.1f} GB free for {folder}"
        if free < LOW:
            yield note(disk, f"{text}, too little for large models", f"export {variable}=FOLDER, one on a larger disk")
        else:
            yield ok(disk, text)


def existing(folder: Path) -> Path:
    """The folder, or what there is of its path: `mkdir -p` would begin there."""
    return next(p for p in (folder, *folder.absolute().parents) if p.exists())


def leftovers() -> Iterator[Finding]:
    """Temporary folders of imports that were killed."""
    from snapshots.registry import models_folder

    for path in sorted(models_folder().glob(".ft-*")):
        if time.time() - path.stat().st_mtime > DAY:
            yield note(leftovers, f"{path} is left of an import that was killed", f"rm -r {shlex.quote(str(path))}")


def training() -> Iterator[Finding]:
    """torch is only needed to train and export."""
    try:
        yield ok(training, f"training: torch {metadata.version('torch')}")
    except metadata.PackageNotFoundError:
        yield note(training, "training and export need torch", "pip install 'frame-transformer[train]'")


def extensions() -> Iterator[Finding]:
    """Plugins that are not ours; `models` has those that are models."""
    for group in plugins.GROUPS:
        for name, entry in plugins.discover(group).items():
            package = plugins.package(entry)
            if package == plugins.OURS:
                continue
            try:
                plugins.load(entry)
                yield ok(extensions, f"plugin {name} ({group}) of {package}")
            except FtError as error:
                if group != "ft.models":
                    fix = f"pip install --upgrade {package}, or pip uninstall {package}"
                    yield failure(extensions, str(error), fix)

"""Runs that are killed, or meet each other, or a disk that they may not or cannot write: nothing is lost."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ftcli.app import main
from ftcore import Separator
from ftcore.errors import FtError
from tests.conftest import noise
from tests.test_cli import ROOT

SONGS = 4


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """Some songs of 15 seconds at 8 kHz."""
    folder = tmp_path / "album"
    folder.mkdir()
    for i in range(SONGS):
        soundfile.write(folder / f"{i}.wav", noise(120_000, 2, seed=i).T, 8000)
    return folder


def expected(album: Path, model: Path) -> dict[str, bytes]:
    """The stems of an undisturbed run."""
    separator = Separator(model)
    for song in album.iterdir():
        separator.separate_file(song, album.parent / "undisturbed")
    return contents(album.parent / "undisturbed")


def contents(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir()} if folder.exists() else {}


def start(album: Path, out: Path, model: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "ftcli", "separate", str(album), "-m", str(model), "-o", str(out), *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)


def test_a_folder_job_that_is_killed_again_and_again_comes_to_the_same_end(
    album: Path, tmp_path: Path, tiny_model: Path
) -> None:
    undisturbed = expected(album, tiny_model)
    out = tmp_path / "out"
    rng = np.random.default_rng(0)
    met: set[int] = set()
    for kill in (signal.SIGKILL, signal.SIGTERM) * 3:
        process = start(album, out, tiny_model, "--skip-existing", "--json", "-j", "2")
        assert process.stdout is not None
        process.stdout.readline()  # it has begun
        time.sleep(float(rng.uniform(0.0, 0.5)))
        process.send_signal(kill)
        process.communicate()
        met.add(process.returncode)
        for name, data in contents(out).items():
            if not name.startswith("."):
                assert data == undisturbed[name], name  # whole, or not there
            else:
                assert kill == signal.SIGKILL, name  # the next run sweeps it
    process = start(album, out, tiny_model, "--skip-existing")
    said = process.communicate()[1]
    assert process.returncode == 0, said
    assert contents(out) == undisturbed
    assert -signal.SIGKILL in met
    assert 143 in met


def test_two_runs_at_once_on_one_folder(album: Path, tmp_path: Path, tiny_model: Path) -> None:
    undisturbed = expected(album, tiny_model)
    for options in (["--skip-existing"], []):
        out = tmp_path / "-".join(["out", *options])
        processes = [start(album, out, tiny_model, "-q", *options) for _ in range(2)]
        said = [process.communicate()[1].splitlines() for process in processes]
        assert contents(out) == undisturbed
        for process, lines in zip(processes, said, strict=True):
            assert process.returncode == (1 if lines else 0)
            assert all(line.startswith("ft: ") and "exists already" in line for line in lines), lines
        assert options == [] or said == [[], []]


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="needs users")
def test_folders_that_may_not_be_written_or_read(tmp_path: Path, tiny_model: Path, song: Path) -> None:
    separator = Separator(tiny_model)
    separator.separate_file(song, tmp_path / "before")  # nothing is left to import: nobody may read where it lies
    locked, unreadable = tmp_path / "locked", tmp_path / "unreadable.wav"
    locked.mkdir(mode=0o555)
    unreadable.write_bytes(song.read_bytes())
    unreadable.chmod(0)
    for folder in (tmp_path, *tmp_path.parents):
        if os.geteuid() == 0 and folder.stat().st_uid == 0 and folder.name.startswith(("pytest", "test", "popen")):
            folder.chmod(0o755)
    was = os.geteuid()
    os.seteuid(65534 if was == 0 else was)
    try:
        for path, out, message in (
            (song, locked, f"{locked}: cannot be written (Permission denied)"),
            (song, locked / "below", f"{locked / 'below'}: cannot make this folder (Permission denied)"),
            (unreadable, tmp_path / "before", f"{unreadable}: no permission to read it"),
        ):
            with pytest.raises(FtError) as refused:
                separator.separate_file(path, out)
            assert str(refused.value) == message
    finally:
        os.seteuid(was)
    assert list(locked.iterdir()) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting needs to be allowed")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("file_format", ["wav", "flac", "ogg", "opus", "mp3"])
@pytest.mark.parametrize("seconds", [4, 6, 9, 14, 30])
def test_a_disk_that_fills_gets_one_line_and_keeps_what_was_there(
    seconds: int, file_format: str, small_disk: Path, tiny_model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Too small for the temporary files, or for the stems beside them, or large enough."""
    (small_disk / "kept.txt").write_text("x" * 1000)
    song = small_disk.parent / "song.wav"
    soundfile.write(song, noise(8000 * seconds, 2).T, 8000)
    command = ("separate", song, "-m", tiny_model, "-o", small_disk, "--format", file_format, "-q")
    saved, sys.argv = sys.argv, ["ft", *map(str, command)]
    try:
        with pytest.raises(SystemExit) as left:
            main()
    finally:
        sys.argv = saved
    said = [line for line in capfd.readouterr().err.splitlines() if line.startswith("ft: ")]
    names = sorted(p.name for p in small_disk.iterdir())
    if left.value.code == 0:
        assert names == ["kept.txt", f"song_instrumental.{file_format}", f"song_vocals.{file_format}"]
        assert said == []
    else:
        assert names == ["kept.txt"]
        assert len(said) == 1
        assert "No space left on device" in said[0]
    assert (small_disk / "kept.txt").read_text() == "x" * 1000
    assert (left.value.code == 0) == (seconds == 4) or file_format not in ("wav", "flac")

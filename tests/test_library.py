"""Libraries: what is wrong with which file, and a cache that is made once and can be trusted."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ftcore.data import prepare as preparing
from ftcore.data.library import INDEX, open_library
from ftcore.data.prepare import check, prepare
from ftcore.errors import FtError
from tests.conftest import noise
from tests.test_cli import ft

RATE = 8000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A stereo wav, a mono flac at another rate one folder down, and a text file."""
    (tmp_path / "music" / "album").mkdir(parents=True)
    soundfile.write(tmp_path / "music" / "a.wav", noise(2 * RATE, 2).T, RATE)
    soundfile.write(tmp_path / "music" / "album" / "b.flac", noise(RATE, 1).T, 2 * RATE)
    (tmp_path / "music" / "notes.txt").write_text("x")
    return tmp_path / "music"


def stamps(cache: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in cache.glob("*.npy")}


def test_tracks_hold_what_the_files_hold(folder: Path, tmp_path: Path) -> None:
    library = prepare([folder], tmp_path / "cache", RATE)
    assert [track.samples for track in library.tracks] == [2 * RATE, RATE // 2]
    whole = soundfile.read(folder / "a.wav", dtype="float32")[0].T
    assert np.array_equal(library.tracks[0].read(100, 50), whole[:, 100:150])
    left, right = library.tracks[1].read(0, 100)
    assert np.array_equal(left, right)
    assert not library.tracks[0].read(2 * RATE - 10, 30)[:, 10:].any()
    assert library.crop(np.random.default_rng(0), 77).shape == (2, 77)


def test_prepared_twice_nothing_is_done_twice(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "cache"
    prepare([folder], cache, RATE)
    before = stamps(cache)
    monkeypatch.setattr(preparing, "content_hash", lambda path: pytest.fail("read again"))
    assert len(prepare([folder], cache, RATE).tracks) == 2
    assert stamps(cache) == before


def test_a_changed_file_is_prepared_anew(folder: Path, tmp_path: Path) -> None:
    prepare([folder], tmp_path / "cache", RATE)
    soundfile.write(folder / "a.wav", noise(3 * RATE, 2, seed=5).T, RATE)
    library = prepare([folder], tmp_path / "cache", RATE)
    assert library.tracks[0].samples == 3 * RATE
    assert len(open_library(tmp_path / "cache", RATE).tracks) == 2


def test_interrupted_preparation_goes_on(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache, decode = tmp_path / "cache", preparing._decode

    def stop_at_second(path: Path, rate: int) -> object:
        if path.name == "b.flac":
            raise KeyboardInterrupt
        return decode(path, rate)

    monkeypatch.setattr(preparing, "_decode", stop_at_second)
    with pytest.raises(KeyboardInterrupt):
        prepare([folder], cache, RATE)
    before = stamps(cache)
    assert len(before) == 1
    with (cache / INDEX).open("a") as index:
        index.write('{"source": "cut sho')  # as a killed process leaves it
    monkeypatch.setattr(preparing, "_decode", decode)
    assert len(prepare([folder], cache, RATE).tracks) == 2
    assert before.items() <= stamps(cache).items()
    assert [path.name for path in cache.glob(".*")] == []


def test_a_library_needs_no_decoder_and_no_sources(folder: Path, tmp_path: Path) -> None:
    prepare([folder], tmp_path / "cache", RATE)
    folder.rename(tmp_path / "gone")
    code = f"""
import sys
sys.modules["soundfile"] = sys.modules["soxr"] = None
from pathlib import Path
from ftcore.data.library import open_library
print(len(open_library(Path({str(tmp_path / "cache")!r}), {RATE}).tracks))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "2\n", done.stderr


def test_damaged_files_and_copies_are_named_and_left_out(folder: Path, tmp_path: Path) -> None:
    (folder / "broken.wav").write_bytes((folder / "a.wav").read_bytes()[:900])
    (folder / "copy.wav").write_bytes((folder / "a.wav").read_bytes())
    problems: list[str] = []
    library = prepare([folder], tmp_path / "cache", RATE, problem=problems.append)
    assert len(library.tracks) == 2
    assert len(problems) == 2
    assert "broken.wav: is truncated" in problems[0]
    assert "copy.wav: is a copy of" in problems[1]


def test_bad_libraries_say_what_is_wrong(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(FtError, match="no such folder"):
        prepare([tmp_path / "no"], tmp_path / "cache", RATE)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FtError, match="no audio files"):
        prepare([tmp_path / "empty"], tmp_path / "cache", RATE)
    (tmp_path / "empty" / "x.wav").write_text("x")
    with pytest.raises(FtError, match="none of 1 files can be used"):
        prepare([tmp_path / "empty"], tmp_path / "cache", RATE)
    with pytest.raises(FtError, match="no prepared library"):
        open_library(folder, RATE)
    prepare([folder], tmp_path / "cache", RATE)
    with pytest.raises(FtError, match="prepared at 8000 Hz, needed are 44100 Hz"):
        prepare([folder], tmp_path / "cache", 44100)
    next((tmp_path / "cache").glob("*.npy")).unlink()
    with pytest.raises(FtError, match="1 of 2 decoded tracks are missing"):
        open_library(tmp_path / "cache", RATE)
    (tmp_path / "cache" / INDEX).write_text('{"format": 1, "sample_rate": 8000}\nnonsense\n{}\n')
    with pytest.raises(FtError, match="line 2 is damaged"):
        open_library(tmp_path / "cache", RATE)
    (tmp_path / "cache" / INDEX).write_text(json.dumps({"format": 99}))
    with pytest.raises(FtError, match="not an index that this version"):
        open_library(tmp_path / "cache", RATE)


def test_check_names_every_defect(folder: Path, tmp_path: Path) -> None:
    clipped = np.clip(3.0 * np.sin(np.arange(2 * RATE) / 5), -1.0, 1.0)
    soundfile.write(folder / "clipped.wav", clipped, RATE)
    soundfile.write(folder / "silent.wav", np.zeros(2 * RATE), RATE)
    (folder / "copy.wav").write_bytes((folder / "a.wav").read_bytes())
    (folder / "broken.flac").write_bytes(b"fLaC?")
    (folder / "song.m4a").write_bytes(b"?")
    found = {path.name: defects for path, _, defects in check([folder], 0.75)}
    assert found.pop("a.wav") == []
    wanted = {
        "b.flac": "is short: 0.50 s",
        "broken.flac": "not readable as audio",
        "clipped.wav": "is clipped",
        "copy.wav": "is a copy of",
        "silent.wav": "is silent",
        "song.m4a": "not readable as audio",
    }
    assert {name: [d[: len(wanted[name])] for d in defects] for name, defects in found.items()} == {
        name: [defect] for name, defect in wanted.items()
    }


def test_commands(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ft("data", "check", folder, "--seconds", "0.1")
    assert capsys.readouterr().out.splitlines()[-1] == "2 files, 0.00 hours; none with defects"
    ft("data", "prepare", folder, "-o", tmp_path / "cache", "--rate", "8000")
    assert "2 tracks, 0.00 hours at 8000 Hz" in capsys.readouterr().out
    (folder / "copy.wav").write_bytes((folder / "a.wav").read_bytes())
    ft("data", "check", folder, "--seconds", "0.1", code=1)
    assert "copy.wav: is a copy of" in capsys.readouterr().out
    ft("data", "prepare", folder, "-o", tmp_path / "cache", "--rate", "8000", code=1)
    said = capsys.readouterr()
    assert "copy.wav: is a copy of" in said.err
    assert "1 files left out" in said.out

"""`ft bench`: what it measures, and that it leaves nothing."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
import soundfile

from ftcli.commands import bench
from ftcore.errors import FtError
from ftcore.separator import Result, Separator
from tests.test_cli import ft


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of our own for temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_the_real_thing(temporary: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ft("bench", "--seconds", "1", "-d", "cpu", "--json")
    figures = json.loads(capsys.readouterr().out)
    expected = {
        "version": 1,
        "model": "starter",
        "precision": "fp32",
        "provider": "CPUExecutionProvider",
        "sample_rate": 44100,
        "crop": 144,
        "pad": 8,
        "batch": 1,
        "stereo": "auto",
        "tta": True,
        "postfilter": True,
        "seconds": 1,
    }
    assert {key: figures[key] for key in expected} == expected
    assert len(figures["real_time_factors"]) == bench.RUNS
    assert all(factor > 0 for factor in figures["real_time_factors"])
    assert 10e6 < figures["peak_memory_bytes"] < 1e12
    assert list(temporary.iterdir()) == []


def test_the_median_of_the_runs_after_the_first(
    temporary: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    elapsed = iter((100.0, 4.0, 1.0, 2.0))

    def separate_file(self: Separator, path: Path, out: Path) -> Result:
        info = soundfile.info(path)
        assert (info.samplerate, info.channels, info.subtype) == (44100, 2, "PCM_16")
        return Result(stems={}, seconds=info.duration, elapsed=next(elapsed), gain_db=0.0)

    monkeypatch.setattr(Separator, "separate_file", separate_file)
    monkeypatch.setitem(sys.modules, "resource", None)
    ft("bench", "--seconds", "2")
    said = capsys.readouterr().out
    assert "speed    1.0x: real-time factor 1.0000, median of 3 runs, from 0.5000 to 2.0000\n" in said
    assert "memory   not known\n" in said
    assert "song     2 s of stereo at 44100 Hz\n" in said
    assert list(temporary.iterdir()) == []


def test_the_song_is_the_same_everywhere(tmp_path: Path) -> None:
    for name in ("a.wav", "b.wav"):
        bench.write_song(tmp_path / name, 2, 8000)
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()
    wave, _ = soundfile.read(tmp_path / "a.wav")
    assert wave.shape == (16000, 2)
    assert 0.05 < abs(wave).max() < 1


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--seconds", "0"), 2, "--seconds"),
        (("-m", "startr"), 1, "did you mean 'starter'?"),
        (("-d", "abacus"), 1, "unknown device 'abacus'"),
    ],
)
def test_what_cannot_be_measured(
    arguments: tuple[Any, ...], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    ft("bench", *arguments, code=code)
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert message in said.err


def test_no_place_for_the_song(tmp_path: Path) -> None:
    with pytest.raises(FtError, match="cannot be written"):
        bench.write_song(tmp_path / "no folder" / "song.wav", 1, 8000)

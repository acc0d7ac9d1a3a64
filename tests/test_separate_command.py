"""`ft separate` beyond one wav: pipes, sections, folders, names, several songs, the commands of the docs."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
import pytest
import soundfile

from ftcore import Separator, atomic, audio
from ftcore.encoders import FORMATS
from ftcore.errors import FtError, UsageError
from ftcore.jobs import Job, Stopped, check_name, run
from tests.conftest import noise
from tests.test_cli import ROOT, ft, walk


def test_sections(tiny_model: Path, song: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = soundfile.read(song, dtype="int16", always_2d=True)[0]
    ft("separate", song, "-m", tiny_model, "-o", song.parent / "a", "--start", "0.25", "--duration", "0.2", "-q")
    stems = [soundfile.read(p, dtype="int16", always_2d=True)[0] for p in (song.parent / "a").iterdir()]
    assert np.abs(sum(s.astype(int) for s in stems) - whole[2000:3600]).max() <= 1
    ft("separate", song, "-m", tiny_model, "-o", song.parent / "b", "--start", "0.25", "-q")
    assert {soundfile.info(p).frames for p in (song.parent / "b").iterdir()} == {4000}
    capsys.readouterr()
    for wrong in (("--start", "9"), ("--duration", "0")):
        ft("separate", song, "-m", tiny_model, "-o", song.parent / "c", *wrong, code=1)
        assert "song.wav: is 0.8 s long, so nothing is left" in capsys.readouterr().err
    assert not (song.parent / "c").exists()
    ft("separate", song, "--start", "-1", code=2)


def test_a_part_of_a_file_that_is_damaged_elsewhere_is_separated(tiny_model: Path, tmp_path: Path) -> None:
    path = tmp_path / "song.wav"
    wave = noise(80000, 1)
    wave[0, 79000] = np.nan
    soundfile.write(path, wave.T, 8000, subtype="FLOAT")
    Separator(tiny_model).separate_file(path, tmp_path / "out", duration=1.0)
    with pytest.raises(FtError, match="NaN"):
        Separator(tiny_model).separate_file(path, tmp_path / "out")


def piped(*args: str | Path, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "ftcli", "separate", *map(str, args)]
    return subprocess.run(command, input=stdin, capture_output=True, cwd=ROOT, check=False)


def test_pipes(tiny_model: Path, song: Path, tmp_path: Path) -> None:
    expected = Separator(tiny_model).separate_file(song, tmp_path / "file").stems["vocals"].read_bytes()
    streamed = bytearray(song.read_bytes())
    at = streamed.find(b"data")
    streamed[4:8] = streamed[at + 4 : at + 8] = b"\xff\xff\xff\xff"  # as programs write that cannot seek
    for data in (song.read_bytes(), bytes(streamed)):
        result = piped("-", "-m", tiny_model, "--stem", "vocals", stdin=data)
        assert result.returncode == 0, result.stderr
        assert result.stdout == expected
    result = piped(song, "-o", "-", "-m", tiny_model, "--stem", "vocals")
    assert result.stdout == expected
    result = piped("-", "-o", tmp_path / "out", "-m", tiny_model, stdin=song.read_bytes())
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "out" / "stdin_vocals.wav").read_bytes() == expected
    result = piped("-", "-m", tiny_model, "--stem", "vocals", stdin=b"RIFFwhat")
    assert (result.returncode, result.stdout) == (1, b"")
    assert b"not readable as audio" in result.stderr


def test_pipes_that_cannot_be(song: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for args, message in (
        ((song, "-o", "-"), "one stem of one song"),
        ((song, song, "-o", "-", "--stem", "vocals"), "one stem of one song"),
        ((song, "-o", "-", "--stem", "vocals", "--json"), "leave out"),
        ((song, "-o", "-", "--stem", "vocals", "--format", "flac"), "leave out"),
    ):
        ft("separate", *args, "-m", tiny_model, code=2)
        assert message in capsys.readouterr().err


def test_folders_keep_their_tree_and_stems_are_no_songs(
    tiny_model: Path, song: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    albums = song.parent / "albums"
    for name in ("a/one.wav", "a/b/one.WAV", "two.wav"):
        (albums / name).parent.mkdir(parents=True, exist_ok=True)
        (albums / name).write_bytes(song.read_bytes())
    out = albums / "stems"
    made = {f"{name}_{stem}.wav" for name in ("a/one", "a/b/one", "two") for stem in ("vocals", "instrumental")}
    for _ in range(2):
        ft("separate", albums, "-m", tiny_model, "-o", out, "--skip-existing", "-j", "3")
        assert {p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()} == made
    said = capsys.readouterr().err
    assert "3 of 3 files done: " in said
    assert "0 of 3 files done, 3 skipped" in said
    ft("separate", albums, "-m", tiny_model, "-o", albums, "-q")  # the folder `stems` holds songs like any other now
    ft("separate", albums, "-m", tiny_model, "-o", albums, "--skip-existing", "--json")
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert events[-1] | {"elapsed": 0, "peak_memory_bytes": 0} == {
        "version": 1,
        "event": "summary",
        "files": 9,
        "done": 0,
        "skipped": 9,
        "failed": 0,
        "seconds": 0.0,
        "elapsed": 0,
        "peak_memory_bytes": 0,
    }


def test_skipping_knows_whole_stems_from_broken_ones(
    tiny_model: Path, song: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = song.parent / "out"
    for file_format in FORMATS:
        command = ("separate", song, "-m", tiny_model, "-o", out, "--format", file_format, "--skip-existing")
        ft(*command)
        vocals = out / f"song_vocals.{file_format}"
        whole = vocals.read_bytes()
        capsys.readouterr()
        ft(*command)
        assert "1 skipped" in capsys.readouterr().err, file_format
        for broken in (whole[: len(whole) // 2], b"", b"noise"):
            vocals.write_bytes(broken)
            ft(*command)
            assert "1 of 1 files done" in capsys.readouterr().err, file_format
            assert soundfile.info(vocals).frames == 6000 or file_format == "opus"
        vocals.unlink()
        ft(*command, "-q")
        assert vocals.exists()
    soundfile.write(out / "song_vocals.wav", noise(5000, 2).T, 8000)  # another song's
    ft("separate", song, "-m", tiny_model, "-o", out, "--skip-existing", "-q")
    assert soundfile.info(out / "song_vocals.wav").frames == 6000


def test_names_of_stems(tiny_model: Path, song: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = song.parent / "out"
    ft("separate", song, "-m", tiny_model, "-o", out, "-q", "--filename", "{stem}/{track} ({stem}).{ext}")
    assert sorted(p.relative_to(out).as_posix() for p in out.rglob("*.wav")) == [
        "instrumental/song (instrumental).wav",
        "vocals/song (vocals).wav",
    ]
    for name in (
        "{track}.{ext}",
        "{colour}_{stem}.wav",
        "{0}{stem}",
        "{stem",
        "{track.x}{stem}",
        "../{stem}",
        "/x/{stem}",
    ):
        ft("separate", song, "-m", tiny_model, "-o", out, "--filename", name, code=2)
        assert "--filename" in capsys.readouterr().err
    check_name("{track}.{ext}", ["vocals"])
    with pytest.raises(UsageError):
        check_name("{track!r}{stem}{}", ["vocals"])


def test_existing_stems_are_not_replaced_by_a_process_that_came_second(tmp_path: Path) -> None:
    target = tmp_path / "song.wav"
    with pytest.raises(FtError, match="exists already"), atomic.replacing(target, overwrite=False) as part:
        part.write_bytes(b"second")
        target.write_bytes(b"first")
    assert target.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [target]


def test_leftovers_of_killed_processes_are_swept_and_no_others(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    ours = atomic.part_prefix()
    dead = ours.rsplit("-", 2)[0] + f"-{process.pid}-"
    names = [f"{ours}a.part.wav", f"{dead}a.part.au", f".ft-00000000-{process.pid}-b.part.wav", f"{dead}song.wav"]
    for name in names:
        (tmp_path / name).write_bytes(b"")
    atomic.sweep(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(set(names) - {names[1]})


def test_an_interrupted_run_stops_the_songs_that_are_under_way(song: Path) -> None:
    begun: list[str] = []

    def work(job: Job, check: Any) -> None:
        begun.append(job.source.name)
        if job.source.name == "0":
            raise KeyboardInterrupt
        for _ in range(10_000_000):
            check()
        raise AssertionError("never stopped")

    planned = [Job(source=Path(str(i)), targets={}) for i in range(20)]
    with pytest.raises(KeyboardInterrupt):
        run(planned, work, at_once=2)
    assert len(begun) < 20
    with pytest.raises(Stopped):
        raise Stopped


def test_pictures_and_what_is_said(tiny_model: Path, song: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = song.parent / "out"
    ft("separate", song, "-m", tiny_model, "-o", out, "--plot", "-v", "--bit-depth", "16")
    assert (out / "song_plot.png").read_bytes().startswith(b"\x89PNG")
    said = capsys.readouterr().err
    for part in (
        "8000 Hz, n_fft 64, hop 32",
        "0.8 s, 8000 Hz, 2 channels, 16 bit",
        "song_plot.png",
        "real-time factor",
    ):
        assert part in said
    ft("separate", song, "-m", tiny_model, "-o", out, "--plot", "--json", "--overwrite")
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert next(e for e in events if e["event"] == "result")["plot"] == str(out / "song_plot.png")
    assert events[-1]["peak_memory_bytes"] > 10**7


@pytest.fixture
def folder(song: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with songs as the pages name them."""
    monkeypatch.chdir(song.parent)
    for name in ("albums/a/one.wav", "albums/two.wav"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(song.read_bytes())
    for name in ("song.flac", "song.mp3"):
        soundfile.write(name, noise(6000, 2).T, 8000)
    return song.parent


def test_every_command_of_the_guide_runs(folder: Path) -> None:
    """The walk of docs/separating.md, with the bundled model."""
    commands = walk("docs/separating.md")
    assert len(commands) == 18
    for command in commands:
        ft(*shlex.split(command, comments=True)[1:])
    made = {p.relative_to(folder).as_posix() for p in folder.rglob("*_vocals.*")}
    tree = {f"stems/{song}_vocals.wav" for song in ("a/one", "two")}
    places = ("", "part/", "plotted/", "fast/", "karaoke/", "both/", "events/")
    single = {f"{place}song_vocals.wav" for place in places}
    assert made == tree | single | {"stems/song_vocals.flac"}
    assert (folder / "named" / "vocals" / "song.wav").exists()
    assert (folder / "plotted" / "song_plot.png").exists()


def in_shell(command: str) -> None:
    """Run a line as a shell does."""
    ours = command.replace("ft separate", f"{shlex.quote(sys.executable)} -m ftcli separate")
    done = subprocess.run(
        ours, shell=True, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_every_pipe_of_the_guide_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "bin").mkdir()
    (folder / "bin" / "ffmpeg").symlink_to(imageio_ffmpeg.get_ffmpeg_exe())
    monkeypatch.setenv("PATH", str(folder / "bin"), prepend=os.pathsep)
    in_shell("ffmpeg -i song.wav film.mkv")
    commands = walk("docs/separating.md", "pipes")
    assert len(commands) == 2
    for command in commands:
        in_shell(command)
    assert abs(soundfile.info("vocals.wav").frames - 6000) < 1200
    assert audio.probe(folder / "instrumental.m4a").channels == 2


def test_every_command_of_the_readme_runs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    commands = walk("README.md")
    assert len(commands) == 9
    for command in commands:
        name, *arguments = shlex.split(command, comments=True)
        if name == "ft":
            ft(*arguments)
    (through_pipes,) = (command for command in commands if command.startswith("cat"))
    in_shell(through_pipes)
    assert soundfile.info("vocals.wav").frames == 6000
    assert (folder / "song_instrumental.mp3").exists()
    assert (folder / "part" / "song_plot.png").exists()
    assert soundfile.info(folder / "stems" / "a" / "one_vocals.flac").frames == 6000

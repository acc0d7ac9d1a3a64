"""The command line as a user meets it: what it prints, what it returns, what it leaves on disk."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ftcli import app as frame
from tests.conftest import BARE, noise, untrained

ROOT = Path(__file__).parents[1]


def ft(*args: str | Path, code: int = 0) -> None:
    """Run `ft` in this process and expect an exit status."""
    saved, sys.argv = sys.argv, ["ft", *map(str, args)]
    try:
        with pytest.raises(SystemExit) as exit_info:
            frame.main()
    finally:
        sys.argv = saved
    assert exit_info.value.code == code


def python(code: str, *args: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-c", code, *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)


def walk(page: str, mark: str = "walk") -> list[str]:
    """The commands of a page that stand between its marks."""
    text = (ROOT / page).read_text().split(f"<!-- test: {mark} -->")[1].split("<!-- test: end -->")[0]
    return [line for line in text.splitlines() if line and not line.startswith(("`", "pip "))]


def test_help_imports_nothing_heavy() -> None:
    code = """
import sys
sys.argv = ["ft", "--help"]
from ftcli.app import main
try:
    main()
finally:
    print(sorted({"torch", "onnx", "onnxruntime", "soundfile", "soxr", "numpy", "rich"} & set(sys.modules)))
"""
    result = python(code)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == "[]"
    for name, summary in frame.SUMMARIES.items():
        assert name in result.stdout
        assert summary in result.stdout


def test_separating_needs_neither_torch_nor_the_training_libraries(tiny_model: Path, song: Path) -> None:
    code = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "onnx", "onnxscript", "safetensors", "scipy", "matplotlib"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
sys.argv = ["ft", "separate", *sys.argv[1:]]
from ftcli.app import main
main()
"""
    result = python(code, song, "-m", tiny_model, "-o", song.parent / "out")
    assert result.returncode == 0, result.stderr
    assert len(list((song.parent / "out").iterdir())) == 2
    refused = python(code.replace('"separate"', '"export", "onnx"'), tiny_model, "-o", song.parent / "x.onnx")
    assert refused.returncode == 1
    assert "pip install 'frame-transformer[train]'" in refused.stderr


def test_separate_writes_both_stems(tiny_model: Path, song: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ft("separate", song, "-m", tiny_model, "-o", song.parent / "new" / "out")
    out = song.parent / "new" / "out"
    assert sorted(p.name for p in out.iterdir()) == ["song_instrumental.wav", "song_vocals.wav"]
    stems = [soundfile.read(p)[0] for p in sorted(out.iterdir())]
    assert np.abs(stems[0] + stems[1] - soundfile.read(song)[0]).max() <= 2.0**-15
    said = capsys.readouterr()
    assert said.out == ""
    assert "on CPU, 1 file" in said.err
    assert "song_vocals.wav" in said.err


def test_folders_are_searched_in_any_case_of_suffix(tiny_model: Path, song: Path) -> None:
    folder = song.parent / "albums" / "one"
    folder.mkdir(parents=True)
    song.rename(folder / "A.WAV")
    soundfile.write(folder.parent / "b.FlaC", noise(100, 1).T, 16000, format="FLAC")
    (folder / "notes.txt").write_text("no audio")
    out = song.parent / "out"
    ft("separate", folder.parent, "-m", tiny_model, "-o", out, "--stem", "vocals", "--format", "flac", "-q")
    assert sorted(p.relative_to(out).as_posix() for p in out.rglob("*.*")) == ["b_vocals.flac", "one/A_vocals.flac"]
    info = soundfile.info(out / "b_vocals.flac")
    assert (info.samplerate, info.channels, info.frames) == (16000, 1, 100)


def test_existing_stems(tiny_model: Path, song: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = ("separate", song, "-m", tiny_model, "-o", song.parent)
    target = song.parent / "song_vocals.wav"
    target.write_bytes(b"mine")
    ft(*args, code=1)
    assert target.read_bytes() == b"mine"
    assert "exists already" in capsys.readouterr().err
    ft(*args, "--overwrite")
    stamp = target.stat().st_mtime_ns
    assert soundfile.info(target).frames == 6000
    ft(*args, "--skip-existing")
    assert target.stat().st_mtime_ns == stamp
    assert "skipped" in capsys.readouterr().err


def test_json_events(tiny_model: Path, song: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ft("separate", song, song.parent / "no.wav", "-m", tiny_model, "-o", song.parent / "out", "--json", code=1)
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert all(e["version"] == 1 for e in events)
    names = [e["event"] for e in events]
    assert names[0] == "start"
    assert names[-3:] == ["result", "error", "summary"]
    assert "progress" in names
    assert events[-3]["stems"]["vocals"] == str(song.parent / "out" / "song_vocals.wav")
    assert events[-2]["file"].endswith("no.wav")
    assert {k: events[-1][k] for k in ("event", "files", "done", "failed")} == {
        "event": "summary",
        "files": 2,
        "done": 1,
        "failed": 1,
    }


def test_odd_names(tiny_model: Path, song: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(song.parent)
    names = ["-dash.wav", "two words [live] 100%.wav", "Ünïcödé 歌.wav", ".hidden.wav"]
    for name in names:
        Path(name).write_bytes(song.read_bytes())
    ft("separate", "-m", tiny_model, "-o", "out", "--", *names)
    assert len(list(Path("out").iterdir())) == 8
    assert Path("out", "two words [live] 100%_vocals.wav").exists()


def test_export_prints_parity_and_repeats(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bare = untrained(BARE, tmp_path / "bare.safetensors")
    for name in ("a.onnx", "b.onnx"):
        ft("export", "onnx", bare, "-o", tmp_path / name)
        lines = capsys.readouterr().out.splitlines()
        assert len(lines) == 4
        assert all("dB SNR" in line for line in lines[:3])
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


def test_listings(capsys: pytest.CaptureFixture[str]) -> None:
    ft("models", "list")
    assert "starter" in capsys.readouterr().out
    ft("plugins")
    said = capsys.readouterr().out
    assert "separate  (frame-transformer, ftcli.commands.separate:app)" in said
    assert "onnx  (frame-transformer, exporters.onnx:exporter)" in said
    ft("doctor")
    said = capsys.readouterr().out
    assert "model starter runs" in said
    assert "FAIL" not in said
    ft("--version")
    assert capsys.readouterr().out.startswith("ft 0.")


def test_without_a_command_the_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    ft(code=2)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("Usage: ft [OPTIONS] COMMAND")
    assert "\n  separate   Split songs into vocals and instrumental.\n" in said.err


def test_usage_errors_are_one_line_and_status_2(song: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for args, message in (
        (("sepurate",), "did you mean 'separate'?"),
        (("separate",), "Missing argument"),
        (("separate", song, "--colour"), "No such option"),
        (("separate", song, "--format", "aac"), "aac"),
        (("separate", song, "--stereo", "wide"), "'--stereo': 'wide' is not one of 'joint', 'mid-side', 'auto'."),
        (("separate", song, "--format", "flac", "--bit-depth", "32f"), "no floating point"),
        (("separate", song, "--format", "ogg", "--bit-depth", "16"), "no bit depth"),
        (("separate", song, "--skip-existing", "--overwrite"), "exclude each other"),
        (("separate", song, "--crop", "0"), "crop must be 1 to 4096, not 0"),
        (("separate", song, "--crop", "4096"), "crop and twice pad must be 4096 frames at most"),
        (("separate", song, "--aggression", "-61"), "aggression must be -60 to 60 dB, not -61"),
        (("separate", song, "--pad", "-1"), "pad must be 0 to 2048, not -1"),
        (("separate", song, "--batch", "0"), "batch must be at least 1, not 0"),
        (("separate", song, "--two-stems", "drums"), "vocals and instrumental"),
        (("export", "tflite", song, "-o", "x"), "installed: onnx"),
    ):
        ft(*args, code=2)
        said = capsys.readouterr()
        assert said.err.count("\n") == 1, said.err
        assert message in said.err
        assert said.err.startswith("ft: ")

"""Whatever goes in: one line, the right status, and nothing half-written."""

from __future__ import annotations

import os
import resource
import struct
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from ftcore import Separator, encoders, runtime, separator
from ftcore.errors import FtError
from tests.conftest import noise
from tests.test_cli import ft


def wav(path: Path, samples: np.ndarray, subtype: str = "PCM_16", rate: int = 8000, **options: str) -> Path:
    soundfile.write(path, samples.T, rate, subtype=subtype, **options)
    return path


def make_bad(kind: str, folder: Path) -> Path:
    """An input of a kind that cannot be separated."""
    path = folder / f"{kind}.wav"
    good = noise(16000, 2)
    match kind:
        case "missing":
            return path
        case "empty-folder":
            path.mkdir()
        case "not-audio":
            path.write_text("this is no audio")
        case "zero-bytes":
            path.write_bytes(b"")
        case "zero-samples":
            wav(path, good[:, :0])
        case "nan":
            good[1, 9000] = np.nan
            wav(path, good, "FLOAT")
        case "infinite":
            good[0, 0] = np.inf
            wav(path, good, "FLOAT")
        case "loud":
            good[1, 9000] = 1e20
            wav(path, good, "FLOAT")
        case "many-channels":
            wav(path, noise(100, 100))
        case "raw":
            path = wav(path, good).rename(folder / "samples.raw")
        case "low-rate":
            wav(path, good, rate=4000)
        case "high-rate":
            wav(path, good, rate=384000)
        case _:
            suffix, cut = {
                "truncated-wav": ("wav", 0.5),
                "truncated-aiff": ("aiff", 0.5),
                "truncated-flac": ("flac", 0.5),
                "truncated-mp3": ("mp3", 0.5),
                "truncated-ogg": ("ogg", 0.9),
                "header-only": ("wav", 0.0004),
            }[kind]
            path = folder / f"{kind}.{suffix}"
            soundfile.write(path, good.T, 8000)
            data = path.read_bytes()
            path.write_bytes(data[: int(len(data) * cut)])
    return path


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", "no such file"),
        ("empty-folder", "no audio files in this folder"),
        ("not-audio", "not readable as audio"),
        ("zero-bytes", "is empty"),
        ("zero-samples", "holds no audio samples"),
        ("nan", "holds NaN or infinite samples near"),
        ("infinite", "holds NaN or infinite samples near 0.0 s"),
        ("loud", "damaged after 0.0 s (samples far beyond full scale)"),
        ("many-channels", "says that it has 100 channels; 64 are accepted"),
        ("raw", "raw samples say neither rate nor channels"),
        ("low-rate", "4000 Hz is outside"),
        ("high-rate", "384000 Hz is outside"),
        ("truncated-wav", "truncated"),
        ("truncated-aiff", "truncated"),
        ("truncated-flac", ""),
        ("truncated-mp3", "truncated or damaged"),
        ("truncated-ogg", "truncated"),
        ("header-only", ""),
    ],
)
def test_bad_file_fails_alone(
    kind: str, message: str, tiny_model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    bad = make_bad(kind, tmp_path)
    out = tmp_path / "out"
    out.mkdir()
    ft("separate", bad, "-m", tiny_model, "-o", out, "-q", code=1)
    said = capfd.readouterr().err.splitlines()
    ours = [line for line in said if line.startswith("ft: ")]
    assert len(ours) == 1
    assert len(said) == 1 or "mp3" in kind  # libmpg123 writes a warning of its own
    assert message in ours[0]
    assert bad.name in ours[0]
    assert list(out.iterdir()) == []
    if kind != "empty-folder":  # the good file beside it is still done
        good = wav(tmp_path / "good.wav", noise(800, 2))
        ft("separate", bad, good, "-m", tiny_model, "-o", out, "-q", code=1)
        assert sorted(p.name for p in out.iterdir()) == ["good_instrumental.wav", "good_vocals.wav"]


@pytest.mark.parametrize("channels", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("rate", [8000, 22050, 48000, 192000])
def test_unusual_but_good_files(channels: int, rate: int, tiny_model: Path, tmp_path: Path) -> None:
    path = wav(tmp_path / "song.wav", noise(3001, channels), "PCM_24", rate)
    result = Separator(tiny_model).separate_file(path, tmp_path / "out")
    stems = [soundfile.read(p, dtype="float64", always_2d=True) for p in result.stems.values()]
    assert {rate} == {r for _, r in stems}
    assert all(s.shape == (3001, channels) for s, _ in stems)
    assert np.abs(sum(s for s, _ in stems) - soundfile.read(path, always_2d=True)[0]).max() <= 2.0**-23 * 1.001


@pytest.mark.parametrize("name", ["silence", "one-sample", "beyond-full-scale"])
def test_extreme_signals_are_separated(name: str, tiny_model: Path, tmp_path: Path) -> None:
    wave = {
        "silence": np.zeros((2, 5000), np.float32),
        "one-sample": noise(1, 2),
        "beyond-full-scale": 50 * noise(500, 2),
    }
    path = wav(tmp_path / "x.wav", wave[name], "FLOAT")
    result = Separator(tiny_model).separate_file(path, tmp_path / "out")
    total = sum(soundfile.read(p, always_2d=True)[0] for p in result.stems.values())
    np.testing.assert_allclose(total, wave[name].T, atol=1e-5)


def test_collisions_are_refused_before_anything_is_done(
    tiny_model: Path, song: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = song.parent / "b" / "song.wav"
    other.parent.mkdir()
    other.write_bytes(song.read_bytes())
    ft("separate", song, other, "-m", tiny_model, "-o", song.parent / "out", code=2)
    assert "would both write" in capsys.readouterr().err
    inside = song.with_name("song_vocals.wav")
    inside.write_bytes(song.read_bytes())
    ft("separate", song, inside, "-m", tiny_model, "-o", song.parent, "--overwrite", code=2)
    assert "is an input too" in capsys.readouterr().err
    assert inside.read_bytes() == song.read_bytes()
    ft("separate", song, song, "-m", tiny_model, "-o", song.parent / "twice", "-q")  # the same file, given twice


def test_output_folders_that_cannot_be(tiny_model: Path, song: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blocked = song.parent / "file"
    blocked.write_text("")
    ft("separate", song, "-m", tiny_model, "-o", blocked, code=1)
    ft("separate", song, "-m", tiny_model, "-o", blocked / "below", code=1)
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if line.startswith("ft: ")] == [
        f"ft: {blocked}: cannot make this folder (File exists)",
        f"ft: {blocked / 'below'}: cannot make this folder (Not a directory)",
    ]


def test_names_too_long_for_the_file_system(tiny_model: Path, song: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = song.with_name("x" * 245 + ".wav")
    song.rename(path)
    ft("separate", path, "-m", tiny_model, "-o", song.parent / "out", "-q", code=1)
    assert "File name too long" in capsys.readouterr().err
    assert list((song.parent / "out").iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_model: Path, song: Path) -> None:
    real = os.open("/dev/full", os.O_RDWR)
    monkeypatch.setattr("tempfile.NamedTemporaryFile", lambda **_: os.fdopen(os.dup(real), "w+b"))
    with pytest.raises(FtError, match=r"cannot be written \(No space left on device\)"):
        Separator(tiny_model).separate_file(song, tmp_path / "out")
    os.close(real)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("file_format", ["wav", "flac", "ogg"])
def test_a_disk_that_fills_while_encoding_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_model: Path, song: Path, file_format: encoders.Format
) -> None:
    out = tmp_path / "out"
    encode = encoders.encode

    def on_a_small_disk(*args: Any, **kwargs: Any) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4000, hard))
        try:
            encode(*args, **kwargs)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    monkeypatch.setattr(separator, "encode", on_a_small_disk)
    with pytest.raises(FtError):
        Separator(tiny_model).separate_file(song, out, file_format=file_format)
    assert list(out.iterdir()) == []


def test_bad_models(
    tiny_model: Path, tiny_checkpoint: Path, song: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import onnx

    names = ("junk", "plain", "future", "cut", "not-text", "not-a-number")
    junk, plain, future, cut, not_text, not_a_number = (tmp_path / f"{name}.onnx" for name in names)
    junk.write_bytes(b"\x00" * 100)
    cut.write_bytes(tiny_model.read_bytes()[:-1000])
    not_text.write_bytes(tiny_model.read_bytes().replace(b'"format"', b'"form\xff\xff"'))
    model = onnx.load(tiny_model)
    weight = next(w for w in model.graph.initializer if w.name.endswith("out.bias"))
    whole = weight.SerializeToString()
    weight.CopyFrom(onnx.numpy_helper.from_array(np.nan * onnx.numpy_helper.to_array(weight), weight.name))
    onnx.save(model, not_a_number)
    weight.ParseFromString(whole)
    del model.metadata_props[:]
    onnx.save(model, plain)
    onnx.helper.set_model_props(model, {"ft": '{"format": 99}'})
    onnx.save(model, future)
    for name, message in (
        ("nobody", "no model 'nobody'"),
        (tmp_path / "no.onnx", "no model"),
        (junk, "not a model that onnxruntime can open"),
        (cut, "not a model that onnxruntime can open"),
        (plain, "not a model of ft"),
        (not_text, "its description is damaged (no UTF-8)"),
        (future, "format 99, this version of ft reads 1"),
        (tiny_checkpoint, "export it first: ft export onnx"),
        (song, "not a model that onnxruntime can open"),
    ):
        ft("separate", song, "-m", name, "-o", tmp_path / "out", code=1)
        said = capsys.readouterr().err
        assert message in said
        assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()
    ft("separate", song, "-m", not_a_number, "-o", tmp_path / "out", "-q", code=1)
    assert "inference failed (it gives no spectrogram: the file is damaged)" in capsys.readouterr().err
    assert list((tmp_path / "out").iterdir()) == []


def test_devices(tiny_model: Path, song: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ft("separate", song, "-m", tiny_model, "-d", "tpu", "-o", tmp_path / "out", code=1)
    assert "unknown device 'tpu'" in capsys.readouterr().err
    if "CUDAExecutionProvider" not in runtime.import_onnxruntime().get_available_providers():
        ft("separate", song, "-m", tiny_model, "-d", "cuda", "-o", tmp_path / "out", code=1)
        said = capsys.readouterr().err
        assert "CUDA does not work here" in said
        assert "frame-transformer[gpu]" in said
    ft("separate", song, "-m", tiny_model, "-d", "cpu", "-o", tmp_path / "out", "-q")


def test_two_onnxruntimes_are_refused(monkeypatch: pytest.MonkeyPatch, tiny_model: Path) -> None:
    monkeypatch.setattr(runtime, "installed_runtimes", lambda: {"onnxruntime", "onnxruntime-gpu"})
    with pytest.raises(FtError, match="both installed"):
        Separator(tiny_model)


def test_a_missing_onnxruntime_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tiny_model: Path) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(FtError, match=r"pip install 'frame-transformer\[cpu\]'"):
        Separator(tiny_model)


def test_interrupting_leaves_nothing(tiny_model: Path, tmp_path: Path) -> None:
    path = wav(tmp_path / "long.wav", noise(8000 * 600, 2))
    out = tmp_path / "out"
    command: list[str | Path] = [sys.executable, "-m", "ftcli", "separate", path, "-m", tiny_model, "-o", out, "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if '"progress"' in line:
            break
    process.send_signal(2)
    drain = threading.Thread(target=process.stdout.read)
    drain.start()
    assert process.stderr is not None
    assert process.stderr.read() == "ft: interrupted; nothing half-written is left\n"
    drain.join()
    assert process.wait() == 130
    process.stdout.close()
    process.stderr.close()
    assert list(out.iterdir()) == []


def test_a_wav_header_that_lies_is_not_believed(tmp_path: Path, tiny_model: Path) -> None:
    path = wav(tmp_path / "x.wav", noise(1000, 1))
    data = bytearray(path.read_bytes())
    at = data.find(b"data") + 4
    data[at : at + 4] = struct.pack("<I", 10**9)
    path.write_bytes(data)
    with pytest.raises(FtError, match="truncated"):
        Separator(tiny_model).separate_file(path, tmp_path / "out")

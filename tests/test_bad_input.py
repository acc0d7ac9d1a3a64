"""Whatever goes in: one line, the right status, and nothing half-written."""

from __future__ import annotations

import os
import resource
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import soundfile
import torch

from ftcore import Separator, encoders, runtime, separator
from ftcore.errors import FtError
from snapshots import registry
from tests.conftest import noise
from tests.test_cli import ft
from tests.test_snapshots import Bomb


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


@dataclass
class Place:
    """Where a bad request is made."""

    folder: Path
    song: Path
    model: Path
    checkpoint: Path

    @property
    def out(self) -> Path:
        """The output folder, which holds something already."""
        return self.folder / "out"

    def copy(self, name: str) -> Path:
        """Another song of this name."""
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(self.song.read_bytes())
        return path

    def damaged(self, change: Callable[[bytes], bytes]) -> Path:
        """The model, changed."""
        path = self.folder / "damaged.onnx"
        path.write_bytes(change(self.model.read_bytes()))
        return path

    def described(self, description: str | None) -> Path:
        """The model with another description, or none."""
        model = onnx.load(self.model)
        del model.metadata_props[:]
        if description is not None:
            onnx.helper.set_model_props(model, {"ft": description})
        onnx.save(model, self.folder / "described.onnx")
        return self.folder / "described.onnx"

    def not_a_number(self) -> Path:
        """The model with a weight that is none."""
        model = onnx.load(self.model)
        weight = next(w for w in model.graph.initializer if w.data_type == onnx.TensorProto.FLOAT and w.dims)
        weight.CopyFrom(onnx.numpy_helper.from_array(np.nan * onnx.numpy_helper.to_array(weight), weight.name))
        onnx.save(model, self.folder / "nan.onnx")
        return self.folder / "nan.onnx"

    def of_wrong_hash(self) -> str:
        """The name of a model of the user whose file has changed."""
        with registry.registering("mine", summary="", licence="") as folder:
            (folder / "model.onnx").write_bytes(self.model.read_bytes())
        (registry.models_folder() / "mine" / "model.onnx").write_bytes(b"changed")
        return "mine"

    def malicious(self) -> Path:
        """A pickle that would make a folder."""
        torch.save(Bomb(self.folder / "owned"), self.folder / "bad.pth")
        return self.folder / "bad.pth"

    def file_in_place_of_a_folder(self, below: str = "") -> Path:
        """An output folder that cannot be."""
        (self.folder / "file").write_text("")
        return self.folder / "file" / below


Request = Callable[[Place], list[str | Path]]
"""What is asked for, beyond the model and the output folder where it is not about them."""

REQUESTS: dict[str, tuple[Request, int, str]] = {
    "missing file": (lambda at: [at.folder / "no.wav"], 1, "no.wav: no such file"),
    "no input": (lambda at: [], 2, "Missing argument"),
    "unknown option": (lambda at: [at.song, "--colour"], 2, "No such option"),
    "two inputs, one output": (lambda at: [at.song, at.copy("b/song.wav")], 2, "would both write"),
    "an output that is an input": (
        lambda at: [at.song, at.copy("song_vocals.wav"), "-o", at.folder, "--overwrite"],
        2,
        "is an input too",
    ),
    "stems that exist": (lambda at: [at.song, "--filename", "kept_{stem}.{ext}"], 1, "kept_vocals.wav: exists already"),
    "a file as output folder": (
        lambda at: [at.song, "-o", at.file_in_place_of_a_folder()],
        1,
        "file: cannot make this folder (File exists)",
    ),
    "an output folder below a file": (
        lambda at: [at.song, "-o", at.file_in_place_of_a_folder("below")],
        1,
        "below: cannot make this folder (Not a directory)",
    ),
    "a name too long": (lambda at: [at.copy("x" * 245 + ".wav")], 1, "File name too long"),
    "unknown model": (lambda at: [at.song, "-m", "nobody"], 1, "no model 'nobody'"),
    "missing model file": (lambda at: [at.song, "-m", at.folder / "no.onnx"], 1, "no model"),
    "a song as model": (lambda at: [at.song, "-m", at.song], 1, "not a model that onnxruntime can open"),
    "zeros as model": (
        lambda at: [at.song, "-m", at.damaged(lambda data: bytes(100))],
        1,
        "not a model that onnxruntime can open",
    ),
    "a model cut short": (
        lambda at: [at.song, "-m", at.damaged(lambda data: data[:-1000])],
        1,
        "not a model that onnxruntime can open",
    ),
    "another ONNX file": (lambda at: [at.song, "-m", at.described(None)], 1, "not a model of ft"),
    "another format version": (
        lambda at: [at.song, "-m", at.described('{"format": 99}')],
        1,
        "format 99, this version of ft reads 1",
    ),
    "a description that is no text": (
        lambda at: [at.song, "-m", at.damaged(lambda data: data.replace(b'"format"', b'"form\xff\xff"'))],
        1,
        "its description is damaged (no UTF-8)",
    ),
    "a weight that is no number": (lambda at: [at.song, "-m", at.not_a_number()], 1, "the file is damaged"),
    "a wrong hash": (
        lambda at: [at.song, "-m", at.of_wrong_hash()],
        1,
        "has SHA-256 d67e2e944994496c8d8ec76eed0cf9f09679448d584b532bebf941852a37f5ed, expected",
    ),
    "a checkpoint as model": (lambda at: [at.song, "-m", at.checkpoint], 1, "export it first: ft export onnx"),
    "a malicious pickle as model": (lambda at: [at.song, "-m", at.malicious()], 1, "ft snapshots import"),
    "unknown device": (lambda at: [at.song, "-d", "tpu"], 1, "unknown device 'tpu'"),
    "no GPU": (lambda at: [at.song, "-d", "cuda"], 1, "device cuda: CUDA does not work here"),
    "a format with no such depth": (lambda at: [at.song, "--format", "mp3", "--bit-depth", "24"], 2, "no bit depth"),
    "nothing left of the song": (lambda at: [at.song, "--start", "60"], 1, "nothing is left"),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_bad_request_gets_one_line_and_leaves_the_output_folder_alone(
    name: str, tiny_model: Path, tiny_checkpoint: Path, song: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ask, code, message = REQUESTS[name]
    at = Place(song.parent, song, tiny_model, tiny_checkpoint)
    if name == "no GPU" and "CUDAExecutionProvider" in runtime.import_onnxruntime().get_available_providers():
        pytest.skip("there is one")
    at.out.mkdir()
    (at.out / "kept_vocals.wav").write_bytes(b"kept")
    arguments = ask(at)
    before = sorted(at.folder.rglob("*"))
    model = () if "-m" in arguments else ("-m", tiny_model)  # several would be an ensemble
    ft("separate", *model, "-o", at.out, "-q", *arguments, code=code)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("ft: ")
    assert said.err.count("\n") == 1
    assert message in said.err
    assert sorted(at.folder.rglob("*")) == before
    assert (at.out / "kept_vocals.wav").read_bytes() == b"kept"


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
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell starts in the background ignores it
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

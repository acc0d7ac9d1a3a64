"""Damaged files through the real command line: done whole or refused with one line, whatever is in them.

A few seeded cases of each kind run with the other tests. FT_FUZZ_CASES=3000 runs that many of each, at random:

    FT_FUZZ_CASES=3000 pytest -n 0 tests/test_fuzz.py --hypothesis-show-statistics

The statistics count those done and those refused; --hypothesis-seed=N repeats a run. A file that brings the process
down stays in pytest's folder (--basetemp).
"""

from __future__ import annotations

import copy
import io
import json
import os
import resource
import signal
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import onnx
import pytest
import safetensors.torch
import soundfile
import torch
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from hypothesis.configuration import set_hypothesis_home_dir

from ftcli import app as frame
from ftcore import decoders
from ftcore.checkpoint import KEY
from ftcore.errors import FtError
from snapshots import importing
from tests.conftest import noise
from tests.test_snapshots import TINY_V1, original_state

set_hypothesis_home_dir(os.devnull)  # or it makes a folder where the tests are started

CASES = os.environ.get("FT_FUZZ_CASES")

LONGEST = 20
"""Seconds after which a case hangs."""

MEMORY = 1 << 20
"""Kilobytes that a case may need beyond those before it."""

RATE = 8000

SONGS = {
    "wav16": ("wav", "WAV", "PCM_16"),
    "wav24": ("wav", "WAVEX", "PCM_24"),
    "float": ("wav", "WAV", "FLOAT"),
    "flac": ("flac", "FLAC", "PCM_16"),
    "mp3": ("mp3", "MP3", "MPEG_LAYER_III"),
    "vorbis": ("ogg", "OGG", "VORBIS"),
    "opus": ("opus", "OGG", "OPUS"),
    "aiff": ("aiff", "AIFF", "PCM_16"),
}
"""Suffix, format and subtype by kind; m4a comes from PyAV."""

SUFFIXES = (".wav", ".flac", ".mp3", ".ogg", ".aiff", ".caf", ".au", ".m4a", ".aac", ".webm", ".xyz", ".raw", "")

EXTREMES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 2**24, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**63, -1)

NUMBERS = (0, -1, 1, 2, 3, 7, 16, 2**16, 2**40, 10**9, -(2**63), 10**400, 0.5, -0.5, 1e308, float("inf"), float("nan"))
OTHERS: tuple[Any, ...] = (
    "",
    "1024",
    "mapping",
    "\ud800\x1b[2J",
    None,
    True,
    {},
    {"a": 1},
    [],
    [0],
    [1] * 1000,
    [[[1]]],
)
VALUES = st.sampled_from(NUMBERS + OTHERS)
"""For the fields of a description."""

TEXTS = st.sampled_from(("", "{", "null", "[" * 100_000, "9" * 5000, '{"a":' * 500 + "1" + "}" * 500, "{}", '"format"'))
"""For the whole of it."""


def fuzzed(cases: int) -> settings:
    """So many cases of a kind, unless the environment says otherwise."""
    return settings(
        max_examples=int(CASES or cases),
        derandomize=CASES is None,
        database=None,
        deadline=None,  # a case that hangs is stopped by `watched`
        suppress_health_check=list(HealthCheck),
    )


@st.composite
def damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    """A file with one to four things wrong, often in its first or last bytes, where headers and indices are."""
    data = bytearray(whole)
    for _ in range(draw(st.integers(1, 4))):
        last = max(len(data) - 1, 0)
        at = draw(st.one_of(st.integers(0, min(last, 80)), st.integers(0, last), st.integers(max(last - 80, 0), last)))
        match draw(st.sampled_from(("flip", "extreme", "extreme", "cut", "insert", "zero", "drop", "repeat"))):
            case "flip":
                data[at : at + 1] = bytes(b ^ 1 << draw(st.integers(0, 7)) for b in data[at : at + 1])
            case "extreme":
                size, number = draw(st.sampled_from((1, 2, 4, 8))), draw(st.sampled_from(EXTREMES))
                order = draw(st.sampled_from(("little", "big")))
                data[at : at + size] = (number % 256**size).to_bytes(size, cast(Any, order))
            case "cut":
                del data[at:]
            case "insert":
                data[at:at] = draw(st.binary(min_size=1, max_size=40))
            case "zero":
                size = len(data[at : at + draw(st.integers(1, 500))])
                data[at : at + size] = bytes(size)
            case "drop":
                del data[at : at + draw(st.integers(1, 500))]
            case "repeat":
                data[at:at] = data[at : at + draw(st.integers(1, 500))]
    return bytes(data)


@st.composite
def misdescribed(draw: st.DrawFn, description: str) -> str:
    """A model's description with impossible, absurd or wrongly typed values, or something else altogether."""
    if draw(st.integers(0, 4)) == 4:
        return draw(TEXTS)
    values = json.loads(description)
    for _ in range(draw(st.integers(1, 3))):
        parts = [p for p in (values.get("network"), values.get("signal"), values) if isinstance(p, dict) and p]
        if not parts:
            break
        part = draw(st.sampled_from(parts))
        name = draw(st.sampled_from(sorted(part)))
        old, value = part[name], copy.deepcopy(draw(VALUES))
        match draw(st.sampled_from(("replace", "replace", "entry", "drop", "add"))):
            case "entry" if isinstance(old, list) and old:
                old[draw(st.integers(0, len(old) - 1))] = value
            case "drop":
                del part[name]
            case "add":
                part[draw(st.sampled_from(("kind", "colour", "dense_levels", "\x1b" * 1000)))] = value
            case _:
                part[name] = value
    return json.dumps(values)


@contextmanager
def watched() -> Iterator[None]:
    """Fail where the body takes too long or too much memory."""

    def late(*_: object) -> None:
        pytest.fail(f"hang: not done after {LONGEST} s")  # no Exception: nobody on the way catches it

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    previous = signal.signal(signal.SIGALRM, late)
    signal.alarm(LONGEST)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < MEMORY, f"took {grown >> 10} MB more than ever before"


def separated(song: Path, model: Path, named: Path, stderr: pytest.CaptureFixture[str]) -> str:
    """Run `ft separate`: done, with both stems whole; or refused, with one line that names a file, and nothing left."""
    out = song.parent / "out"
    saved, sys.argv = sys.argv, ["ft", "separate", str(song), "-m", str(model), "-o", str(out), "-q"]
    stderr.readouterr()
    try:
        with watched(), pytest.raises(SystemExit) as exit_info:
            frame.main()
    finally:
        sys.argv = saved
    lines = [line for line in stderr.readouterr().err.splitlines() if line.startswith("ft: ")]  # libmpg123 writes too
    assert set(song.parent.iterdir()) <= {song, model, out}
    left = {path.name: path for path in (out.iterdir() if out.exists() else ())}
    if exit_info.value.code == 0:
        assert lines == []
        assert left.keys() == {f"{song.stem}_vocals.wav", f"{song.stem}_instrumental.wav"}
        with decoders.opened(song) as decoder:
            shape = (sum(block.shape[1] for block in decoder.blocks()), decoder.channels)
        stems = [soundfile.read(path, always_2d=True)[0] for path in left.values()]
        assert [stem.shape for stem in stems] == [shape, shape]
        assert all(np.isfinite(stem).all() for stem in stems)
        return "done"
    assert exit_info.value.code == 1
    assert len(lines) == 1, lines
    assert lines[0].startswith(f"ft: {named}"), lines
    assert len(lines[0]) < len(str(named)) + 500
    assert left == {}
    return "refused"


def suffix_of(kind: str) -> str:
    """What a kind of song is called."""
    return f".{SONGS[kind][0] if kind in SONGS else kind}"


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A third of a second of stereo in every format."""
    folder = tmp_path_factory.mktemp("songs")
    for kind, (suffix, file_format, subtype) in SONGS.items():
        soundfile.write(folder / f"{kind}.{suffix}", noise(2700, 2).T, RATE, format=file_format, subtype=subtype)
    with av.open(str(folder / "m4a.m4a"), "w") as container:
        stream = container.add_stream("aac", rate=RATE, layout="stereo")
        packed = av.AudioFrame.from_ndarray(noise(2700, 2), format="fltp", layout="stereo")
        packed.sample_rate, packed.pts = RATE, 0
        for part in (packed, None):
            container.mux(stream.encode(part))
    return {path.stem: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("kind", [*SONGS, "m4a"])
@fuzzed(6)
@given(choices=st.data())
def test_songs(
    kind: str,
    songs: dict[str, bytes],
    tiny_model: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    choices: st.DataObject,
) -> None:
    suffix = choices.draw(st.sampled_from((*(suffix_of(kind),) * 2 * len(SUFFIXES), *SUFFIXES)))
    with tempfile.TemporaryDirectory(dir=tmp_path) as folder:
        song = Path(folder) / f"song{suffix}"
        song.write_bytes(choices.draw(damaged(songs[kind])))
        event(separated(song, tiny_model, song, capfd))


@pytest.mark.parametrize("damage", ["bytes", "description"])
@fuzzed(8)
@given(choices=st.data())
def test_models(
    damage: str,
    songs: dict[str, bytes],
    exported: onnx.ModelProto,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    choices: st.DataObject,
) -> None:
    if damage == "description":
        proto = copy.deepcopy(exported)
        onnx.helper.set_model_props(proto, {KEY: choices.draw(misdescribed(exported.metadata_props[0].value))})
        content = proto.SerializeToString()
    else:
        content = choices.draw(damaged(exported.SerializeToString()))
    with tempfile.TemporaryDirectory(dir=tmp_path) as folder:
        song, model = Path(folder) / "song.wav", Path(folder) / "model.onnx"
        song.write_bytes(songs["wav16"])
        model.write_bytes(content)
        event(separated(song, model, model, capfd))


@pytest.fixture(scope="module")
def exported(tiny_model: Path) -> onnx.ModelProto:
    """The exported model, its description being all the metadata that it has."""
    return onnx.load(tiny_model)


def recognised(data: bytes, suffix: str, folder: Path) -> str:
    """Import a checkpoint, but for the export: done, with a network; or refused, with a line that names the file."""
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        path = Path(temporary) / f"model.{suffix}"
        path.write_bytes(data)
        try:
            with watched():
                found = importing.recognise(path)
            assert all(weight.isfinite().all() for weight in found.checkpoint.network.parameters())
            assert found.licence.isprintable()
        except FtError as error:
            assert str(error).startswith(str(path))
            assert len(str(error)) < len(str(path)) + 500
            return "refused"
    return "done"


@pytest.mark.parametrize("damage", ["bytes", "description"])
@fuzzed(40)
@given(choices=st.data())
def test_checkpoints(damage: str, tiny_checkpoint: Path, tmp_path: Path, choices: st.DataObject) -> None:
    content = tiny_checkpoint.read_bytes()
    if damage == "description":
        with safetensors.safe_open(tiny_checkpoint, framework="pt") as file:
            text = choices.draw(misdescribed(file.metadata()[KEY]))
        content = safetensors.torch.save(safetensors.torch.load(content), {KEY: text})
    else:
        content = choices.draw(damaged(content))
    event(recognised(content, "safetensors", tmp_path))


@pytest.mark.parametrize("damage", ["bytes", "pickle"])
@fuzzed(40)
@given(choices=st.data())
def test_original_checkpoints(damage: str, original: bytes, tmp_path: Path, choices: st.DataObject) -> None:
    content = choices.draw(damaged_pickle(original) if damage == "pickle" else damaged(original))
    event(recognised(content, "pth", tmp_path))


@st.composite
def damaged_pickle(draw: st.DrawFn, whole: bytes) -> bytes:
    """A PyTorch file with damage in its pickle, under the right checksum, or nothing would read it."""
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(whole)) as source, zipfile.ZipFile(packed, "w") as target:
        for name in source.namelist():
            part = source.read(name)
            target.writestr(name, draw(damaged(part)) if name.endswith("data.pkl") else part)
    return packed.getvalue()


@pytest.fixture(scope="module")
def original() -> bytes:
    """A checkpoint of the original code."""
    file = io.BytesIO()
    torch.save(original_state(TINY_V1), file)
    return file.getvalue()


def test_the_undamaged_files_are_accepted(
    songs: dict[str, bytes],
    tiny_model: Path,
    tiny_checkpoint: Path,
    original: bytes,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Or the cases above might all be refused for a reason of their own."""
    for kind, data in songs.items():
        song = tmp_path / kind / f"song{suffix_of(kind)}"
        song.parent.mkdir()
        song.write_bytes(data)
        assert separated(song, tiny_model, song, capfd) == "done"
    assert recognised(tiny_checkpoint.read_bytes(), "safetensors", tmp_path) == "done"
    assert recognised(original, "pth", tmp_path) == "done"

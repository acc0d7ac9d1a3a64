"""What libsndfile cannot read comes through PyAV: whole, or with a reason."""

from __future__ import annotations

import os
from pathlib import Path
from typing import cast

import av
import imageio_ffmpeg
import numpy as np
import pytest
import soundfile

from ftcore import audio, decoders, ffmpeg
from ftcore.errors import FtError
from tests.conftest import noise
from tests.test_cli import ft

RATE = 48000
TONE = np.sin(np.arange(RATE) / 20, dtype=np.float32) * np.array([[0.5], [0.25]], np.float32)


def encoded(path: Path, codec: str, sample_format: str = "fltp") -> Path:
    """A second of stereo tone in the container of the suffix."""
    with av.open(str(path), "w") as container:
        stream = cast(av.AudioStream, container.add_stream(codec, rate=RATE, layout="stereo"))
        stream.codec_context.format = sample_format
        frame = av.AudioFrame.from_ndarray(TONE, format="fltp", layout="stereo")
        frame.sample_rate, frame.pts = RATE, 0
        for part in av.AudioResampler(format=sample_format, layout="stereo", rate=RATE).resample(frame):
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("suffix", "codec", "sample_format", "samples", "depth"),
    [
        ("m4a", "aac", "fltp", RATE, "16"),
        ("M4A", "alac", "s16p", RATE, "16"),
        ("mp4", "aac", "fltp", RATE, "16"),
        ("webm", "libopus", "flt", RATE, "16"),
        ("mka", "flac", "s32", RATE, "24"),
        ("mov", "pcm_f32le", "flt", RATE, "32f"),
        ("aac", "aac", "fltp", RATE + 1024, "16"),  # raw frames know nothing of the encoder's delay
    ],
)
def test_containers_are_read_whole(
    suffix: str, codec: str, sample_format: str, samples: int, depth: str, tmp_path: Path
) -> None:
    info, wave = audio.read(encoded(tmp_path / f"song.{suffix}", codec, sample_format))
    assert (info.rate, info.channels, info.bit_depth) == (RATE, 2, depth)
    assert abs(info.samples - samples) <= 1024
    assert wave.shape == (2, info.samples)
    middle = slice(RATE // 3, RATE // 2)
    loudness = np.sqrt(np.mean(np.square(wave[:, middle]), axis=1))
    assert loudness == pytest.approx([0.5 / 2**0.5, 0.25 / 2**0.5], rel=0.02)


def test_lossless_containers_give_what_went_in(tmp_path: Path) -> None:
    _, wave = audio.read(encoded(tmp_path / "song.mka", "flac", "s32"))
    np.testing.assert_allclose(wave, TONE, atol=2**-23)


def test_more_channels_than_a_frame_has_planes(tmp_path: Path) -> None:
    wave = noise(3000, 12)
    soundfile.write(tmp_path / "song.wav", wave.T, RATE, subtype="FLOAT")
    info, read = audio.read((tmp_path / "song.wav").rename(tmp_path / "song.m4a"))
    assert info.channels == 12
    np.testing.assert_array_equal(read, wave)


def test_damaged_containers_say_so(tmp_path: Path) -> None:
    whole = {name: encoded(tmp_path / f"whole.{name}", codec) for name, codec in (("m4a", "aac"), ("aac", "aac"))}
    whole["webm"] = encoded(tmp_path / "whole.webm", "libopus", "flt")
    for name, message in (
        ("m4a", "not readable as audio"),
        ("aac", r"damaged after 0\.\d s"),
        ("webm", "is truncated"),
    ):
        data = whole[name].read_bytes()
        cut = tmp_path / f"cut.{name}"
        cut.write_bytes(data[: len(data) // 3])
        with pytest.raises(FtError, match=rf"cut.{name}: {message}"):
            audio.read(cut)
    nothing = tmp_path / "nothing.m4a"
    nothing.write_text("no audio")
    with pytest.raises(FtError, match=r"nothing.m4a: not readable as audio"):
        audio.probe(nothing)
    nothing.write_bytes(b"")
    with pytest.raises(FtError, match=r"is empty"):
        audio.probe(nothing)


def test_a_stream_that_changes_is_refused(tmp_path: Path) -> None:
    data = bytearray(encoded(tmp_path / "song.aac", "aac").read_bytes())
    at = 0
    while at < len(data):  # one header after the other: its sample rate, and the length of its frame
        if at > len(data) // 2:
            data[at + 2] = data[at + 2] & 0b11000011 | 4 << 2  # 44100 Hz
        at += (data[at + 3] & 3) << 11 | data[at + 4] << 3 | data[at + 5] >> 5
    (tmp_path / "song.aac").write_bytes(data)
    with pytest.raises(FtError, match="its rate or channels are not those of the header"):
        audio.read(tmp_path / "song.aac")


def test_a_stream_that_appears_late_is_no_traceback() -> None:
    """A damaged flv in which FFmpeg finds another stream only when it reads from the start again."""
    with pytest.raises(FtError, match=r"late_stream.flv: damaged after \d\.\d s"):
        audio.read(Path(__file__).parent / "data" / "late_stream.flv")


def test_playlists_lead_nowhere(tmp_path: Path) -> None:
    encoded(tmp_path / "song.mka", "flac", "s32")
    for name in ("list.xyz", "list.m4a"):
        (tmp_path / name).write_text("ffconcat version 1.0\nfile song.mka\n")
        with pytest.raises(FtError, match=f"{name}: not readable as audio"):
            audio.probe(tmp_path / name)


def test_without_pyav_the_remedy_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoders, "find_spec", lambda name: None)
    monkeypatch.setattr(ffmpeg, "found", lambda: False)
    song = encoded(tmp_path / "song.m4a", "aac")
    with pytest.raises(
        FtError, match=r"song.m4a: reading .m4a needs PyAV or ffmpeg: pip install 'frame-transformer\[m4a\]'"
    ):
        audio.probe(song)
    other = tmp_path / "song.xyz"
    other.write_text("?")
    with pytest.raises(FtError, match=r"song.xyz: not readable as audio"):
        audio.probe(other)


def test_a_container_separates(tmp_path: Path, tiny_model: Path) -> None:
    song = encoded(tmp_path / "song.webm", "libopus", "flt")
    ft("separate", song, "-m", tiny_model, "-o", tmp_path / "out")
    _, wave = audio.read(song)
    stems = [audio.read(tmp_path / "out" / f"song_{stem}.wav")[1] for stem in ("vocals", "instrumental")]
    assert stems[0].shape == wave.shape
    np.testing.assert_allclose(stems[0] + stems[1], wave, atol=2**-15 + 1e-6)


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ffmpeg program on the path, and no PyAV."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "ffmpeg").symlink_to(imageio_ffmpeg.get_ffmpeg_exe())
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    monkeypatch.setattr(decoders, "find_spec", lambda name: None)


@pytest.mark.parametrize("suffix", ["m4a", "webm", "mkv", "MOV"])
def test_without_pyav_the_program_decodes(
    suffix: str, tmp_path: Path, program: None, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    codec, held = {"m4a": ("aac", "fltp"), "webm": ("libopus", "flt")}.get(suffix, ("pcm_s16le", "s16"))
    path = encoded(tmp_path / f"-a song.{suffix}", codec, held)
    info, wave = audio.read(path)
    assert (info.rate, info.channels) == (RATE, 2)
    assert abs(info.samples - RATE) <= 1024
    middle = slice(RATE // 3, RATE // 2)
    assert np.sqrt(np.square(wave[:, middle]).mean(axis=1)) == pytest.approx([0.5 / 2**0.5, 0.25 / 2**0.5], rel=0.02)
    part = audio.probe(path).section(0.25, 0.5)
    np.testing.assert_array_equal(np.concatenate(list(audio.read_blocks(part)), axis=1), wave[:, 12000:36000])
    monkeypatch.chdir(tmp_path)
    ft("separate", path.name, "-m", tiny_model, "-o", "out", "-q", code=2)  # looks like an option
    ft("separate", "-m", tiny_model, "-o", "out", "-q", "--", path.name)
    assert len(list((tmp_path / "out").iterdir())) == 2


def test_what_the_program_cannot_read_is_one_line(tmp_path: Path, program: None) -> None:
    whole = encoded(tmp_path / "song.m4a", "aac").read_bytes()
    path = tmp_path / "bad.m4a"
    for content in (b"no audio", whole[: len(whole) // 2], b"#EXTM3U\n/etc/passwd\n"):
        path.write_bytes(content)
        with pytest.raises(FtError, match=r"bad\.m4a: not readable as audio \(.+\)"):
            audio.probe(path)
    path.write_bytes(whole[:1000] + bytes(3000) + whole[4000:])
    with pytest.raises(FtError, match=r"bad\.m4a"):
        audio.read(path)

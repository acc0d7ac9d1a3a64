"""What stems are written as: every format, whole, with the song's tags, adding up where it can hold that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mutagen
import numpy as np
import pytest
import soundfile

from ftcore import Separator, tags
from ftcore.encoders import FORMATS, Format, Spool
from ftcore.errors import FtError
from ftcore.tags import Picture, Tags
from tests.conftest import noise

COVER = Picture(data=b"\x89PNG\r\n\x1a\n" + bytes(20), mime="image/png", description="front")
SAID = {"title": ["Söng"], "artist": ["A", "B"], "tracknumber": ["3"], "date": ["1999"], "comment": ["no"]}


@pytest.mark.parametrize("channels", [1, 2, 5])
@pytest.mark.parametrize("rate", [8000, 44100, 96000])
@pytest.mark.parametrize("file_format", FORMATS)
def test_every_format_keeps_length_rate_and_channels_or_says_that_it_cannot(
    file_format: Format, rate: int, channels: int, tiny_model: Path, tmp_path: Path
) -> None:
    path = tmp_path / "song.wav"
    wave = noise(rate // 3, channels)
    soundfile.write(path, wave.T, rate, subtype="PCM_24")
    separator = Separator(tiny_model)
    container = FORMATS[file_format]
    if channels > container.channels:
        with pytest.raises(FtError, match=f"{file_format} holds at most 2 channels, not {channels}"):
            separator.separate_file(path, tmp_path / "out", file_format=file_format)
        assert not (tmp_path / "out").exists()
        return
    result = separator.separate_file(path, tmp_path / "out", file_format=file_format)
    written = container.rate(rate)
    expected = round(len(wave[0]) * written / rate)
    total = np.zeros((channels, expected))
    for stem in result.stems.values():
        made, held = soundfile.read(stem, always_2d=True)
        assert (held, made.shape[1]) == (written, channels)
        assert abs(len(made) - expected) <= (0 if written == rate else 1)
        total += made.T[:, :expected]
    assert (written == rate) == (result.notes == ())
    if written == rate:
        lossless = file_format in ("wav", "flac")
        assert np.abs(total - soundfile.read(path, always_2d=True)[0].T).max() <= (
            1.001 * 2.0**-23 if lossless else 0.5
        )


@pytest.mark.parametrize("source", ["flac", "mp3", "ogg", "wav", "m4a"])
def test_tags_and_cover_are_copied_to_every_format(source: str, tmp_path: Path, tiny_model: Path) -> None:
    path = tmp_path / f"song.{source}"
    if source == "m4a":
        write_m4a(path)
        file = mutagen.File(path)
        file["\xa9nam"], file["\xa9ART"], file["trkn"], file["\xa9day"] = "Söng", ["A", "B"], [(3, 0)], "1999"
        file["covr"] = [mutagen.mp4.MP4Cover(COVER.data, mutagen.mp4.MP4Cover.FORMAT_PNG)]
        file["\xa9cmt"] = "no"
        file.save()
    else:
        soundfile.write(path, noise(2000, 2).T, 8000)
        tags.write(path, Tags(text=SAID, pictures=(COVER,)))
    for file_format in FORMATS:
        result = Separator(tiny_model).separate_file(path, tmp_path / "out", file_format=file_format)
        for stem in result.stems.values():
            carried = tags.read(stem)
            assert carried.text == SAID, file_format
            assert [p.data for p in carried.pictures] == [COVER.data]


def write_m4a(path: Path) -> None:
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100, layout="stereo")
        frame = av.AudioFrame.from_ndarray(noise(4096, 2), format="fltp", layout="stereo")
        frame.rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def test_tags_that_are_none_or_damaged_harm_nothing(tmp_path: Path, tiny_model: Path) -> None:
    path = tmp_path / "song.wav"
    with soundfile.SoundFile(path, "w", 8000, 1) as file:
        file.title = "from INFO"
        file.write(noise(500, 1)[0])
    assert tags.read(path).text == {"title": ["from INFO"]}
    soundfile.write(tmp_path / "song.mp3", noise(3000, 2).T, 8000)
    assert not tags.read(tmp_path / "song.mp3")
    data = (tmp_path / "song.mp3").read_bytes()
    (tmp_path / "song.mp3").write_bytes(b"ID3\x04\x00\x00\x00\x00\x00\x14" + b"TIT2\x00\x00\xff\xff" + bytes(12) + data)
    assert not tags.read(tmp_path / "song.mp3")
    Separator(tiny_model).separate_file(tmp_path / "song.mp3", tmp_path / "out")


def test_a_stem_can_be_listened_to_while_it_is_written(tmp_path: Path) -> None:
    wave = noise(20000, 2)
    with Spool(tmp_path, "vocals", rate=8000, channels=2) as spool:
        for begin in range(0, 20000, 5000):
            spool.write(wave[:, begin : begin + 5000])
            (part,) = tmp_path.iterdir()
            assert "vocals" in part.name
            heard, rate = soundfile.read(part, dtype="float32")
            assert rate == 8000
            np.testing.assert_array_equal(heard, wave.T[: len(heard)])
            assert len(heard) > begin  # all but what is still buffered
        np.testing.assert_array_equal(np.concatenate(list(spool.blocks()), axis=1), wave)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("file_format", "depth", "most"),
    [
        ("wav", "16", 2.0**-15),
        ("wav", "24", 2.0**-23),
        ("wav", "32f", 1e-6),
        ("flac", "16", 2.0**-15),
        ("flac", "24", 2.0**-23),
    ],
)
@pytest.mark.parametrize("rate", [8000, 11025, 48000, 192000])
def test_stems_add_up_in_every_format_that_can_hold_it(
    file_format: Format, depth: Any, most: float, rate: int, tiny_model: Path, tmp_path: Path
) -> None:
    for channels in (1, 2, 8):
        path = tmp_path / f"{channels}.wav"
        subtype = {"16": "PCM_16", "24": "PCM_24", "32f": "FLOAT"}[depth]
        soundfile.write(path, noise(rate // 4 + 7, channels).T, rate, subtype=subtype)
        result = Separator(tiny_model).separate_file(path, tmp_path / "out", file_format=file_format)
        stems = [soundfile.read(p, dtype="float64", always_2d=True)[0] for p in result.stems.values()]
        song = soundfile.read(path, dtype="float64", always_2d=True)[0]
        assert [s.shape for s in stems] == [song.shape] * 2
        assert np.abs(sum(stems) - song).max() <= 1.001 * most

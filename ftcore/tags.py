"""Tags and cover art, from a song to its stems (mutagen).

What is carried over: the text fields of FIELDS and pictures. Loudness values are left out, since a stem is
not as loud as its song.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ftcore.errors import FtError

FIELDS = (  # Vorbis comment (also our name), ID3 frame, MP4 atom
    ("title", "TIT2", "\xa9nam"),
    ("artist", "TPE1", "\xa9ART"),
    ("album", "TALB", "\xa9alb"),
    ("albumartist", "TPE2", "aART"),
    ("date", "TDRC", "\xa9day"),
    ("tracknumber", "TRCK", "trkn"),
    ("discnumber", "TPOS", "disk"),
    ("genre", "TCON", "\xa9gen"),
    ("composer", "TCOM", "\xa9wrt"),
    ("comment", "COMM", "\xa9cmt"),
    ("copyright", "TCOP", "cprt"),
    ("bpm", "TBPM", "tmpo"),
    ("initialkey", "TKEY", ""),
    ("isrc", "TSRC", ""),
    ("language", "TLAN", ""),
    ("lyrics", "USLT", "\xa9lyr"),
)


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A cover or another picture."""

    data: bytes
    mime: str
    kind: int = 3
    """ID3's number of what it shows; 3 = front cover."""
    description: str = ""


@dataclass(frozen=True, kw_only=True)
class Tags:
    """What a song says of itself."""

    text: dict[str, list[str]] = field(default_factory=dict)
    """Values by the names of FIELDS."""
    pictures: tuple[Picture, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.text or self.pictures)


def read(path: Path) -> Tags:
    """A file's tags; none where its format has none or they cannot be read."""
    import mutagen
    from mutagen.id3 import ID3
    from mutagen.mp4 import MP4Tags

    try:
        file = mutagen.File(path)
        if file is None:
            return Tags()
        held: Any = file.tags
        if isinstance(held, ID3):
            found = _from_id3(held)
        elif isinstance(held, MP4Tags):
            found = _from_mp4(held)
        elif held is not None and hasattr(held, "as_dict"):
            found = _from_vorbis(held, getattr(file, "pictures", ()))
        else:
            found = Tags()
    except Exception:  # tags are a courtesy, and damaged ones make mutagen raise anything
        return Tags()
    return found or _from_info(path)


def write(path: Path, tags: Tags) -> None:
    """Give tags to a finished wav, flac, ogg, opus or mp3 file. Raises FtError."""
    import mutagen
    from mutagen.flac import FLAC
    from mutagen.ogg import OggFileType

    try:
        file = mutagen.File(path)
        if file is None:
            raise FtError("a format without tags")
        if isinstance(file, FLAC):
            for picture in tags.pictures:
                file.add_picture(_flac_picture(picture))
            file.update(tags.text)
        elif isinstance(file, OggFileType):
            file.update(tags.text)
            if tags.pictures:
                blocks = [base64.b64encode(_flac_picture(p).write()).decode() for p in tags.pictures]
                file["metadata_block_picture"] = blocks
        else:
            if file.tags is None:
                file.add_tags()
            _to_id3(file.tags, tags)
        file.save()
    except (mutagen.MutagenError, ValueError, OSError) as error:
        raise FtError(f"tags could not be copied ({error})") from None


def _from_vorbis(held: Any, pictures: Any) -> Tags:
    from mutagen.flac import Picture as FlacPicture

    values = {name.lower(): found for name, found in held.as_dict().items()}
    pictures = [*pictures, *(FlacPicture(base64.b64decode(p)) for p in values.get("metadata_block_picture", ()))]
    return Tags(
        text={name: values[name] for name, _, _ in FIELDS if values.get(name)},
        pictures=tuple(Picture(data=p.data, mime=p.mime, kind=p.type, description=p.desc) for p in pictures),
    )


def _from_id3(held: Any) -> Tags:
    text = {}
    for name, frame, _ in FIELDS:
        values = [str(t) for f in held.getall(frame) for t in (f.text if isinstance(f.text, list) else [f.text])]
        if any(values):
            text[name] = values
    pictures = (Picture(data=p.data, mime=p.mime, kind=int(p.type), description=p.desc) for p in held.getall("APIC"))
    return Tags(text=text, pictures=tuple(pictures))


def _from_mp4(held: Any) -> Tags:
    from mutagen.mp4 import MP4Cover

    text = {}
    for name, _, atom in FIELDS:
        if values := held.get(atom):
            text[name] = ["/".join(str(n) for n in v if n) if isinstance(v, tuple) else str(v) for v in values]
    pictures = (
        Picture(data=bytes(p), mime="image/png" if p.imageformat == MP4Cover.FORMAT_PNG else "image/jpeg")
        for p in held.get("covr", ())
    )
    return Tags(text=text, pictures=tuple(pictures))


def _from_info(path: Path) -> Tags:
    """The INFO chunk of a WAV file, which mutagen does not read."""
    import soundfile

    try:
        with soundfile.SoundFile(path) as file:
            values = file.copy_metadata()
    except (soundfile.LibsndfileError, UnicodeDecodeError):
        return Tags()
    return Tags(text={name: [values[name]] for name, _, _ in FIELDS if values.get(name)})


def _to_id3(held: Any, tags: Tags) -> None:
    from mutagen import id3

    for name, frame, _ in FIELDS:
        if name not in tags.text:
            continue
        if frame in ("COMM", "USLT"):
            held.add(getattr(id3, frame)(encoding=3, lang="und", desc="", text="\n".join(tags.text[name])))
        else:
            held.add(getattr(id3, frame)(encoding=3, text=tags.text[name]))
    for picture in tags.pictures:
        held.add(
            id3.APIC(encoding=3, mime=picture.mime, type=picture.kind, desc=picture.description, data=picture.data)
        )


def _flac_picture(picture: Picture) -> Any:
    from mutagen.flac import Picture as FlacPicture

    block = FlacPicture()
    block.data, block.mime, block.type, block.desc = picture.data, picture.mime, picture.kind, picture.description
    return block

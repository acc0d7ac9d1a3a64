"""A file that somebody has, as one of our checkpoints."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftcore.config import SignalConfig
from ftcore.errors import FtError
from snapshots import load_network, original, published
from snapshots.manifest import sha256
from snapshots.registry import slug

if TYPE_CHECKING:
    from ftcore.checkpoint import Checkpoint


@dataclass(frozen=True, kw_only=True)
class Recognised:
    """What a file turned out to be."""

    checkpoint: Checkpoint
    title: str
    """Such as "the published V1"."""
    name: str
    """What to call it, unless the user knows better."""
    summary: str
    licence: str


def recognise(path: Path) -> Recognised:
    """Read one of our checkpoints, or a file of the original code, whichever it is. Needs torch.

    Nothing in the file is executed. Raises FtError for any other file, and for weights that are not finite.
    """
    return _ours(path) if _is_safetensors(path) else _original(path)


def _is_safetensors(path: Path) -> bool:
    """Such a file begins with the length of its header, 8 bytes, and the header, which is JSON."""
    try:
        with path.open("rb") as file:
            return file.read(9)[8:] == b"{"
    except OSError:
        return False


def _ours(path: Path) -> Recognised:
    from ftcore import checkpoint

    loaded = checkpoint.load(path)
    try:
        original.check_finite(loaded.network.state_dict())
    except FtError as error:
        raise FtError(f"{path}: {error}") from None
    return Recognised(
        checkpoint=loaded,
        title="a checkpoint of ft",
        name=slug(path),
        summary=f"imported from {path.name}",
        licence=_stated(loaded.provenance.get("licence")),
    )


def _original(path: Path) -> Recognised:
    from ftcore.checkpoint import Checkpoint

    network = load_network(path)
    digest = sha256(path)
    snapshot = published.identify(network.config, digest)
    window = snapshot.signal if snapshot else SignalConfig()
    title = original.FAMILIES[original.kind_of(network.config)].title
    licence = snapshot.licence if snapshot else published.UNSTATED
    provenance = {"source": path.name, "source_sha256": digest, "licence": licence}
    if snapshot:
        provenance |= {"snapshot": snapshot.name, "address": snapshot.address or ""}
    return Recognised(
        checkpoint=Checkpoint(
            network=network,
            signal=original_signal(network.config.features, window),
            provenance=provenance,
        ),
        title=f"the published {snapshot.title}" if snapshot else f"a network of the original's family {title}",
        name=snapshot.name if snapshot else slug(path),
        summary=snapshot.summary if snapshot else f"{title}, imported from {path.name}",
        licence=licence,
    )


def original_signal(features: int, window: SignalConfig) -> SignalConfig:
    """The audio format of an original network: 44.1 kHz, the hop half of n_fft, as in all that was published."""
    return dataclasses.replace(window, n_fft=2 * features, hop=features)


def _stated(licence: Any) -> str:
    """What a checkpoint says of its licence, as one printable line."""
    text = licence if isinstance(licence, str) else "not stated in the checkpoint"
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:200]

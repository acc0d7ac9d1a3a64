"""The checkpoints that the original's author published, and what we know of each.

They are not ours to ship: the user downloads them and `ft snapshots import` reads them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ftcore.config import EarlyConfig, NetworkConfig, SignalConfig, SpectralConfig

UNSTATED = "not stated by its author"


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """One published checkpoint."""

    name: str
    title: str
    kind: Literal["gen", "v1", "v2b"]
    """The family of networks; see `snapshots.load_network`."""
    date: str | None
    """When it was published, ISO 8601; None = not stated."""
    summary: str
    """One line: what it is."""
    address: str | None
    """Where its author offers it; None = named in his README without an address of its own."""
    licence: str = UNSTATED
    """Of the weights."""
    sha256: str | None = None
    """Of the published file; None = nobody has told us."""
    config: NetworkConfig | EarlyConfig
    """From which the names and shapes of all tensors follow (`snapshots.original.expected_shapes`)."""
    signal: SignalConfig
    """Audio format, and the window that separation uses by default."""
    notes: str = ""
    """Quirks that our code keeps for it."""

    @property
    def reading(self) -> str:
        """How its output is read."""
        return {
            "magnitude_mask": "sigmoid = mask of the instrumental, times the mixture's spectrogram; "
            "magnitudes divided by the song's largest; 0 at the Nyquist bin",
            "mapping": "2*sigmoid - 1 = spectrogram of the instrumental over the song's largest magnitude",
            "complex_mask": "complex mask of the instrumental, times the mixture's spectrogram",
        }[self.config.output]


PUBLISHED = {
    snapshot.name: snapshot
    for snapshot in (
        Snapshot(
            name="gan-v1",
            title="FrameGAN, first variant",
            kind="gen",
            date="2023-04-15",
            summary="AsymUNetMCT trained adversarially on magnitudes at crop 256, without pretraining",
            address=None,
            config=NetworkConfig(
                expansion=10240, latent_restart=True, output="magnitude_mask", normalisation="song_peak"
            ),
            signal=SignalConfig(crop=192, pad=32),  # the 256 frames that it was trained on
            notes="the residual of its latent blocks restarts after the attention",
        ),
        Snapshot(
            name="v1",
            title="V1",
            kind="v1",
            date=None,
            summary="1.2 million steps at growing context; rotary positions only, one attention map a level",
            address="https://mega.nz/file/C5pGXYYR#ndHuj-tYWtttoj8Y4QqAkAruvZDYcQONkTHfZoOyFaQ",
            config=EarlyConfig(kind="v1"),
            signal=SignalConfig(crop=512, pad=128),
            notes="its decoders normalise for the attention to the encoder as for the self attention; norm3 is unused",
        ),
        Snapshot(
            name="v2b",
            title="V2b",
            kind="v2b",
            date=None,
            summary="conventional transformers on 12 attention maps, convolutional embedding, no latent transformer",
            address="https://mega.nz/file/a843wbTQ#E319mlp5qjsyky6PRp-zikou-YtWb9TVpbtHGaVh2AA",
            config=EarlyConfig(kind="v2b", attention_maps=(12,) * 7, expansion=6, embedding_scales=9, dense_levels=2),
            signal=SignalConfig(crop=256, pad=64),
        ),
    )
}
"""By name."""


def identify(config: SpectralConfig, sha256: str) -> Snapshot | None:
    """The published checkpoint of exactly this config (and file, where its hash is known), if there is one."""
    return next((s for s in PUBLISHED.values() if s.config == config and s.sha256 in (None, sha256)), None)

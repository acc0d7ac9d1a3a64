"""What training hears, as pictures and audio (torch)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch

from ftcore import encoders, picture
from ftcore.data.library import Library
from ftcore.nn import spectral
from ftcore.nn.network import Discriminator
from ftcore.picture import Panel
from ftcore.training.config import TrainConfig
from ftcore.training.items import Draws, to_batch


def preview(config: TrainConfig, libraries: dict[str, Library], items: int, out: Path) -> Iterator[Path]:
    """Draw a run's first items into `out`: `item-N.png`, and the mixture as `item-N.flac`. Yields the pictures."""
    out.mkdir(parents=True, exist_ok=True)
    draws = Draws(instrumental=libraries["instrumental"], vocal=libraries["vocal"], config=config, mix=config.mix)
    signal, frames = config.signal, config.phase_at(1).frames
    seconds = config.samples(frames) / signal.sample_rate
    for number in range(items):
        draw = draws.draw(number, frames)
        bands = Discriminator.bands_of(config.network)
        batch = to_batch([draw], signal, config.voxaug, "peak", bands, torch.device("cpu"))
        parts = {"mixture": batch.mixture, "instrumental": batch.instrumental}
        parts["vocal"] = batch.mixture - batch.instrumental
        names = {"instrumental": draw.instrumental_plan, "vocal": draw.vocal_plan}
        panels = []
        for name, x in parts.items():
            level = 20 * torch.log10(spectral.heard(False, x)[0].mean(dim=0) + 1e-5)
            done = [step for step, _ in names[name].steps] if name in names else []
            if name == "vocal" and draw.vocal_plan.stretch != 1.0:
                done.insert(0, f"stretch {1 / draw.vocal_plan.stretch:.2f}")
            title = f"{name}: {', '.join(done)}" if done else name
            panels.append(Panel(title=title, values=level.numpy(), top_khz=signal.sample_rate / 2000))
        presence = batch.presence[0].mean(dim=0).numpy()
        title = f"presence in {len(presence)} bands"
        panels.append(Panel(title=title, values=presence, unit="share", top_khz=signal.sample_rate / 2000))
        path = out / f"item-{number}.png"
        picture.columns(panels, seconds, path, up_to_khz=signal.sample_rate / 2000)
        wave = spectral.wave(batch.mixture, signal, config.samples(frames))[0]
        wave /= wave.abs().amax().clamp_min(1e-9)
        encoders.write_preview(path.with_suffix(".flac"), wave.numpy(), signal.sample_rate)
        yield path

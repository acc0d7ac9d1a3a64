"""Fixtures: one small exported model, and audio to separate."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # two tests run at a time, and their networks are tiny; subprocesses inherit it

import numpy as np
import pytest
import soundfile
import torch
from filelock import FileLock

from exporters.onnx import exporter
from ftcore import checkpoint
from ftcore.checkpoint import Checkpoint
from ftcore.config import NetworkConfig, SignalConfig
from ftcore.data.library import Library
from ftcore.data.prepare import prepare
from ftcore.decoders import Block
from ftcore.nn.network import Generator
from ftcore.training import presets

TINY = dataclasses.replace(
    presets.TINY.network,
    features=32,
    bands=16,
    channels=2,
    multipliers=(1, 2, 4),
    attention_maps=(0, 2),
    heads=(2, 2, 2),
    expansion=16,
)
TINY_SIGNAL = SignalConfig(sample_rate=8000, n_fft=64, hop=32, crop=48, pad=8)


BARE = dataclasses.replace(
    TINY, multipliers=(1, 2), attention_maps=(0,), heads=(2, 2), latent_layers=0, decoder_dropout=(0.0,)
)
"""So little that its export takes seconds."""


def wake(network: Generator, std: float = 0.1) -> None:
    """Give weights to the last layer, which begins as a mask of 1."""
    for name, parameter in network.out.named_parameters():
        if name != "bias":
            torch.nn.init.normal_(parameter, std=std)


def untrained(config: NetworkConfig, path: Path) -> Path:
    """A checkpoint of an untrained network whose output is no trivial mask."""
    torch.manual_seed(3)
    network = Generator(config).eval()
    wake(network)
    checkpoint.save(path, Checkpoint(network=network, signal=TINY_SIGNAL, provenance={"licence": "MIT"}))
    return path


@pytest.fixture(autouse=True)
def _no_models_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests see none of what this machine's user has imported."""
    monkeypatch.setenv("FT_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A folder that all processes of this test run share: what is slow to make is made once, under a lock."""
    base = tmp_path_factory.getbasetemp()
    return base if worker_id == "master" else base.parent


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of TINY."""
    return untrained(TINY, tmp_path_factory.mktemp("tiny") / "tiny.safetensors")


@pytest.fixture(scope="session")
def tiny_model(tiny_checkpoint: Path, shared: Path) -> Path:
    """The same, exported."""
    path = shared / "tiny.onnx"
    with FileLock(shared / "tiny.lock"):
        if not path.exists():
            exporter.export(checkpoint.load(tiny_checkpoint), path, precision="fp32")
    return path


@pytest.fixture
def song(tmp_path: Path) -> Path:
    """Three quarters of a second of stereo noise at 8 kHz, 16 bit."""
    path = tmp_path / "song.wav"
    soundfile.write(path, noise(6000, 2).T, 8000, subtype="PCM_16")
    return path


@pytest.fixture
def libraries(tmp_path: Path) -> dict[str, Library]:
    """Low hum as music, high hum as voice, at 8 kHz."""
    time = np.arange(16000) / 8000
    for kind, pitches in (("instrumental", (90, 130)), ("vocal", (900, 1500))):
        (tmp_path / kind).mkdir()
        for pitch in pitches:
            wave = np.stack([np.sin(2 * np.pi * pitch * time), np.sin(2 * np.pi * pitch * time + 1)])
            soundfile.write(tmp_path / kind / f"{pitch}.flac", 0.3 * wave.T, 8000)
    kinds = ("instrumental", "vocal")
    found = {kind: prepare([tmp_path / kind], tmp_path / f"{kind}-cache", 8000) for kind in kinds}
    return {**found, "pretrain": found["instrumental"]}


def blocks(mixture: Block, vocals: Block, size: int = 1000) -> Iterator[tuple[Block, Block]]:
    """A separated song, so many samples at a time."""
    for i in range(0, mixture.shape[1], size):
        yield mixture[:, i : i + size], vocals[:, i : i + size]


def noise(samples: int, channels: int, seed: int = 0) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """Seeded noise [channels, samples], rms 0.1."""
    return (0.1 * np.random.default_rng(seed).standard_normal((channels, samples))).astype(np.float32)

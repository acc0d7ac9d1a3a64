"""Our checkpoints: a safetensors file whose single metadata entry describes the model (torch)."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from reprlib import repr as shown
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open

from ftcore.atomic import write_bytes
from ftcore.config import SignalConfig, check_fit, network_config, parse_object
from ftcore.errors import FtError
from ftcore.nn.families import build
from ftcore.nn.spectral import SpectralNetwork

FORMAT = 1
"""Version of the description; a reader refuses versions it does not know."""

KEY = "ft"
"""The one metadata key: safetensors orders several at random, which would change the bytes."""

DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
"""Of weights."""


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A trained network and what is needed to use, export and credit it."""

    network: SpectralNetwork
    """In eval mode, on the CPU."""
    signal: SignalConfig
    """The audio format it was trained on."""
    provenance: dict[str, Any] = field(default_factory=dict)
    """Where the weights come from: command, data, seed, scores, licence (plain JSON values)."""


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Write atomically; the same checkpoint always gives the same bytes. Raises FtError."""
    description = {
        "format": FORMAT,
        "network": checkpoint.network.config.to_dict(),
        "signal": checkpoint.signal.to_dict(),
        "provenance": checkpoint.provenance,
    }
    tensors = {k: v.detach().cpu().contiguous() for k, v in checkpoint.network.state_dict().items()}
    write_bytes(path, safetensors.torch.save(tensors, metadata={KEY: json.dumps(description, sort_keys=True)}))


def load(path: Path) -> Checkpoint:
    """Read a checkpoint; nothing in it is executed. Raises FtError naming the file and the reason."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except FileNotFoundError:
        raise FtError(f"{path}: no such file") from None
    except (OSError, SafetensorError) as error:
        raise FtError(f"{path}: not a readable safetensors file ({str(error).splitlines()[0]})") from None
    try:
        description = parse_object(metadata[KEY])
        version, network, values = description["format"], description["network"], description["signal"]
        provenance = description.get("provenance", {})
        if not isinstance(provenance, dict):
            raise ValueError("no provenance")
    except (KeyError, ValueError):
        raise FtError(f"{path}: a safetensors file, but not a checkpoint of ft (no description inside)") from None
    if version != FORMAT:
        raise FtError(f"{path}: checkpoint format {shown(version)}, this version of ft reads {FORMAT}")
    if odd := [f"{k} are {str(t.dtype)[6:]}" for k, t in tensors.items() if t.dtype not in DTYPES]:
        raise FtError(f"{path}: {len(odd)} of its weights are no numbers to compute with ({odd[0]})")
    try:
        config, signal = network_config(network), SignalConfig.from_dict(values)
        check_fit(config, signal)
        with torch.device("meta"):
            built = build(config)
        built.load_state_dict(tensors, assign=True)
    except (FtError, RuntimeError) as error:
        raise FtError(f"{path}: weights and config do not fit together ({str(error).splitlines()[0]})") from None
    return Checkpoint(network=built.eval(), signal=signal, provenance=provenance)

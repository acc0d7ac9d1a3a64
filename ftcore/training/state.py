"""All that a run needs to go on exactly where it was: one safetensors file, nothing pickled (torch)."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ftcore.atomic import write_bytes
from ftcore.errors import FtError
from ftcore.nn.network import Generator
from ftcore.training.config import TrainConfig

FORMAT = 1
"""Version of the file; a reader refuses versions it does not know."""

KEY = "ft-run"
NAME = "state.safetensors"
"""Its name in the folder of a run."""


@dataclass
class RunState:
    """A run between two steps."""

    config: TrainConfig
    network: Generator
    average: Generator
    """Mean of the weights over the last steps (EMA): what is validated, saved and exported."""
    optimizer: torch.optim.AdamW
    step: int = 0
    """Steps done."""
    best: float = -float("inf")
    """Highest validation score so far."""
    seconds: float = 0.0
    """Time spent so far, over all pieces of the run."""

    @classmethod
    def fresh(cls, config: TrainConfig) -> RunState:
        """A run that has not begun; sets torch's global seed."""
        torch.manual_seed(config.seed)
        network = Generator(config.network).train()
        return cls(config, network, copy.deepcopy(network).eval(), _optimizer(network, config))


def save(state: RunState, out: Path) -> None:
    """Write `out/state.safetensors`, atomically. Raises FtError."""
    tensors: dict[str, Tensor] = {"rng": torch.get_rng_state()}
    tensors |= {f"network.{k}": v for k, v in state.network.state_dict().items()}
    tensors |= {f"average.{k}": v for k, v in state.average.state_dict().items()}
    for index, moments in state.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": value for name, value in moments.items()}
    description = {
        "format": FORMAT,
        "config": state.config.to_dict(),
        "step": state.step,
        "best": None if state.best == -float("inf") else state.best,
        "seconds": state.seconds,
    }
    data = {k: v.detach().cpu().contiguous() for k, v in tensors.items()}
    write_bytes(out / NAME, safetensors.torch.save(data, metadata={KEY: json.dumps(description, sort_keys=True)}))


def load(out: Path) -> RunState:
    """Read what `save` wrote and restore torch's generator. Raises FtError naming what is wrong."""
    path = out / NAME
    if not path.is_file():
        raise FtError(f"{out}: no run to resume in this folder ({NAME} is missing)")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        description = json.loads(metadata[KEY])
        if description["format"] != FORMAT:
            raise FtError(f"{path}: format {description['format']}, this version of ft reads {FORMAT}")
        state = RunState.fresh(TrainConfig.from_dict(description["config"]))
        state.network.load_state_dict(_below(tensors, "network."))
        state.average.load_state_dict(_below(tensors, "average."))
        moments: dict[int, dict[str, Tensor]] = {}
        for name, value in _below(tensors, "optimizer.").items():
            index, moment = name.split(".")
            moments.setdefault(int(index), {})[moment] = value
        groups = state.optimizer.state_dict()["param_groups"]
        state.optimizer.load_state_dict({"state": moments, "param_groups": groups})
        torch.set_rng_state(tensors["rng"])
    except (OSError, SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise FtError(f"{path}: damaged, the run cannot be resumed ({str(error).splitlines()[0]})") from None
    state.step, state.seconds = description["step"], description["seconds"]
    state.best = -float("inf") if description["best"] is None else description["best"]
    return state


def _optimizer(network: Generator, config: TrainConfig) -> torch.optim.AdamW:
    return torch.optim.AdamW(network.parameters(), config.learning_rate, config.betas, weight_decay=config.weight_decay)


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

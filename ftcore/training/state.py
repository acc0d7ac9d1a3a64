"""All that a run needs to go on exactly where it was: one safetensors file, nothing pickled (torch)."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from ftcore.atomic import write_bytes
from ftcore.errors import FtError
from ftcore.nn.network import Discriminator, Generator
from ftcore.training.config import TrainConfig
from ftcore.training.stages import STAGES

FORMAT = 2
"""Version of the file; a reader refuses versions it does not know."""

KEY = "ft-run"
NAME = "state.safetensors"
"""Its name in the folder of a run."""


@dataclass
class RunState:
    """A run between two steps."""

    config: TrainConfig
    networks: dict[str, nn.Module]
    """`generator`, and `discriminator` where one takes part."""
    average: Generator
    """Mean of the generator's weights over the last steps (EMA): what is validated, saved and exported."""
    optimizers: dict[str, torch.optim.AdamW]
    """One per network."""
    step: int = 0
    """Steps done."""
    skipped: int = 0
    """Of these, steps that were left out since a gradient was not finite."""
    best: float = -float("inf")
    """Highest validation score so far."""
    seconds: float = 0.0
    """Time spent so far, over all pieces of the run."""

    @classmethod
    def fresh(cls, config: TrainConfig, device: torch.device | None = None, start: nn.Module | None = None) -> RunState:
        """A run that has not begun, from the weights of `start` where it is given; sets torch's global seed."""
        torch.manual_seed(config.seed)
        generator = Generator(config.network)
        if start is not None:
            generator.load_state_dict(start.state_dict())
        networks: dict[str, nn.Module] = {"generator": generator.train()}
        if STAGES[config.stage].discriminates:
            networks["discriminator"] = Discriminator.from_generator(generator).train()
        for network in networks.values():
            network.to(device)
        average = copy.deepcopy(generator).eval().requires_grad_(False)
        optimizers = {name: _optimizer(network, config) for name, network in networks.items()}
        return cls(config, networks, average, optimizers)

    def modules(self) -> dict[str, nn.Module]:
        """Everything with weights, by name."""
        return {**self.networks, "average": self.average}


def save(state: RunState, out: Path) -> None:
    """Write `out/state.safetensors`, atomically. Raises FtError."""
    tensors: dict[str, Tensor] = {}
    for name, module in state.modules().items():
        tensors |= {f"{name}.{k}": v for k, v in module.state_dict().items()}
    for name, optimizer in state.optimizers.items():
        for index, moments in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{name}.{index}.{moment}": value for moment, value in moments.items()}
    description = {
        "format": FORMAT,
        "config": state.config.to_dict(),
        "step": state.step,
        "skipped": state.skipped,
        "best": None if state.best == -float("inf") else state.best,
        "seconds": state.seconds,
    }
    data = {k: v.detach().cpu().contiguous() for k, v in tensors.items()}
    write_bytes(out / NAME, safetensors.torch.save(data, metadata={KEY: json.dumps(description, sort_keys=True)}))


def load(out: Path, device: torch.device | None = None) -> RunState:
    """Read what `save` wrote. Raises FtError naming what is wrong."""
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
        return _restored(description, tensors, device)
    except (OSError, SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise FtError(f"{path}: damaged, the run cannot be resumed ({str(error).splitlines()[0]})") from None


def _restored(description: dict[str, Any], tensors: dict[str, Tensor], device: torch.device | None) -> RunState:
    state = RunState.fresh(TrainConfig.from_dict(description["config"]), device)
    for name, module in state.modules().items():
        module.load_state_dict(_below(tensors, f"{name}."))
    for name, optimizer in state.optimizers.items():
        moments: dict[int, dict[str, Tensor]] = {}
        for key, value in _below(tensors, f"optimizer.{name}.").items():
            index, moment = key.split(".")
            moments.setdefault(int(index), {})[moment] = value
        optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
    state.step, state.skipped, state.seconds = (description[k] for k in ("step", "skipped", "seconds"))
    state.best = -float("inf") if description["best"] is None else description["best"]
    return state


def _optimizer(network: nn.Module, config: TrainConfig) -> torch.optim.AdamW:
    return torch.optim.AdamW(network.parameters(), config.learning_rate, config.betas, weight_decay=config.weight_decay)


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

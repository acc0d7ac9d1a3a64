"""The optimiser Muon (torch): momentum whose matrices are made orthogonal, so that every direction learns."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

MOMENTUM = 0.95
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the Newton-Schulz iteration: steep at zero; singular values end between 0.7 and 1.2."""


class Muon(torch.optim.Optimizer):
    """Muon (Jordan et al. 2024) for matrices, AdamW for the rest.

    The step of a matrix is its Nesterov momentum with all singular values near 1, scaled as Liu et al. (2025) do,
    so that AdamW's learning rate and weight decay fit. A kernel [O, I, ...] counts as the matrix [O, I * ...], a
    tensor [C, O, I] as C matrices.

    parameters: (name, parameter) pairs. Vectors, norms and the last layer (`out`) go with AdamW.
    """

    def __init__(
        self,
        parameters: Iterable[tuple[str, Tensor]],
        lr: float,
        betas: tuple[float, float],
        weight_decay: float,
        eps: float = 1e-8,
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "weight_decay": weight_decay, "eps": eps}
        named = list(parameters)
        groups: list[dict[str, Any]] = [
            {"params": [p for name, p in named if is_hidden_matrix(name, p) == hidden], "orthogonal": hidden}
            for hidden in (True, False)
        ]
        super().__init__([group for group in groups if group["params"]], defaults)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                parameter.mul_(1.0 - group["lr"] * group["weight_decay"])
                update = self._orthogonal if group["orthogonal"] else self._adam
                parameter.add_(update(parameter.grad, state, group), alpha=-group["lr"])

    @staticmethod
    def _orthogonal(gradient: Tensor, state: dict[str, Tensor], group: dict[str, Any]) -> Tensor:
        momentum = state.setdefault("momentum", torch.zeros_like(gradient))
        momentum.lerp_(gradient, 1.0 - MOMENTUM)
        matrices = as_matrices(gradient.lerp(momentum, MOMENTUM))
        scale: float = 0.2 * max(matrices.shape[-2:]) ** 0.5
        return orthogonal(matrices).view_as(gradient) * scale

    @staticmethod
    def _adam(gradient: Tensor, state: dict[str, Tensor], group: dict[str, Any]) -> Tensor:
        mean = state.setdefault("mean", torch.zeros_like(gradient))
        square = state.setdefault("square", torch.zeros_like(gradient))
        step = state.setdefault("step", torch.zeros(()))
        step += 1
        first, second = group["betas"]
        mean.lerp_(gradient, 1.0 - first)
        square.lerp_(gradient.square(), 1.0 - second)
        root = (square / (1.0 - second ** step.item())).sqrt().add_(group["eps"])
        return mean / (1.0 - first ** step.item()) / root


def is_hidden_matrix(name: str, parameter: Tensor) -> bool:
    """Whether a parameter gets orthogonal steps."""
    return parameter.ndim > 1 and not name.startswith("out.") and min(as_matrices(parameter).shape[-2:]) > 1


def as_matrices(tensor: Tensor) -> Tensor:
    """[O, I], [C, O, I] as they are; [O, I, ...] -> [O, I * ...]."""
    return tensor if tensor.ndim < 4 else tensor.flatten(1)


def orthogonal(matrices: Tensor) -> Tensor:
    """Roughly the nearest (semi-)orthogonal matrices [..., rows, columns], by five Newton-Schulz steps."""
    wide = matrices.shape[-2] <= matrices.shape[-1]
    x = matrices if wide else matrices.mT
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    a, b, c = COEFFICIENTS
    for _ in range(5):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return x if wide else x.mT

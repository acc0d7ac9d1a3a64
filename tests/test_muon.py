"""Muon: orthogonal steps for matrices, AdamW's for the rest."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from ftcore.nn.network import Generator
from ftcore.training.muon import Muon, is_hidden_matrix, orthogonal
from tests.conftest import TINY


@pytest.mark.parametrize("shape", [(6, 20), (20, 6), (3, 8, 8)])
def test_singular_values_become_one_and_directions_stay(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    matrices = torch.randn(shape) * 1e-3
    values = torch.linalg.svdvals(orthogonal(matrices))
    assert values.min() > 0.5
    assert values.max() < 1.3
    left, _, right = torch.linalg.svd(matrices, full_matrices=False)
    exact = left @ right
    assert (orthogonal(matrices) * exact).sum() > 0.8 * exact.square().sum()


def test_vectors_norms_and_the_last_layer_go_with_adamw() -> None:
    names = dict(Generator(TINY).named_parameters())
    others = [name for name, parameter in names.items() if not is_hidden_matrix(name, parameter)]
    assert {"out.weight", "out.bias"} < set(others)
    single = ("norm", "bias", "out.", "weigh.")  # rows of one value, and the last layer
    assert all(any(part in name for part in single) for name in others if names[name].ndim > 1)
    assert any("weight_pw" in name for name in set(names) - set(others))


def test_the_rest_is_what_adamw_does() -> None:
    def trained(kind: str) -> Tensor:
        bias = nn.Parameter(torch.linspace(-1, 1, 5))
        settings = {"lr": 0.1, "betas": (0.9, 0.99), "weight_decay": 0.1}
        muon = kind == "muon"
        optimizer = Muon([("bias", bias)], **settings) if muon else torch.optim.AdamW([bias], **settings)  # type: ignore[arg-type]
        for target in (0.3, 0.2, -0.5):
            optimizer.zero_grad()
            (bias - target).pow(3).sum().backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        return bias.detach()

    assert torch.allclose(trained("muon"), trained("adamw"), atol=1e-6)


def test_a_step_of_a_matrix_has_the_size_of_the_learning_rate() -> None:
    torch.manual_seed(0)
    weight = nn.Parameter(torch.zeros(8, 32))
    optimizer = Muon([("weight", weight)], lr=0.01, betas=(0.9, 0.99), weight_decay=0.0)
    (weight * torch.randn(8, 32) * 1e-6).sum().backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    assert weight.detach().square().mean().sqrt().item() == pytest.approx(0.01 * 0.2 * 32**0.5 / 32**0.5, rel=0.2)

"""The assembled networks."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

import snapshots
from ftcore.config import NetworkConfig, Output, overlay
from ftcore.errors import FtError
from ftcore.nn.functional import complex_product, compress, squared_magnitudes, stretch, window_rms
from ftcore.nn.network import Discriminator, Generator, set_checkpointing
from tests import conftest
from tests.conftest import wake
from tests.vectors import REFERENCE, fill, filled_input, filled_state, relative_error

TINY = dataclasses.replace(conftest.TINY, attention_maps=(1, 2), embedding_scales=3)


def test_fill_rule() -> None:
    assert fill(0, (3,), 11) == pytest.approx([0.35903227, -0.83232653, 0.3866806], abs=1e-7)


@pytest.mark.parametrize(
    ("name", "tolerance"), [("generator_complex", 5e-3), ("generator_magnitude", 5e-3), ("v1", 1e-4), ("v2b", 5e-3)]
)
def test_original_checkpoint_reproduces_its_recording(name: str, tolerance: float, tmp_path: Path) -> None:
    path = tmp_path / "original.pth"
    torch.save({k: torch.from_numpy(v) for k, v in filled_state(name).items()}, path)
    network = snapshots.load_network(path)
    assert not network.training
    x = torch.from_numpy(filled_input(name))
    with np.load(REFERENCE / f"{name}.npz") as file, torch.no_grad():
        assert relative_error(network(x.float()), file["out.y"]) < tolerance
        assert relative_error(network.double()(x), file["out.y"]) < 1e-4


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"attention_maps": (0, 0)},
        {"attention_maps": (0, 2)},
        {"attention_maps": (2, 2)},
        {"heads": (2, 4, 2)},
        {"embedding_scales": 0},
        {"latent_layers": 0},
        {"bands": 0},
        {"output": "mapping"},
        {"output": "magnitude_mask"},
        {"audio_channels": 1},
        {"latent_kernel": 3},
    ],
)
def test_every_choice_of_the_config_builds_and_keeps_the_shape(change: dict[str, object]) -> None:
    config = dataclasses.replace(TINY, **change)  # type: ignore[arg-type]
    torch.manual_seed(0)
    network = Generator(config).eval()
    x = torch.rand(2, config.spectral_channels, config.features, 7)
    with torch.no_grad():
        assert network(x).shape == x.shape
        assert network.estimate(x).shape == x.shape
        assert network.estimate(x).isfinite().all()
        alone = torch.cat([network(x[:1]), network(x[1:])])
    assert torch.allclose(network(x), alone, atol=1e-5)


def test_every_parameter_takes_part() -> None:
    torch.manual_seed(1)
    network = Generator(TINY).train()
    wake(network, 1.0)
    network.estimate(torch.randn(2, 4, 32, 9)).square().sum().backward()
    idle = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert idle == []


@pytest.mark.parametrize("output", ["complex_mask", "mask_and_mapping"])
def test_a_complex_mask_starts_as_the_mixture_itself(output: Output) -> None:
    x = torch.randn(1, 4, 32, 5)
    network = Generator(dataclasses.replace(TINY, output=output)).eval()
    assert torch.allclose(network.estimate(x), x, atol=1e-6)


def test_a_mask_and_a_mapping_add_up() -> None:
    x = torch.randn(1, 4, 32, 5)
    network = Generator(dataclasses.replace(TINY, output="mask_and_mapping")).eval()
    y = torch.cat((torch.zeros_like(x), torch.ones_like(x)), dim=1)
    assert torch.allclose(network.estimate(x, lambda x: y), window_rms(x) * torch.ones_like(x))
    assert torch.allclose(network.estimate(x, lambda x: torch.cat((0.0 * x, 0.0 * x), dim=1)), torch.zeros_like(x))


@pytest.mark.parametrize("output", ["mapping", "complex_mask", "mask_and_mapping"])
def test_rms_normalised_networks_are_scale_equivariant(output: Output) -> None:
    torch.manual_seed(0)
    network = Generator(dataclasses.replace(TINY, output=output)).eval()
    wake(network, 1.0)
    x = torch.randn(1, 4, 32, 5)
    with torch.no_grad():
        assert torch.allclose(network.estimate(8.0 * x), 8.0 * network.estimate(x), rtol=1e-4, atol=1e-4)


def test_half_precision_is_close_and_gives_what_it_takes() -> None:
    torch.manual_seed(0)
    network = Generator(TINY).eval()
    wake(network, 1.0)
    x = torch.randn(1, 4, 32, 9)
    with torch.no_grad():
        full, half = network.estimate(x), network.half().estimate(x)
    assert half.dtype == torch.float32
    assert 1e-5 < (full - half).norm() / full.norm() < 1e-2


def test_window_rms_ignores_padding() -> None:
    x = torch.randn(2, 4, 8, 6)
    padded = torch.nn.functional.pad(x, (3, 2))
    assert torch.allclose(window_rms(padded), window_rms(x))
    assert torch.allclose(window_rms(x, squared_magnitudes(x, is_complex=True)), window_rms(x))
    assert window_rms(torch.zeros(1, 4, 8, 6)).item() == pytest.approx(1e-4)


def test_discriminator_copies_the_encoder_and_judges_every_frame() -> None:
    generator = Generator(TINY)
    critic = Discriminator.from_generator(generator)
    x = torch.randn(2, 4, 32, 7)
    assert critic(x).shape == (2, 2, 4, 7)  # batch, audio channels, bands of the last level, frames
    ours, theirs = generator.encoder.state_dict(), critic.encoder.state_dict()
    assert all(torch.equal(ours[k], theirs[k]) and ours[k] is not theirs[k] for k in ours)
    assert not {p.data_ptr() for p in generator.parameters()} & {p.data_ptr() for p in critic.parameters()}


def kept_and_gradients(checkpointing: bool) -> tuple[int, tuple[torch.Tensor, ...]]:
    """Bytes that wait for the backward pass of a long crop (weights not counted); the loss and its gradients."""
    torch.manual_seed(0)
    dropping = {"dropout": 0.2, "decoder_dropout": (0.3, 0.3), "latent_layers": 2}
    network = Generator(dataclasses.replace(TINY, attention_maps=(2, 2), **dropping)).train()  # type: ignore[arg-type]
    wake(network)
    set_checkpointing(network, checkpointing)
    kept = {}

    def keep(x: torch.Tensor) -> torch.Tensor:
        kept[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
        return x

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        loss = network.estimate(torch.randn(2, 4, 32, 200)).abs().mean()
    gradients = torch.autograd.grad(loss, list(network.parameters()))
    weights = {p.untyped_storage().data_ptr() for p in network.parameters()}
    return sum(size for address, size in kept.items() if address not in weights), (loss, *gradients)


def test_checkpointing_keeps_little_and_changes_nothing() -> None:
    """Dropout included, which must fall twice alike."""
    (much, expected), (little, found) = kept_and_gradients(False), kept_and_gradients(True)
    assert little < much / 3  # 4.3 times less; what is left are mostly the latent scores
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_complex_helpers_agree_with_complex_numbers() -> None:
    a, b = torch.randn(2, 1, 2, 3, 4, dtype=torch.complex64)

    def split(z: torch.Tensor) -> torch.Tensor:
        return torch.cat((z.real, z.imag), dim=1)

    assert torch.allclose(complex_product(split(a), split(b)), split(a * b), atol=1e-6)
    for exponent in (0.5, 0.3):
        expected = torch.polar(a.abs() ** exponent, a.angle())
        assert torch.allclose(compress(split(a), exponent, is_complex=True), split(expected), atol=1e-3)
        assert torch.allclose(compress(a.abs(), exponent, is_complex=False), expected.abs(), atol=1e-3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"heads": (3, 2, 2)}, "do not divide"),
        ({"heads": (2, 2)}, "one entry per level"),
        ({"attention_maps": (1,)}, "one entry per level but the last"),
        ({"features": 30, "bands": 0}, "features must halve down"),
        (
            {
                "bands": 12,
                "multipliers": (1,) * 4,
                "heads": (1,) * 4,
                "attention_maps": (0,) * 3,
                "decoder_dropout": (0.0,) * 3,
            },
            "bands must halve down",
        ),
        ({"bands": 10}, "4 must divide both bands and features"),
        ({"bands": 64}, "bands must be at most"),
        ({"output": "wave"}, "unknown output"),
        ({"features": 2**40}, "features must be 2 to 32768, not 1099511627776"),
        ({"latent_layers": 10**9}, "latent_layers must be 0 to 64"),
        ({"multipliers": (1,) * 1000, "heads": (1,) * 1000}, "multipliers needs 2 to 16 levels"),
        ({"multipliers": (1, -2, 4)}, "multipliers must be 1 to 256, not -2"),
        ({"dropout": float("nan")}, "dropout must be 0.0 to 1.0, not nan"),
        ({"latent_kernel": 2}, "latent_kernel must be odd"),
    ],
)
def test_impossible_configs_say_why(change: dict[str, object], message: str) -> None:
    with pytest.raises(FtError, match=message):
        dataclasses.replace(TINY, **change)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sample_rate": 0}, "sample_rate must be 1000 to 192000, not 0"),
        ({"hop": -1}, "hop must be 1/16 to 1/2 of n_fft"),
        ({"hop": 1}, "hop must be 1/16 to 1/2 of n_fft"),
        ({"n_fft": 65}, "n_fft must be even"),
        ({"crop": 10**6}, "crop must be 1 to 4096, not 1000000"),
        ({"crop": 4096}, "crop and twice pad must be 4096 frames at most"),
        ({"tta": 1}, "SignalConfig.tta: expected bool, not 1"),
    ],
)
def test_impossible_formats_say_why(change: dict[str, int], message: str) -> None:
    with pytest.raises(FtError, match=message):
        overlay(conftest.TINY_SIGNAL, change)


def test_config_survives_json() -> None:
    assert NetworkConfig.from_dict(TINY.to_dict()) == TINY
    with pytest.raises(FtError, match="not a NetworkConfig"):
        NetworkConfig.from_dict({"colour": 3})
    with pytest.raises(FtError, match=r"NetworkConfig\.dropout: 1000.*000 is too large"):
        NetworkConfig.from_dict({"dropout": 10**400})


@pytest.mark.parametrize(("narrow", "wide"), [(1, 2), (4, 8), (5, 128), (64, 130)])
def test_stretching_is_linear_interpolation(narrow: int, wide: int) -> None:
    x = torch.randn(2, 3, 5, narrow)
    expected = torch.nn.functional.interpolate(x, (5, wide), mode="bilinear", align_corners=True)
    assert torch.allclose(stretch(x, wide), expected, atol=1e-5)

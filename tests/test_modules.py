"""Every module against its recorded inputs, parameters and outputs."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ftcore.nn.attention import ConvolutionalMultiheadAttention, MultichannelMultiheadAttention
from ftcore.nn.layers import (
    ChannelNorm,
    Conv,
    ConvolutionalEmbedding,
    FrameConv,
    FrameDecoder,
    FrameEncoder,
    MultichannelLayerNorm,
    MultichannelLinear,
    ResBlock,
)
from ftcore.nn.transformer import (
    ConvolutionalTransformerEncoder,
    Decoded,
    Encoded,
    FrameTransformerDecoder,
    FrameTransformerEncoder,
    ScoreGate,
)
from snapshots.original import FAMILIES, original_name
from tests.vectors import REFERENCE, relative_error

MODULES: dict[str, Any] = json.loads((REFERENCE / "modules.json").read_text())


def linear(c: dict[str, Any]) -> nn.Module:
    sizes = (c["in_channels"], c["out_channels"], c["in_features"], c["out_features"])
    return MultichannelLinear(*sizes, positionwise=c.get("positionwise", True), bias=c.get("bias", False))


def res_block(c: dict[str, Any]) -> nn.Module:
    stride = (2, 1) if c.get("downsample") else (1, 1)
    size = c.get("kernel_size", 3)
    return ResBlock(c["in_channels"], c["out_channels"], c["features"], kernel_size=size, stride=stride)


def decoder(c: dict[str, Any]) -> nn.Module:
    sizes = (c["channels"], c["out_channels"], c["features"], c["expansion"], c["num_heads"])
    return FrameTransformerDecoder(*sizes, has_prev=c["has_prev_skip"])


def attention(c: dict[str, Any]) -> nn.Module:
    return MultichannelMultiheadAttention(c["channels"], c["num_heads"], c["features"])


BUILD: dict[str, Callable[[dict[str, Any]], nn.Module]] = {
    "multichannel_linear_pw": linear,
    "multichannel_linear_dw": linear,
    "multichannel_linear_dwonly": linear,
    "multichannel_layer_norm": lambda c: MultichannelLayerNorm(c["channels"], c["features"]),
    "channel_norm": lambda c: ChannelNorm(c["channels"]),
    "frame_conv": lambda c: FrameConv(c["in_channels"], c["in_features"], c["kernel_size"], c["groups"]),
    "res_block_down": res_block,
    "res_block_same": res_block,
    "convolutional_embedding": lambda c: ConvolutionalEmbedding(c["channels"], c["features"], 9),
    "multichannel_attention_self": attention,
    "multichannel_attention_cross": attention,
    "convolutional_attention": lambda c: ConvolutionalMultiheadAttention(
        c["channels"], c["num_heads"], c["kernel_size"]
    ),
    "frame_transformer_encoder": lambda c: FrameTransformerEncoder(
        c["channels"], c["out_channels"], c["features"], c["expansion"], c["num_heads"]
    ),
    "frame_transformer_decoder": decoder,
    "frame_transformer_decoder_first": decoder,
    "convolutional_transformer_encoder": lambda c: ConvolutionalTransformerEncoder(
        c["channels"], c["expansion"], c["num_heads"], restart=True
    ),
    "frame_encoder": lambda c: FrameEncoder(c["in_channels"], c["out_channels"], c["features"]),
    "frame_decoder": lambda c: FrameDecoder(c["in_channels"] + c["out_channels"], c["out_channels"], c["features"]),
}

ARGUMENTS = {"mem": "memory", "prev_qk": "prev_scores", "skip": "skip", "skip_qk": "skip_scores"}
ARGUMENTS |= {"prev_qk1": "self_scores", "prev_qk2": "cross_scores"}


def recorded_name(name: str, module: str) -> str:
    """What the recording calls a parameter of our module."""
    place, original = (
        ("encoder.embedding.", "positional_embedding.") if module == "convolutional_embedding" else (".", ".")
    )
    return original_name(place + name, FAMILIES["gen"], last=9).removeprefix(original)


def test_every_recorded_module_is_built() -> None:
    assert set(BUILD) == set(MODULES)
    assert len(BUILD) == 18


@pytest.mark.parametrize("name", BUILD)
def test_module_reproduces_its_recording(name: str) -> None:
    with np.load(REFERENCE / f"{name}.npz") as file:
        arrays = {key: torch.from_numpy(file[key]) for key in file}
    module = BUILD[name](MODULES[name]["config"])
    names = {recorded_name(own, name): own for own in module.state_dict()}
    parameters = {k.removeprefix("param."): v for k, v in arrays.items() if k.startswith("param.")}
    assert all(k in names or k.endswith(("freqs", "pe")) for k in parameters)
    module.load_state_dict({own: parameters[k] for k, own in names.items()})
    inputs = {k.removeprefix("in."): turned(k, v, name) for k, v in arrays.items() if k.startswith("in.")}
    x = inputs.pop("x")
    with torch.no_grad():
        if isinstance(module, FrameDecoder):
            outputs = module.eval()((x,), (inputs["skip"],))
        else:
            outputs = module.eval()(x, **{ARGUMENTS[k]: v for k, v in inputs.items()})
    if isinstance(outputs, (Encoded, Decoded)):
        joined = torch.cat((x, outputs.h), dim=1)
        outputs = (joined, *outputs) if isinstance(outputs, Encoded) else (joined, *outputs[1:])
    outputs = (outputs,) if isinstance(outputs, Tensor) else outputs
    expected = {k.removeprefix("out."): turned(k, v, name) for k, v in arrays.items() if k.startswith("out.")}
    assert len(outputs) == len(expected)
    for actual, (key, recorded) in zip(outputs, expected.items(), strict=True):
        assert actual.shape == recorded.shape, key
        assert relative_error(actual, recorded) < 1e-5, key


def turned(key: str, x: Tensor, module: str) -> Tensor:
    """A recorded array in our layout: features last, but for attention scores and on the latent level."""
    latent = module in ("convolutional_attention", "convolutional_transformer_encoder")
    return x if latent or "qk" in key else x.transpose(2, 3)


def test_a_convolution_of_parts_is_that_of_their_concatenation() -> None:
    torch.manual_seed(0)
    parts = [torch.randn(2, channels, 5, 8) for channels in (9, 1, 12, 2)]
    for block in (
        Conv(24, 3, 3, (2, 1), padding=1),
        ResBlock(24, 6, 8),
        ResBlock(24, 24, 8),
        ResBlock(24, 24, 8, dense=True),
    ):
        assert torch.allclose(block(*parts), block(torch.cat(parts, dim=1)), atol=1e-5)


def test_the_gate_is_a_convolution_over_heads_and_frames() -> None:
    torch.manual_seed(0)
    gate = ScoreGate(2)
    scores, skip = torch.randn(2, 3, 2, 4, 5, 5)
    weight = gate.weigh(torch.relu(gate.mix(torch.cat((scores, skip), dim=1))).square()).sigmoid()
    assert torch.allclose(gate(scores, skip), weight * scores + (1 - weight) * skip, atol=1e-6)


def test_restart_is_the_original_and_not_the_default() -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 8, 2, 5)
    quirk = ConvolutionalTransformerEncoder(8, 2, 2, restart=True).eval()
    plain = ConvolutionalTransformerEncoder(8, 2, 2).eval()
    plain.load_state_dict(quirk.state_dict())
    with torch.no_grad():
        assert not torch.allclose(quirk(x)[0], plain(x)[0])
        for block in (quirk, plain):  # without attention, only the plain residual still shows the parts before it
            for parameter in (*block.attn.parameters(), *block.conv4.parameters()):
                parameter.zero_()
        assert torch.equal(quirk(x)[0], x)
        assert not torch.allclose(plain(x)[0], x)


@pytest.mark.parametrize("channels", [8, 2])  # four features a head, and one, which is not rotated
def test_the_last_attention_gives_the_same_without_scores(channels: int) -> None:
    torch.manual_seed(0)
    whole, last = (ConvolutionalMultiheadAttention(channels, 2, last=last) for last in (False, True))
    last.load_state_dict(whole.state_dict())
    x, before = torch.randn(2, channels, 3, 7), torch.randn(2, 2, 21, 21)
    for prev in (None, before):
        y, scores = last(x, prev)
        assert scores is None
        assert torch.allclose(y, whole(x, prev)[0], atol=1e-6)

"""Building blocks of the multichannel transformer U-Net.

Axes: B batch, C channels, T frames, F features; every tensor is [B, C, T, F] unless said otherwise: norms and
linear maps, most of the network, act on the features, which therefore lie side by side. Some blocks take their
input in parts along the channels, so that skip connections and attention maps need no concatenation.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import accumulate

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from ftcore.nn.functional import linear_per_channel, sinusoids, squared_relu, stretch

NARROW = 16
"""Parts of a convolution's input with fewer channels are joined: a part of their own costs a pass over the output."""


class Conv(nn.Conv2d):
    """Convolution over features and frames; kernels, strides and paddings are given and stored in this order.

    Its input may come in parts, whose concatenation along the channels is what it convolves.
    """

    def forward(self, *parts: Tensor) -> Tensor:
        """[B, Ci, T, F] each, together Cin channels -> [B, Cout, T / stride, F / stride]."""
        weight = self.weight.transpose(2, 3)
        if len(parts) == 1:
            return self._part(parts[0], weight, self.bias)
        pairs = list(zip(parts, weight.split([x.shape[1] for x in parts], dim=1), strict=True))
        wide = [(x, w) for x, w in pairs if x.shape[1] >= NARROW]
        narrow = [(x, w) for x, w in pairs if x.shape[1] < NARROW]
        if narrow:
            wide.append((torch.cat([x for x, _ in narrow], dim=1), torch.cat([w for _, w in narrow], dim=1)))
        y = self._part(*wide[0], self.bias)
        for x, w in wide[1:]:
            y = y + self._part(x, w, None)
        return y

    def _part(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        padding = self.padding if isinstance(self.padding, str) else self.padding[::-1]
        return nn.functional.conv2d(x, weight, bias, self.stride[::-1], padding, self.dilation[::-1], self.groups)


class MultichannelLinear(nn.Module):
    """One linear map over F per channel (position-wise), then one over C (depth-wise).

    The position-wise part exists when asked for or when the features change, the depth-wise part
    when asked for or when the channels change.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        in_features: int,
        out_features: int,
        *,
        positionwise: bool = True,
        depthwise: bool = False,
        bias: bool = False,
    ) -> None:
        super().__init__()
        self.weight_pw: nn.Parameter | None = None
        self.bias_pw: nn.Parameter | None = None
        self.weight_dw: nn.Parameter | None = None
        self.bias_dw: nn.Parameter | None = None
        if positionwise or in_features != out_features:
            self.weight_pw = uniform_parameter(in_channels, out_features, in_features)
            self.bias_pw = nn.Parameter(torch.zeros(in_channels, out_features, 1)) if bias else None
        if depthwise or in_channels != out_channels:
            self.weight_dw = uniform_parameter(out_channels, in_channels)
            self.bias_dw = nn.Parameter(torch.zeros(out_channels, 1, 1)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """[B, Cin, T, Fin] -> [B, Cout, T, Fout]."""
        if self.weight_pw is not None:
            x = linear_per_channel(x, self.weight_pw)
            if self.bias_pw is not None:
                x = x + self.bias_pw.transpose(-1, -2)
        if self.weight_dw is not None:
            x = (self.weight_dw @ x.flatten(2)).unflatten(2, x.shape[2:])
            if self.bias_dw is not None:
                x = x + self.bias_dw
        return x


class MultichannelLayerNorm(nn.Module):
    """LayerNorm over F for each channel and frame, with an affine map [C, 1, F] per channel."""

    def __init__(self, channels: int, features: int, eps: float = 1e-8) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(channels, 1, features))
        self.bias = nn.Parameter(torch.zeros(channels, 1, features))

    def forward(self, x: Tensor, first: int = 0) -> Tensor:
        """[B, C, T, F] -> the same shape; with fewer channels, x holds those from `first` on."""
        span = slice(first, first + x.shape[1])
        if len(self.weight) == 1:
            return nn.functional.layer_norm(
                x, self.weight.shape[-1:], self.weight.flatten(), self.bias.flatten(), eps=self.eps
            )
        y = nn.functional.layer_norm(x, self.weight.shape[-1:], eps=self.eps)
        return y * self.weight[span] + self.bias[span]


class SharedLayerNorm(nn.Module):
    """LayerNorm over F for each channel and frame, with one affine map for all channels."""

    def __init__(self, channels: int, features: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(features)

    def forward(self, x: Tensor, first: int = 0) -> Tensor:
        """[B, C, T, F] -> the same shape, whichever channels x holds."""
        y: Tensor = self.norm(x)
        return y


class ChannelNorm(nn.Module):
    """LayerNorm over C for each feature and frame."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, T, F] -> [B, C, T, F]."""
        y: Tensor = self.norm(x.movedim(1, -1))
        return y.movedim(-1, 1)


class FrameConv(nn.Module):
    """A k x k convolution for locality, then one linear map over F per channel."""

    def __init__(self, channels: int, features: int, kernel_size: int, groups: int = 1) -> None:
        super().__init__()
        self.conv = Conv(channels, channels, kernel_size, padding=kernel_size // 2, groups=groups)
        self.weight_pw = uniform_parameter(channels, features, features)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, T, F] -> [B, C, T, F]."""
        return linear_per_channel(self.conv(x), self.weight_pw)


class ResBlock(nn.Module):
    """Pre-norm residual block; the second convolution carries the stride (features, frames).

    `norm` makes the norm for (channels, features), which is called with a part and the number of its first channel.
    `dense` replaces the convolutions by linear maps over the features, the second of which narrows them by the stride.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        features: int,
        *,
        kernel_size: int = 3,
        stride: tuple[int, int] = (1, 1),
        dropout: float = 0.0,
        norm: Callable[[int, int], nn.Module] = MultichannelLayerNorm,
        dense: bool = False,
    ) -> None:
        super().__init__()
        pad = kernel_size // 2
        self.norm = norm(in_channels, features)
        self.conv1: nn.Module
        self.conv2: nn.Module
        if dense:
            self.conv1 = MultichannelLinear(in_channels, out_channels, features, features)
            self.conv2 = MultichannelLinear(out_channels, out_channels, features, features // stride[0])
        else:
            self.conv1 = Conv(in_channels, out_channels, kernel_size, padding=pad, bias=False)
            self.conv2 = Conv(out_channels, out_channels, kernel_size, stride, padding=pad, bias=False)
        self.dense = dense
        self.drop = nn.Dropout2d(dropout)
        changes = in_channels != out_channels or stride != (1, 1)
        self.identity = Conv(in_channels, out_channels, 1, stride, bias=False) if changes else None

    def forward(self, *parts: Tensor) -> Tensor:
        """[B, Ci, T, F] each, together Cin channels -> [B, Cout, T / stride, F / stride]."""
        if self.dense or self.identity is None:
            parts = (torch.cat(parts, dim=1) if len(parts) > 1 else parts[0],)
        firsts = accumulate((x.shape[1] for x in parts), initial=0)
        z = [self.norm(x, first) for x, first in zip(parts, firsts, strict=False)]
        x = parts[0] if self.identity is None else self.identity(*parts)
        y: Tensor = x + self.drop(self.conv2(squared_relu(self.conv1(*z))))
        return y


class FrameEncoder(nn.Module):
    """Halves the features (unless told not to) and keeps every frame."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        features: int,
        *,
        downsample: bool = True,
        dropout: float = 0.0,
        block: Callable[..., ResBlock] = ResBlock,
    ) -> None:
        super().__init__()
        stride = (2, 1) if downsample else (1, 1)
        self.body = block(in_channels, out_channels, features, stride=stride, dropout=dropout)

    def forward(self, *parts: Tensor) -> Tensor:
        """[B, Ci, T, F] each, together Cin channels -> [B, Cout, T, F/2 or F]."""
        y: Tensor = self.body(*parts)
        return y


class FrameDecoder(nn.Module):
    """Doubles the features, joins the skip connection and mixes both with one residual block."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        features: int,
        *,
        dropout: float = 0.0,
        block: Callable[..., ResBlock] = ResBlock,
    ) -> None:
        super().__init__()
        self.features = features
        self.body = block(in_channels, out_channels, features, dropout=dropout)

    def forward(self, below: tuple[Tensor, ...], skip: tuple[Tensor, ...]) -> Tensor:
        """Parts [B, Ci, T, F/2] of the level below and [B, Ci, T, F] of the skip, together Cin -> [B, Cout, T, F]."""
        wider = (stretch(x, self.features) for x in below)
        y: Tensor = self.body(*wider, *skip)
        return y


class ConvolutionalEmbedding(nn.Module):
    """Learned position maps from several scales of the input (after Islam et al. 2020).

    Every scale halves features and frames, gives one map through an 11 x 11 residual block, and
    the maps, all brought back to (T, F), are joined into one channel:

        x + sinusoids --+-- encoder 1 --+-- encoder 2 -- ...
                        |               |
                    extract 1       extract 2       each resized to (T, F)  -> concat -> out
    """

    def __init__(self, channels: int, features: int, scales: int) -> None:
        super().__init__()
        self.features = features
        widths = [channels + 1, *(2 * channels * i for i in range(1, scales))]
        heights = [features // 2**i for i in range(scales)]
        self.extracts = nn.ModuleList(ResBlock(w, 1, h, kernel_size=11) for w, h in zip(widths, heights, strict=True))
        self.encoders = nn.ModuleList(
            ResBlock(widths[i], widths[i + 1], heights[i], stride=(2, 2)) for i in range(scales - 1)
        )
        self.out = ResBlock(scales, 1, features, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, T, F] -> [B, 1, T, F]."""
        size = x.shape[2:]
        x = torch.cat((x, sinusoids(self.features, x).expand(x.shape[0], -1, -1, -1)), dim=1)
        maps = []
        for i, extract in enumerate(self.extracts):
            if i > 0:
                x = self.encoders[i - 1](x)
            maps.append(interpolate(extract(x), size=size, mode="bilinear", align_corners=True))
        y: Tensor = self.out(torch.cat(maps, dim=1))
        return y


def uniform_parameter(*shape: int) -> nn.Parameter:
    """A parameter drawn from U(-1/sqrt(fan_in), 1/sqrt(fan_in)), fan_in = the last dimension."""
    bound = 1.0 / math.sqrt(shape[-1])
    return nn.Parameter(torch.empty(shape).uniform_(-bound, bound))

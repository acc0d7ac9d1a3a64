"""Building blocks of the multichannel transformer U-Net.

Axes: B batch, C channels, F features, T frames; every tensor is [B, C, F, T] unless said otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from ftcore.nn.functional import sinusoids, squared_relu


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
        """[B, Cin, Fin, T] -> [B, Cout, Fout, T]."""
        if self.weight_pw is not None:
            x = self.weight_pw @ x
            if self.bias_pw is not None:
                x = x + self.bias_pw
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

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, F, T] -> [B, C, F, T]."""
        y = nn.functional.layer_norm(x.transpose(2, 3), self.weight.shape[-1:], eps=self.eps)
        return (y * self.weight + self.bias).transpose(2, 3)


class SharedLayerNorm(nn.Module):
    """LayerNorm over F for each channel and frame, with one affine map for all channels."""

    def __init__(self, channels: int, features: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(features)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, F, T] -> [B, C, F, T]."""
        y: Tensor = self.norm(x.transpose(2, 3))
        return y.transpose(2, 3)


class ChannelNorm(nn.Module):
    """LayerNorm over C for each feature and frame."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, F, T] -> [B, C, F, T]."""
        y: Tensor = self.norm(x.movedim(1, -1))
        return y.movedim(-1, 1)


class FrameConv(nn.Module):
    """A k x k convolution for locality, then one linear map over F per channel."""

    def __init__(self, channels: int, features: int, kernel_size: int, groups: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, kernel_size, padding=kernel_size // 2, groups=groups)
        self.weight_pw = uniform_parameter(channels, features, features)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, F, T] -> [B, C, F, T]."""
        y: Tensor = self.weight_pw @ self.conv(x)
        return y


class ResBlock(nn.Module):
    """Pre-norm residual block; the second convolution carries the stride (features, frames).

    `norm` makes the norm for (channels, features). `dense` replaces the convolutions by linear maps over
    the features, the second of which narrows them by the stride.
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
            self.conv1 = nn.Conv2d(in_channels, out_channels, kernel_size, padding=pad, bias=False)
            self.conv2 = nn.Conv2d(out_channels, out_channels, kernel_size, stride, padding=pad, bias=False)
        self.drop = nn.Dropout2d(dropout)
        changes = in_channels != out_channels or stride != (1, 1)
        self.identity = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False) if changes else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """[B, Cin, F, T] -> [B, Cout, F/stride, T/stride]."""
        y: Tensor = self.identity(x) + self.drop(self.conv2(squared_relu(self.conv1(self.norm(x)))))
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

    def forward(self, x: Tensor) -> Tensor:
        """[B, Cin, F, T] -> [B, Cout, F/2 or F, T]."""
        y: Tensor = self.body(x)
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

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """x [B, C, F/2, T], skip [B, S, F, T] with C + S = Cin -> [B, Cout, F, T]."""
        x = interpolate(x, size=(self.features, x.shape[-1]), mode="bilinear", align_corners=True)
        y: Tensor = self.body(torch.cat((x, skip), dim=1))
        return y


class ConvolutionalEmbedding(nn.Module):
    """Learned position maps from several scales of the input (after Islam et al. 2020).

    Every scale halves features and frames, gives one map through an 11 x 11 residual block, and
    the maps, all brought back to (F, T), are joined into one channel:

        x + sinusoids --+-- encoder 1 --+-- encoder 2 -- ...
                        |               |
                    extract 1       extract 2       each resized to (F, T)  -> concat -> out
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
        """[B, C, F, T] -> [B, 1, F, T]."""
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

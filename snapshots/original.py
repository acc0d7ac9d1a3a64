"""Checkpoints of the original code: from its names and shapes to our config and parameters."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from ftcore.config import NetworkConfig
from ftcore.errors import FtError

if TYPE_CHECKING:
    from torch import Tensor

    from ftcore.nn.network import Generator

Shapes = Mapping[str, Sequence[int]]
"""Shape of every tensor of a checkpoint, under its original name."""

TABLES = re.compile(r"(^|\.)(pe|freqs)$")
"""Positional tables that a checkpoint carries along; we compute them."""


def our_name(name: str, levels: int) -> str:
    """Where a parameter of the original generator lives in `ftcore.nn.network.Generator`.

    The original counts levels from 1, also upwards through the decoder; our decoder is a list with
    the deepest level first.
    """
    for pattern, place in (
        (r"positional_embedding\.extract(\d+)", "encoder.embedding.extracts.{down}"),
        (r"positional_embedding\.encoder(\d+)", "encoder.embedding.encoders.{down}"),
        (r"positional_embedding()", "encoder.embedding"),
        (rf"enc{levels}_transformer\.(\d+)", "encoder.latent.{number}"),
        (r"enc(\d+)_transformer", "encoder.levels.{down}.transformer"),
        (r"dec(\d+)_transformer", "decoder.{up}.transformer"),
        (r"enc(\d+)", "encoder.levels.{down}.frame"),
        (r"dec(\d+)", "decoder.{up}.frame"),
    ):
        if match := re.match(pattern + r"\.", name):
            number = int(match[1] or 0)
            name = place.format(number=number, down=number - 1, up=levels - 1 - number) + name[match.end() - 1 :]
            break
    return re.sub(r"\.gate(\d)\.(0|2)\.", lambda m: f".gate{m[1]}.{'mix' if m[2] == '0' else 'weigh'}.", name)


def infer_config(shapes: Shapes) -> NetworkConfig:
    """The config of an original generator, from tensor shapes alone (heads from the rotary tables).

    Raises FtError naming the first tensor that is missing or has an impossible shape.
    """
    levels = 0
    while f"enc{levels + 1}.body.conv1.weight" in shapes:
        levels += 1
    if levels < 2:
        raise FtError("not a checkpoint of the original generator: it has no levels enc1.body, enc2.body, ...")
    widths = [_shape(shapes, f"enc{i}.body.conv1.weight", 4)[0] for i in range(1, levels + 1)]
    scales = _count(shapes, r"positional_embedding\.extract(\d+)\.norm\.weight")
    spectral, features = _shape(shapes, "enc1.body.norm.weight", 3)[::2]
    spectral -= 1 if scales else 0
    latent_layers = _count(shapes, rf"enc{levels}_transformer\.(\d+)\.norm1\.norm\.weight")
    latent = f"enc{levels}_transformer.0"
    maps = [_shape(shapes, f"enc{i}_transformer.norm1.weight", 3)[0] for i in range(1, levels)]
    heads = [_heads(shapes, f"enc{i}_transformer", features // 2 ** (i - 1)) for i in range(1, levels)]
    is_complex = spectral != 2
    return NetworkConfig(
        audio_channels=spectral // 2 if is_complex else spectral,
        features=features,
        channels=widths[0],
        multipliers=tuple(_ratio(w, widths[0], f"enc{i}.body") for i, w in enumerate(widths, 1)),
        attention_maps=tuple(maps),
        heads=(*heads, _heads(shapes, latent, widths[-1]) if latent_layers else 1),
        expansion=_shape(shapes, "enc1_transformer.conv3.weight_pw", 3)[1],
        latent_layers=latent_layers,
        latent_expansion=_ratio(_shape(shapes, f"{latent}.conv3.weight", 4)[0], widths[-1], latent)
        if latent_layers
        else 1,
        latent_kernel=_shape(shapes, f"{latent}.attn.q_proj.weight", 4)[-1] if latent_layers else 1,
        latent_restart=True,
        embedding_scales=scales,
        output="mapping" if is_complex else "magnitude_mask",
        normalisation="song_peak",
        decoder_dropout=tuple(0.5 if i >= 4 else 0.0 for i in range(levels - 1)),
    )


def check_shapes(found: Shapes, expected: Shapes) -> None:
    """Raise FtError saying what is missing, extra or of another shape, the first of each by name."""
    problems = [
        _sample("missing", expected.keys() - found.keys()),
        _sample("unknown", found.keys() - expected.keys()),
        _sample(
            "of another shape",
            (k for k in found.keys() & expected.keys() if tuple(found[k]) != tuple(expected[k])),
        ),
    ]
    if any(problems):
        raise FtError("the parameters do not fit together: " + "; ".join(p for p in problems if p))


def _sample(what: str, names: Iterable[str]) -> str:
    ordered = sorted(names)
    return f"{len(ordered)} {what} ({', '.join(ordered[:3])}{', ...' if len(ordered) > 3 else ''})" if ordered else ""


def _shape(shapes: Shapes, name: str, rank: int) -> Sequence[int]:
    shape = shapes.get(name)
    if shape is None:
        raise FtError(f"not a checkpoint of the original generator: {name} is missing")
    if len(shape) != rank or min(shape) < 1:
        raise FtError(f"{name} has the impossible shape {list(shape)}")
    return shape


def _count(shapes: Shapes, pattern: str) -> int:
    return sum(1 for name in shapes if re.fullmatch(pattern, name))


def _ratio(width: int, base: int, where: str) -> int:
    if width % base:
        raise FtError(f"{where}: {width} channels are no multiple of {base}")
    return width // base


def _heads(shapes: Shapes, block: str, width: int) -> int:
    """Heads of an attention over `width`: its rotary table holds half a head's size (none for size 1)."""
    name = f"{block}.attn.embedding.freqs"
    shape = shapes.get(name)
    if shape is None or len(shape) != 1:
        raise FtError(f"not a checkpoint of the original generator: {name} is missing, so its heads are unknown")
    return width // max(2 * shape[0], 1)


def build_generator(state: dict[str, Tensor]) -> Generator:
    """Our generator with the parameters of an original state dict, in eval mode. Raises FtError."""
    import torch

    from ftcore.nn.network import Generator

    config = infer_config({name: tensor.shape for name, tensor in state.items()})
    ours = {our_name(name, config.levels): t for name, t in state.items() if not TABLES.search(name)}
    with torch.device("meta"):
        network = Generator(config)
    check_shapes({k: v.shape for k, v in ours.items()}, {k: v.shape for k, v in network.state_dict().items()})
    for name, tensor in ours.items():
        if not tensor.isfinite().all():
            raise FtError(f"the weights hold NaN or infinite values ({name})")
    network.load_state_dict(ours, assign=True)
    return network.eval()

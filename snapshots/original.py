"""Checkpoints of the original code: from their names and shapes to our configs and networks."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ftcore.config import EarlyConfig, NetworkConfig, SpectralConfig
from ftcore.errors import FtError

if TYPE_CHECKING:
    from torch import Tensor

    from ftcore.nn.spectral import SpectralNetwork

Shapes = Mapping[str, Sequence[int]]
"""Shape of every tensor of a checkpoint, under its original name."""

Renames = Sequence[tuple[str, str]]
"""(what one of our names begins with or holds, what the original has there); see `original_name`."""

EMBEDDING: Renames = (
    (r"encoder\.embedding\.extracts\.(\d+)", "positional_embedding.extract{down}"),
    (r"encoder\.embedding\.encoders\.(\d+)", "positional_embedding.encoder{down}"),
    (r"encoder\.embedding", "positional_embedding"),
)


@dataclass(frozen=True, kw_only=True)
class Family:
    """Networks of the original that share their code."""

    title: str
    """For messages."""
    marks: re.Pattern[str]
    """Matches names that no other family has."""
    unused: re.Pattern[str]
    """Matches names that a checkpoint carries along and we do without: positional tables, which we compute."""
    infer: Callable[[Shapes], NetworkConfig | EarlyConfig]
    """The config, from shapes alone. Raises FtError."""
    places: Renames
    """Beginnings of names."""
    parts: Renames = ()
    """What else differs, anywhere in a name."""


def infer_generator(shapes: Shapes) -> NetworkConfig:
    """The config of an AsymUNetMCT generator, from tensor shapes alone (heads from the rotary tables).

    Raises FtError naming the first tensor that is missing or has an impossible shape.
    """
    levels = 0
    while f"enc{levels + 1}.body.conv1.weight" in shapes:
        levels += 1
    if levels < 2:
        raise FtError(f"enc{levels + 1}.body.conv1.weight is missing")
    widths = [_shape(shapes, f"enc{i}.body.conv1.weight", 4)[0] for i in range(1, levels + 1)]
    scales = _count(shapes, r"positional_embedding\.extract(\d+)\.norm\.weight")
    spectral, features = _shape(shapes, "enc1.body.norm.weight", 3)[::2]
    spectral -= 1 if scales else 0
    latent_layers = _count(shapes, rf"enc{levels}_transformer\.(\d+)\.norm1\.norm\.weight")
    latent = f"enc{levels}_transformer.0"
    maps = [_shape(shapes, f"enc{i}_transformer.norm1.weight", 3)[0] for i in range(1, levels)]
    heads = [
        _heads(shapes, f"enc{i}_transformer.attn.embedding.freqs", features // 2 ** (i - 1)) for i in range(1, levels)
    ]
    is_complex = spectral != 2
    return NetworkConfig(
        audio_channels=spectral // 2 if is_complex else spectral,
        features=features,
        channels=widths[0],
        multipliers=tuple(_ratio(w, widths[0], f"enc{i}.body") for i, w in enumerate(widths, 1)),
        attention_maps=tuple(maps),
        heads=(*heads, _heads(shapes, f"{latent}.attn.embedding.freqs", widths[-1]) if latent_layers else 1),
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


def infer_v1(shapes: Shapes) -> EarlyConfig:
    """The config of a V1 network; see `infer_generator`."""
    (features,) = _shape(shapes, "enc0_transformer.norm1.norm.weight", 1)
    hidden = _shape(shapes, "enc0_transformer.conv1.weight_pw", 3)[1]
    expansion = _ratio(hidden, features, "enc0_transformer.conv1")
    return _infer_early("v1", shapes, features, expansion, "attn.rotary_embedding.freqs")


def infer_v2b(shapes: Shapes) -> EarlyConfig:
    """The config of a V2b network; see `infer_generator`."""
    features = _shape(shapes, "enc0_transformer.norm1.weight", 3)[-1]
    hidden, maps = _shape(shapes, "enc0_transformer.conv1.weight", 4)[:2]
    expansion = _ratio(hidden, maps, "enc0_transformer.conv1")
    return _infer_early("v2b", shapes, features, expansion, "attn.embedding.freqs")


def _infer_early(kind: Literal["v1", "v2b"], shapes: Shapes, features: int, expansion: int, table: str) -> EarlyConfig:
    """What V1 and V2b have in common; `table` ends the names of their rotary tables."""
    maps, widths = _early_levels(shapes)
    return EarlyConfig(
        kind=kind,
        audio_channels=_shape(shapes, "out", 2)[0],
        features=features,
        channels=widths[0],
        multipliers=tuple(_ratio(w, widths[0], f"enc{i}") for i, w in enumerate(widths, 1)),
        attention_maps=maps,
        heads=_early_heads(shapes, table, features, len(maps)),
        expansion=expansion,
        embedding_scales=_count(shapes, r"positional_embedding\.extract(\d+)\.norm\.weight"),
        dense_levels=_count(shapes, r"enc(\d+)\.body\.conv1\.weight_pw"),
    )


FAMILIES = {
    "v1": Family(
        title="V1",
        marks=re.compile(r"(enc|dec)\d+\.body\.0\."),
        unused=re.compile(r"\.freqs$|^dec\d+_transformer\.norm3\."),  # the norm that V1's code forgot to use
        infer=infer_v1,
        places=(
            (r"entry", "enc0_transformer"),
            (r"encoder\.(\d+)\.transformer", "enc{down}_transformer"),
            (r"encoder\.(\d+)\.frame\.body", "enc{down}.body.0"),
            (r"decoder\.(\d+)\.transformer\.norm3", "dec{up}_transformer.norm2"),
            (r"decoder\.(\d+)\.transformer", "dec{up}_transformer"),
            (r"decoder\.(\d+)\.frame\.body", "dec{up}.body.0"),
            (r"out\.weight_dw", "out"),
        ),
        parts=((r"\.o_proj\.", ".out_proj."),),
    ),
    "v2b": Family(
        title="V2b",
        marks=re.compile(r"enc0_transformer\.|(enc|dec)\d+_transformer\.conv1\.weight$"),
        unused=re.compile(r"\.(pe|freqs)$"),
        infer=infer_v2b,
        places=(
            *((pattern.removeprefix(r"encoder\."), place) for pattern, place in EMBEDDING),
            (r"entry", "enc0_transformer"),
            (r"encoder\.(\d+)\.transformer", "enc{down}_transformer"),
            (r"encoder\.(\d+)\.frame", "enc{down}"),
            (r"decoder\.(\d+)\.transformer", "dec{up}_transformer"),
            (r"decoder\.(\d+)\.frame", "dec{up}"),
            (r"out\.weight_dw", "out"),
        ),
    ),
    "gen": Family(
        title="generator (AsymUNetMCT)",
        marks=re.compile(r"(enc|dec)\d+_transformer\.|(enc|dec)\d+\.body\."),
        unused=re.compile(r"\.(pe|freqs)$"),
        infer=infer_generator,
        places=(
            *EMBEDDING,
            (r"encoder\.latent\.(\d+)", "enc{last}_transformer.{number}"),
            (r"encoder\.levels\.(\d+)\.transformer", "enc{down}_transformer"),
            (r"encoder\.levels\.(\d+)\.frame", "enc{down}"),
            (r"decoder\.(\d+)\.transformer", "dec{up}_transformer"),
            (r"decoder\.(\d+)\.frame", "dec{up}"),
        ),
        parts=((r"\.(gate\d)\.mix\.", r".\1.0."), (r"\.(gate\d)\.weigh\.", r".\1.2.")),
    ),
}
"""By kind, the ones that are hardest to mistake first."""


def recognise(shapes: Shapes) -> str | None:
    """The kind of network whose names these are, or None."""
    return next((kind for kind, family in FAMILIES.items() if any(map(family.marks.search, shapes))), None)


def original_name(name: str, family: Family, last: int) -> str:
    """What the original calls the parameter that is `name` here.

    The original counts levels from 1 to `last`, also upwards through the decoder; our lists count from 0,
    the decoder's from the deepest level.
    """
    for pattern, place in family.places:
        if match := re.match(rf"{pattern}(?=\.|$)", name):
            number = int(match[1]) if match.groups() else 0
            name = place.format(number=number, down=number + 1, up=last - 1 - number, last=last) + name[match.end() :]
            break
    for pattern, replacement in family.parts:
        name = re.sub(pattern, replacement, name)
    return name


def blank(config: NetworkConfig | EarlyConfig) -> tuple[SpectralNetwork, dict[str, str]]:
    """Our network without weights, and our name of each of its parameters by the original's."""
    import torch

    from ftcore.nn.families import build as build_network

    with torch.device("meta"):
        network = build_network(config)
    family = FAMILIES[kind_of(config)]
    last = config.levels - 1 if isinstance(config, EarlyConfig) else config.levels
    return network, {original_name(ours, family, last): ours for ours in network.state_dict()}


def kind_of(config: SpectralConfig) -> str:
    """The key in FAMILIES of a network's config."""
    return config.kind if isinstance(config, EarlyConfig) else "gen"


def expected_shapes(config: NetworkConfig | EarlyConfig) -> Shapes:
    """Names and shapes of a checkpoint of the original, but for the tables that it carries along. Needs torch."""
    network, names = blank(config)
    state = network.state_dict()
    return {name: state[ours].shape for name, ours in names.items()}


def build(state: Mapping[str, Tensor], kind: str) -> SpectralNetwork:
    """Our network with the parameters of an original state dict, in eval mode. Raises FtError."""
    import torch

    family = FAMILIES[kind]
    try:
        config = family.infer({name: tensor.shape for name, tensor in state.items()})
    except FtError as error:
        raise FtError(f"not a checkpoint of the original {family.title}: {error}") from None
    network, names = blank(config)
    expected = expected_shapes(config)
    found = {name: tensor for name, tensor in state.items() if name in names or not family.unused.search(name)}
    check_shapes({name: tensor.shape for name, tensor in found.items()}, expected)
    check_finite(found)
    ours = {ours: found[name].detach().to(torch.float32, copy=True) for name, ours in names.items()}
    network.load_state_dict(ours, assign=True)
    return network.eval()


def check_finite(state: Mapping[str, Tensor]) -> None:
    """Raise FtError naming the first tensor that holds no floats, or NaN or infinite values."""
    for name, tensor in state.items():
        if not tensor.is_floating_point() or tensor.element_size() < 2:  # nothing computes with floats of 8 bits
            raise FtError(f"the weights hold {str(tensor.dtype).removeprefix('torch.')} values ({name})")
        if not tensor.isfinite().all():
            raise FtError(f"the weights hold NaN or infinite values ({name})")


def check_shapes(found: Shapes, expected: Shapes) -> None:
    """Raise FtError saying what is missing, unknown or of another shape, the first of each by name."""
    wrong = {
        "missing": expected.keys() - found.keys(),
        "unknown": found.keys() - expected.keys(),
        "of another shape": {k for k in found.keys() & expected.keys() if tuple(found[k]) != tuple(expected[k])},
    }
    if any(wrong.values()):
        problems = (f"{len(names)} {what} ({sample(names)})" for what, names in wrong.items() if names)
        raise FtError(f"the parameters do not fit together: {'; '.join(problems)}")


def sample(names: Iterable[str]) -> str:
    """The first few of some names."""
    ordered = sorted(names)
    return ", ".join(ordered[:3]) + (", ..." if len(ordered) > 3 else "")


def _shape(shapes: Shapes, name: str, rank: int) -> Sequence[int]:
    shape = shapes.get(name)
    if shape is None:
        raise FtError(f"{name} is missing")
    if len(shape) != rank or min(shape) < 1:
        raise FtError(f"{name} has the impossible shape {list(shape)}")
    return shape


def _count(shapes: Shapes, pattern: str) -> int:
    return sum(1 for name in shapes if re.fullmatch(pattern, name))


def _ratio(width: int, base: int, where: str) -> int:
    if width % base:
        raise FtError(f"{where}: {width} channels are no multiple of {base}")
    return width // base


def _heads(shapes: Shapes, table: str, width: int) -> int:
    """Heads of an attention over `width`: its rotary table holds half a head's size (none for size 1)."""
    shape = shapes.get(table)
    if shape is None or len(shape) != 1:
        raise FtError(f"{table} is missing, so its heads are unknown")
    return width // max(2 * shape[0], 1)


def _early_levels(shapes: Shapes) -> tuple[tuple[int, ...], list[int]]:
    """Attention maps of levels 0, 1, ... and widths of levels 1, 2, ... of V1 or V2b."""
    maps: list[int] = []
    widths: list[int] = []
    while (name := f"enc{len(maps)}_transformer.embed.weight") in shapes or len(maps) < 3:
        shape = _shape(shapes, name, 4)
        maps.append(shape[0])
        widths.append(shape[1])
    return tuple(maps), widths[1:]


def _early_heads(shapes: Shapes, table: str, features: int, levels: int) -> int:
    """Heads of V1 or V2b, the same on every level."""
    widths = [features >> max(i - 1, 0) for i in range(levels)]
    heads = {_heads(shapes, f"enc{i}_transformer.{table}", width) for i, width in enumerate(widths)}
    if len(heads) > 1:
        raise FtError(f"attention heads differ between levels ({', '.join(map(str, sorted(heads)))})")
    return heads.pop()

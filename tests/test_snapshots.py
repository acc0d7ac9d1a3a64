"""Published checkpoints: recognised from names and shapes, imported through the command line, or refused."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shlex
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor

import snapshots
from ftcore import Separator, checkpoint
from ftcore.config import EarlyConfig
from ftcore.errors import FtError, UsageError
from ftcore.nn.early import EarlyNetwork
from ftcore.runtime import OnnxModel
from ftcore.torch_runtime import TorchModel
from snapshots import original, published, registry
from tests.conftest import BARE, noise, untrained
from tests.test_cli import ft, walk
from tests.vectors import describe, filled_state

TINY_V1 = EarlyConfig(kind="v1", features=32, channels=2, multipliers=(1, 2), attention_maps=(1,) * 3, heads=2)
TINY_V2B = EarlyConfig(
    kind="v2b",
    features=32,
    channels=2,
    multipliers=(1, 2),
    attention_maps=(2,) * 3,
    heads=2,
    expansion=2,
    embedding_scales=2,
    dense_levels=1,
)


def original_state(config: EarlyConfig) -> dict[str, Tensor]:
    """A state dict as the original would have saved it: its names, its tables, and what it left unused."""
    torch.manual_seed(0)
    state = EarlyNetwork(config).state_dict()
    found = {name: state[ours] for name, ours in original.blank(config)[1].items()}
    table = "rotary_embedding" if config.kind == "v1" else "embedding"
    for level in range(config.levels):
        size = config.level_features(level) // config.heads
        found[f"enc{level}_transformer.attn.{table}.freqs"] = torch.zeros(size // 2)
    if config.kind == "v1":
        found["dec1_transformer.norm3.norm.weight"] = torch.full((32,), 3.0)
        found["dec1_transformer.norm3.norm.bias"] = torch.ones(32)
    return found


@pytest.fixture
def models() -> Path:
    """Where the user's models are."""
    return registry.cache_folder() / "models"


@pytest.mark.parametrize("name", published.PUBLISHED)
def test_published_sizes_are_recognised_and_nothing_else_is_taken_for_them(name: str) -> None:
    shapes = describe(f"{name}.full")["params"]
    snapshot = published.PUBLISHED[name]
    kind = original.recognise(shapes)
    assert kind == snapshot.kind
    config = original.FAMILIES[kind].infer(shapes)
    assert published.identify(config, "") is snapshot
    unused = original.FAMILIES[kind].unused
    expected = {k: tuple(v) for k, v in shapes.items() if not unused.search(k)}
    assert {k: tuple(v) for k, v in original.expected_shapes(snapshot.config).items()} == expected
    assert published.identify(dataclasses.replace(config, expansion=8), "") is None


def test_v1_normalises_for_the_encoder_as_for_itself_and_leaves_its_third_norm_alone(tmp_path: Path) -> None:
    state = original_state(TINY_V1)
    x = torch.rand(1, 2, 32, 7)
    outputs = []
    for change in ({}, {"dec1_transformer.norm3.norm.weight": torch.zeros(32)}):
        torch.save(state | change, tmp_path / "v1.pth")
        network = snapshots.load_network(tmp_path / "v1.pth", "v1")
        assert isinstance(network, EarlyNetwork)
        outputs.append(network(x).detach())
    assert torch.equal(*outputs)
    seen: list[Tensor] = []
    norm = network.get_submodule("decoder.0.transformer.norm1")
    norm.register_forward_hook(lambda module, args, output: seen.append(args[0]))
    network(x)
    assert len(seen) == 2
    assert not torch.equal(*seen)


@pytest.mark.parametrize("config", [TINY_V1, TINY_V2B], ids=["v1", "v2b"])
def test_early_networks_import_and_separate_like_torch(
    config: EarlyConfig,
    models: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As docs/snapshots.md does it, were V1 and V2b as small as that."""
    file = tmp_path / f"{config.kind}.pth"
    soundfile.write(tmp_path / "song.wav", noise(5000, 2).T, 44100, subtype="FLOAT")
    monkeypatch.chdir(tmp_path)
    state = {f"module.{k}": v for k, v in original_state(config).items()}
    training = {"epoch": 3, "optimizer": {"state": {0: {"exp_avg": torch.zeros(3)}}, "lr": 1e-4}}
    torch.save(training | {"model": state}, file)
    for command in walk("docs/snapshots.md"):
        ft(*shlex.split(command.replace("v1", config.kind), comments=True)[1:])
    said = capsys.readouterr()
    assert f"original's family {original.FAMILIES[config.kind].title}" in said.out
    assert f"registered as {config.kind}" in said.out
    folder = models / config.kind
    assert sorted(p.name for p in folder.iterdir()) == ["manifest.json", "model.onnx", "model.safetensors"]
    assert [p.name for p in models.iterdir()] == [config.kind]
    model = OnnxModel(folder / "model.onnx")
    assert model.info.network == config
    assert (model.info.signal.n_fft, model.info.signal.hop) == (64, 32)
    assert model.info.provenance["source"] == file.name
    ft("models", "list")
    assert f"{config.kind}  V" in capsys.readouterr().out

    made, _ = soundfile.read(tmp_path / "song_vocals.wav", dtype="float32")
    in_torch = TorchModel(checkpoint.load(folder / "model.safetensors"))
    expected = Separator(in_torch).separate(noise(5000, 2), 44100)["vocals"]
    assert np.abs(expected).max() > 1e-3
    np.testing.assert_allclose(made.T, expected, atol=1e-5)
    data = ("--instrumental", tmp_path, "--vocal", tmp_path, "--out", tmp_path / "run")
    ft("train", "--init", folder / "model.safetensors", *data, code=2)
    assert "training starts from a generator" in capsys.readouterr().err


def test_our_own_checkpoints_are_imported_too_and_never_replace_what_is_there(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = untrained(BARE, tmp_path / "mine.safetensors")
    with registering_mine() as folder:
        (folder / "model.onnx").write_bytes(b"before")
    ft("snapshots", "import", file, code=1)
    assert "there is a model 'mine' already" in capsys.readouterr().err
    assert (models / "mine" / "model.onnx").read_bytes() == b"before"
    ft("snapshots", "import", file, "--overwrite")
    assert "a checkpoint of ft" in capsys.readouterr().out
    assert checkpoint.load(models / "mine" / "model.safetensors").network.config == BARE
    assert OnnxModel(models / "mine" / "model.onnx").info.network == BARE
    assert registry.known_models()[0]["mine"].licence == "MIT"
    assert [p.name for p in models.iterdir()] == ["mine"]
    for name, message in (("starter", "installed model"), ("a/b", "cannot be the name"), ("../x", "cannot be")):
        ft("snapshots", "import", file, "--name", name, code=2)
        assert message in capsys.readouterr().err


def test_an_export_that_fails_registers_nothing(models: Path) -> None:
    with pytest.raises(FtError, match="not the same"), registering_mine() as folder:
        (folder / "model.onnx").write_bytes(b"half")
        raise FtError("not the same")
    assert list(models.iterdir()) == []
    with pytest.raises(FtError, match="cannot be written"), registering_mine():
        pass  # no model was written
    assert list(models.iterdir()) == []


def test_of_two_that_register_one_name_at_once_the_first_stays(models: Path) -> None:
    with pytest.raises(FtError, match="mine: cannot be written"), registering_mine() as second:
        with registering_mine() as first:
            (first / "model.onnx").write_bytes(b"first")
        (second / "model.onnx").write_bytes(b"second")
    assert (models / "mine" / "model.onnx").read_bytes() == b"first"
    assert [p.name for p in models.iterdir()] == ["mine"]


def registering_mine() -> Any:
    return registry.registering("mine", summary="", licence="")


def test_damaged_models_of_the_user_are_named_and_harm_no_other(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, manifest in (("broken", "{"), ("wrong", json.dumps({"sha256": "0", "summary": "s", "licence": "l"}))):
        (models / name).mkdir(parents=True)
        (models / name / "manifest.json").write_text(manifest)
    (models / "wrong" / "model.onnx").write_bytes(b"x")
    ft("models", "list", code=1)
    said = capsys.readouterr()
    assert "starter" in said.out
    assert "broken" in said.err
    with pytest.raises(FtError, match="SHA-256 2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881, exp"):
        registry.find_model("wrong")


def test_list_and_show(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ft("snapshots", "list")
    said = capsys.readouterr().out
    assert [line.split()[0] for line in said.splitlines()] == ["gan-v1", "v1", "v2b"]
    ft("snapshots", "show", "v1")
    said = capsys.readouterr().out
    for part in ("mega.nz/file/C5pGXYYR", "licence  not stated", "window   512", "mask of the instrumental", "norm3"):
        assert part in said
    ft("snapshots", "show", "v2b", "--shapes")
    assert "enc6.body.conv2.weight_pw [80, 32, 64]" in capsys.readouterr().out.splitlines()
    ft("snapshots", "show", "v3", code=2)
    assert "known: gan-v1, v1, v2b" in capsys.readouterr().err


class Bomb:
    """Would make a folder when unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.target),)


def state() -> dict[str, Any]:
    return {k: torch.from_numpy(v) for k, v in filled_state("generator_magnitude").items()}


def without(name: str) -> dict[str, Any]:
    return {k: v for k, v in state().items() if not k.endswith(name)}


def saved(content: Any) -> Callable[[Path], None]:
    return lambda path: torch.save(content() if callable(content) else content, path)


def cut(path: Path) -> None:
    torch.save(state(), path)
    path.write_bytes(path.read_bytes()[:-2000])


def inflated(path: Path) -> None:
    """A checkpoint whose weights are 100 megabytes of zeros, in a tenth of one."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("model/data/0", "w") as file:
        for _ in range(100):
            file.write(bytes(1_000_000))


def overlapping(path: Path) -> None:
    """Many entries that share one stretch of the file."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/data.pkl", bytes(100_000))
        entry = archive.infolist()[0]
        archive.filelist += [entry] * 1000


def nan_safetensors(path: Path) -> None:
    loaded = checkpoint.load(untrained(BARE, path))
    loaded.network.out.bias.data[0] = torch.nan  # type: ignore[union-attr, operator]
    checkpoint.save(path, loaded)


def endless() -> dict[str, Any]:
    """A dictionary that holds itself a thousand times."""
    content: dict[str, Any] = {}
    content.update({str(i): content for i in range(1000)})
    return content


HOSTILE: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: None, "no such file"),
    "empty": (lambda path: path.write_bytes(b""), "empty"),
    "noise": (lambda path: path.write_bytes(b"RIFF" * 100), "not a PyTorch checkpoint"),
    "truncated": (cut, "not a PyTorch checkpoint"),
    "truncated safetensors": (lambda path: path.write_bytes(b"\x10\0\0\0\0\0\0\0{}"), "not a readable safetensors"),
    "zip bomb": (inflated, "would unpack to more than the file itself"),
    "overlapping zip": (overlapping, "would unpack to more than the file itself"),
    "repeated values": (saved({"enc1.body.conv1.weight": torch.zeros(1).expand(10**6, 10**6)}), "no plain tensor"),
    "no values": (saved({"enc1.body.conv1.weight": torch.zeros(10**9, 10**9, device="meta")}), "no plain tensor"),
    "sparse": (saved({"enc1.body.conv1.weight": torch.zeros(9, 9).to_sparse()}), "no plain tensor"),
    "list": (saved([1, 2]), "no state dict inside"),
    "endless": (saved(endless), "no state dict inside"),
    "no tensors": (saved({"model": 3}), "no state dict inside"),
    "another network": (saved({"layer.weight": torch.zeros(2)}), "no network of the original code; it holds layer"),
    "no levels": (saved({"enc1.body.norm.weight": torch.zeros(2)}), "enc1.body.conv1.weight is missing"),
    "parameter missing": (
        saved(lambda: without("dec3_transformer.conv4.weight_pw")),
        "1 missing (dec3_transformer.conv4.weight_pw)",
    ),
    "parameter unknown": (saved(lambda: state() | {"extra.weight": torch.zeros(1)}), "1 unknown (extra.weight)"),
    "wrong shape": (
        saved(lambda: state() | {"out.weight": torch.zeros(2, 5, 1, 1)}),
        "1 of another shape (out.weight)",
    ),
    "impossible shape": (
        saved(lambda: state() | {"enc1.body.conv1.weight": torch.zeros(0)}),
        "enc1.body.conv1.weight has the impossible shape [0]",
    ),
    "NaN": (saved(lambda: {"model": state() | {"out.bias": torch.tensor([0.0, torch.nan])}}), "NaN"),
    "integers": (saved(lambda: state() | {"out.bias": torch.zeros(2, dtype=torch.int32)}), "the weights hold int32"),
    "NaN of ours": (nan_safetensors, "NaN"),
    "no heads": (saved(lambda: without("freqs")), "freqs is missing, so its heads are unknown"),
    "unequal heads": (
        saved(lambda: original_state(TINY_V1) | {"enc2_transformer.attn.rotary_embedding.freqs": torch.zeros(1)}),
        "heads differ",
    ),
    "v1 cut short": (
        saved(lambda: {k: v for k, v in original_state(TINY_V1).items() if not k.startswith("enc2_")}),
        "enc2_transformer.embed.weight is missing",
    ),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_and_wrong_files_are_refused_with_one_line(
    kind: str, models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make, message = HOSTILE[kind]
    path = tmp_path / "model.pth"
    make(path)
    refused(path, message, models, capsys)


def test_a_malicious_pickle_is_listed_and_never_run(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "model.pth"
    for content in (Bomb(tmp_path / "owned"), {"model": state() | {"hook": Bomb(tmp_path / "owned")}}):
        torch.save(content, path)
        refused(path, "refused, the file could run code: it needs ", models, capsys)
        assert not (tmp_path / "owned").exists()


def refused(path: Path, message: str, models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ft("snapshots", "import", path, code=1)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1, said.err
    assert said.err.startswith(f"ft: {path}")
    assert re.search(re.escape(message), said.err), said.err
    assert not models.exists()


def test_load_network_takes_the_kind_where_it_is_known(tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    torch.save(original_state(TINY_V2B), path)
    assert snapshots.load_network(path, kind="v2b").config == TINY_V2B
    with pytest.raises(FtError, match="not a checkpoint of the original V1"):
        snapshots.load_network(path, kind="v1")
    with pytest.raises(FtError, match="unknown kind"):
        snapshots.load_network(path, kind="v9")


def test_names_that_cannot_be_a_models(models: Path) -> None:
    for name in ("", ".hidden", "a b", "x" * 65):
        with pytest.raises(UsageError), registry.registering(name, summary="", licence=""):
            pass

"""Files of other programs are read without running them, and refused with a reason."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch

import snapshots
from ftcore.errors import FtError
from tests.vectors import filled_state


def state() -> dict[str, Any]:
    return {k: torch.from_numpy(v) for k, v in filled_state("generator_magnitude").items()}


def refuse(path: Path, content: Any, message: str) -> None:
    torch.save(content, path)
    with pytest.raises(FtError, match=message):
        snapshots.load_network(path)


class Bomb:
    """Would make a folder when unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.target),)


def test_a_malicious_pickle_is_listed_and_never_run(tmp_path: Path) -> None:
    target = tmp_path / "owned"
    refuse(tmp_path / "bad.pth", {"weight": Bomb(target)}, "refused, the file could run code: it needs .*mkdir")
    assert not target.exists()


def test_wrong_contents_say_what_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    refuse(path, [1, 2], "not a state dict")
    refuse(path, {"model": 3}, "not a state dict")
    refuse(path, {"layer.weight": torch.zeros(2)}, "not a checkpoint of the original generator")
    missing = state()
    del missing["dec3_transformer.conv4.weight_pw"]
    refuse(path, missing, r"1 missing \(decoder.5.transformer.conv4.weight_pw\)")
    refuse(path, state() | {"extra.weight": torch.zeros(1)}, r"1 unknown \(extra.weight\)")
    refuse(path, state() | {"out.weight": torch.zeros(2, 5, 1, 1)}, r"1 of another shape \(out.weight\)")
    refuse(path, state() | {"out.bias": torch.tensor([0.0, float("nan")])}, "NaN")
    tables = {k: v for k, v in state().items() if not k.endswith("freqs")}
    refuse(path, tables, "freqs is missing, so its heads are unknown")


def test_damaged_files(tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    torch.save(state(), path)
    data = path.read_bytes()
    for content in (b"", b"RIFF", data[: len(data) // 2]):
        path.write_bytes(content)
        with pytest.raises(FtError, match="not a PyTorch checkpoint"):
            snapshots.load_network(path)
    with pytest.raises(FtError, match="no such file"):
        snapshots.load_network(tmp_path / "missing.pth")
    with pytest.raises(FtError, match="unknown kind"):
        snapshots.load_network(path, kind="v9")

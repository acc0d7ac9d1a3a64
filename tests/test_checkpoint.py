"""Our checkpoints: complete, reproducible, atomic, and refused with one line when damaged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import safetensors.torch
import torch

from ftcore import checkpoint
from ftcore.errors import FtError
from tests.conftest import TINY, TINY_SIGNAL


def test_round_trip_and_reproducible_bytes(tiny_checkpoint: Path, tmp_path: Path) -> None:
    loaded = checkpoint.load(tiny_checkpoint)
    assert (loaded.network.config, loaded.signal, loaded.provenance) == (TINY, TINY_SIGNAL, {"licence": "MIT"})
    assert not loaded.network.training
    again = tmp_path / "again.safetensors"
    checkpoint.save(again, loaded)
    assert again.read_bytes() == tiny_checkpoint.read_bytes()


def test_a_failing_save_leaves_the_old_file(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"old")

    def full(self: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    loaded = checkpoint.load(tiny_checkpoint)
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(FtError, match="No space left"):
        checkpoint.save(path, loaded)
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_damaged_files_are_refused_with_a_reason(tiny_checkpoint: Path, tmp_path: Path) -> None:
    data = tiny_checkpoint.read_bytes()
    tensors = safetensors.torch.load(data)
    path = tmp_path / "bad.safetensors"

    def refuse(content: bytes, message: str) -> None:
        path.write_bytes(content)
        with pytest.raises(FtError, match=message):
            checkpoint.load(path)

    refuse(b"", "not a readable safetensors file")
    refuse(data[: len(data) // 2], "not a readable safetensors file")
    refuse(safetensors.torch.save(tensors), "not a checkpoint of ft")
    refuse(safetensors.torch.save(tensors, {"ft": "{}"}), "not a checkpoint of ft")
    refuse(safetensors.torch.save(tensors, {"ft": "[]"}), "not a checkpoint of ft")
    refuse(safetensors.torch.save(tensors, {"ft": "[" * 100_000}), "not a checkpoint of ft")
    refuse(data.replace(b'{\\"licence\\": \\"MIT\\"}', b'[\\"licence\\", \\"MIT\\"]'), "not a checkpoint of ft")
    refuse(data.replace(b'\\"n_fft\\": 64', b'\\"n_fft\\": 66'), "32 features are not half of n_fft 66")
    refuse(safetensors.torch.save({k: t.to(torch.cfloat) for k, t in tensors.items()}, read(data)), "are complex64")
    future = '{"format": 99, "network": {}, "signal": {}}'
    refuse(safetensors.torch.save(tensors, {"ft": future}), "format 99, this version of ft reads 1")
    refuse(data.replace(b'\\"channels\\": 2', b'\\"channels\\": 4'), "do not fit together")
    with pytest.raises(FtError, match="no such file"):
        checkpoint.load(tmp_path / "missing.safetensors")


def read(data: bytes) -> dict[str, str]:
    """The metadata of a safetensors file."""
    header: dict[str, dict[str, str]] = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return header["__metadata__"]


def test_loading_a_pickle_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    torch.save({"a": torch.zeros(1)}, path)
    with pytest.raises(FtError, match="not a readable safetensors file"):
        checkpoint.load(path)

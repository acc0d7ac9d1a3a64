"""The exported file: the same network, describing itself, and nothing left behind when it is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

import exporters.onnx
from exporters import Parity
from ftcore import checkpoint
from ftcore.errors import FtError
from ftcore.runtime import OnnxModel
from tests.conftest import TINY, TINY_SIGNAL


def test_exported_network_is_the_same_for_other_batches_and_lengths(tiny_checkpoint: Path, tiny_model: Path) -> None:
    network = checkpoint.load(tiny_checkpoint).network
    model = OnnxModel(tiny_model)
    for batch, frames in ((1, 64), (1, 1), (5, 17), (2, 201)):
        x = np.random.default_rng(batch).standard_normal((batch, 4, 32, frames), np.float32)
        with torch.no_grad():
            expected = network.estimate(torch.from_numpy(x)).numpy()
        np.testing.assert_allclose(model.run(x), expected, rtol=1e-4, atol=1e-4)


def test_file_describes_itself(tiny_model: Path) -> None:
    info = OnnxModel(tiny_model).info
    assert (info.network, info.signal, info.precision) == (TINY, TINY_SIGNAL, "fp32")
    assert info.provenance == {"licence": "MIT"}


def test_file_is_one_and_names_no_path_of_this_machine(tiny_model: Path) -> None:
    model = onnx.load(tiny_model, load_external_data=False)
    assert all(not t.external_data for t in model.graph.initializer)
    here = Path(__file__).parents[1]
    data = tiny_model.read_bytes()
    for trace in (str(here), "site-packages", ".py", str(Path.home())):
        assert trace.encode() not in data, trace
    for dims in (v.type.tensor_type.shape.dim for v in (*model.graph.input, *model.graph.output)):
        assert dims[0].dim_param
        assert dims[3].dim_param


def test_fp16_is_half_as_large_and_close(tiny_checkpoint: Path, tiny_model: Path, tmp_path: Path) -> None:
    path = tmp_path / "half.onnx"
    report = exporters.onnx.exporter.export(checkpoint.load(tiny_checkpoint), path, precision="fp16")
    assert min(row.snr_db for row in report) >= 40
    assert {(row.batch, row.frames) for row in report} == {(1, 32), (2, 6), (3, 16)}
    x = np.random.default_rng(0).standard_normal((1, 4, 32, 20), np.float32)
    full, half = OnnxModel(tiny_model).run(x), OnnxModel(path).run(x)
    assert half.dtype == np.float32
    assert 1e-6 < np.abs(full - half).max() / np.abs(full).max() < 1e-2
    floats = [t for t in onnx.load(path).graph.initializer if t.data_type == onnx.TensorProto.FLOAT]
    assert sum(np.prod(t.dims) for t in floats) < 100  # the weights are not among them


def test_a_failing_export_leaves_no_file(
    tiny_checkpoint: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Wrong(OnnxModel):
        def run(self, x: np.ndarray) -> np.ndarray:
            return super().run(x) * np.float32(1.01)

    monkeypatch.setattr(exporters.onnx, "OnnxModel", Wrong)
    monkeypatch.setattr(exporters.onnx, "to_onnx", lambda *arguments: onnx.load(tiny_model))  # takes 12 seconds
    with pytest.raises(FtError, match="not the same as the original"):
        exporters.onnx.exporter.export(checkpoint.load(tiny_checkpoint), tmp_path / "x.onnx", precision="fp32")
    assert list(tmp_path.iterdir()) == []


def test_parity_bounds() -> None:
    exact = Parity(batch=1, frames=8, error=1e-6, snr_db=101.0, original_snr_db=140.0)
    rounding = Parity(batch=1, frames=8, error=1e-3, snr_db=55.0, original_snr_db=60.0)
    worse = Parity(batch=1, frames=8, error=1e-3, snr_db=53.0, original_snr_db=60.0)
    bad = Parity(batch=1, frames=8, error=1e-1, snr_db=39.0, original_snr_db=42.0)
    nan = Parity(batch=1, frames=8, error=np.nan, snr_db=np.nan, original_snr_db=np.nan)
    exporters.onnx.check([exact, rounding], "fp32")
    exporters.onnx.check([exact, rounding, worse], "fp16")
    for row, precision in ((worse, "fp32"), (bad, "fp16"), (nan, "fp32"), (nan, "fp16")):
        with pytest.raises(FtError):
            exporters.onnx.check([row], precision)  # type: ignore[arg-type]

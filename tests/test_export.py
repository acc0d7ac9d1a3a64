"""The exported file: the same network, describing itself, and nothing left behind when it is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir
import onnxruntime
import pytest
import torch

import exporters.onnx
from exporters import MusicSnr, Parity, rewriting
from ftcore import checkpoint
from ftcore.errors import FtError
from ftcore.runtime import OnnxModel
from tests.conftest import BARE, TINY, TINY_SIGNAL, untrained


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


@pytest.fixture
def exported_graph(tiny_model: Path) -> onnx.ModelProto:
    """In place of what `to_onnx` makes of the tiny network, which takes many seconds."""
    return onnx.load(tiny_model)


def test_fp16_is_half_as_large_and_close(tmp_path: Path) -> None:
    path, bare = tmp_path / "half.onnx", checkpoint.load(untrained(BARE, tmp_path / "bare.safetensors"))
    *parity, music = exporters.onnx.exporter.export(bare, path, precision="fp16")
    assert {(row.batch, row.frames) for row in parity if isinstance(row, Parity)} == {(1, 32), (2, 6), (3, 16)}
    assert isinstance(music, MusicSnr)
    assert 40 <= music.vocals_db < 100
    assert "instrumental" in str(music)
    x = np.random.default_rng(0).standard_normal((1, 4, 32, 20), np.float32)
    half = OnnxModel(path).run(x)
    with torch.no_grad():
        full = bare.network.estimate(torch.from_numpy(x)).numpy()
    assert half.dtype == np.float32
    assert 1e-6 < np.abs(full - half).max() / np.abs(full).max() < 1e-2
    floats = [t for t in onnx.load(path).graph.initializer if t.data_type == onnx.TensorProto.FLOAT]
    assert sum(np.prod(t.dims) for t in floats) < 100  # the weights are not among them


def test_int8_multiplies_in_int8_and_is_judged_on_music(
    tiny_checkpoint: Path, tmp_path: Path, exported_graph: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "small.onnx"
    loaded = checkpoint.load(tiny_checkpoint)
    monkeypatch.setattr(exporters.onnx, "to_onnx", lambda *arguments: exported_graph)
    monkeypatch.setattr(exporters.onnx, "MIN_SNR_DB", 10.0)
    music = exporters.onnx.exporter.export(loaded, path, precision="int8")[-1]
    assert isinstance(music, MusicSnr)
    assert 10 < min(music.vocals_db, music.instrumental_db) < 90
    assert OnnxModel(path).info.precision == "int8"
    assert sum(node.op_type == "MatMulInteger" for node in onnx.load(path).graph.node) > 5
    path.unlink()
    monkeypatch.setattr(exporters.onnx, "MIN_SNR_DB", 90.0)
    with pytest.raises(FtError, match=r"int8 is not enough .* [\d.]+ dB SNR against fp32 on music, and 90 dB"):
        exporters.onnx.exporter.export(loaded, path, precision="int8")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("shape", [(32, 8), (3, 32, 8)])
def test_weights_of_any_dimensions_run_in_int8(shape: tuple[int, ...]) -> None:
    """Their columns have scales of their own where that runs, and no two products exceed 16 bits."""
    random = np.random.default_rng(0)
    weight, x = random.standard_normal(shape, np.float32), random.standard_normal((2, 3, 5, 32), np.float32)
    sides = [
        onnx.helper.make_tensor_value_info(side, onnx.TensorProto.FLOAT, (2, 3, 5, size))
        for side, size in (("x", 32), ("y", 8))
    ]
    product = onnx.helper.make_node("MatMul", ["x", "w"], ["y"], name="product")
    graph = onnx.helper.make_graph([product], "g", sides[:1], sides[1:], [onnx.numpy_helper.from_array(weight, "w")])
    opsets = [onnx.helper.make_opsetid("", 20)]
    with exporters.onnx.quiet():
        model = rewriting.quantize(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=10))
    values = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    (name,) = [name for name, value in values.items() if value.shape == shape]
    assert values[name].dtype == np.int8
    assert 2 * 255 * np.abs(values[name].astype(int)).max() < 2**15
    assert max(value.size for other, value in values.items() if other != name) == (8 if len(shape) == 2 else 1)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (y,) = session.run(None, {"x": x})
    assert 0 < np.abs(y - x @ weight).max() < 0.03 * np.abs(y).max()


@pytest.mark.parametrize(("kernel", "size"), [((3, 1), 32), ((11, 11), 64), ((1, 1), 8), ((3, 5), 16)])
def test_convolutions_with_one_output_are_widened_and_the_same(kernel: tuple[int, int], size: int) -> None:
    random = np.random.default_rng(0)
    weight, bias = random.standard_normal((1, 3, *kernel), np.float32), np.ones(1, np.float32)
    x = random.standard_normal((2, 3, 7, size), np.float32)
    pads = [side // 2 for side in kernel] * 2
    node = onnx.helper.make_node("Conv", ["x", "w", "b"], ["y"], pads=pads, strides=[1, 1], group=1, name="narrow")
    sides = [
        onnx.helper.make_tensor_value_info(side, onnx.TensorProto.FLOAT, ("batch", channels, "frames", size))
        for side, channels in (("x", 3), ("y", 1))
    ]
    weights = [onnx.numpy_helper.from_array(weight, "w"), onnx.numpy_helper.from_array(bias, "b")]
    graph = onnx.helper.make_graph([node], "g", sides[:1], sides[1:], weights)
    narrow = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=10)
    model = onnx_ir.from_proto(narrow)
    rewriting.widen_convolutions(model)
    wide = onnx_ir.to_proto(model)
    (conv,) = (each for each in wide.graph.node if each.op_type == "Conv")
    (widened,) = (tensor for tensor in wide.graph.initializer if tensor.name == conv.input[1])
    assert widened.dims[0] == min(size, rewriting.BLOCK)
    expected, found = (
        onnxruntime.InferenceSession(each.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, {"x": x})[
            0
        ]
        for each in (narrow, wide)
    )
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_failing_export_leaves_no_file(
    tiny_checkpoint: Path, exported_graph: onnx.ModelProto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Wrong(OnnxModel):
        def run(self, x: np.ndarray) -> np.ndarray:
            return super().run(x) * np.float32(1.01)

    monkeypatch.setattr(exporters.onnx, "OnnxModel", Wrong)
    monkeypatch.setattr(exporters.onnx, "to_onnx", lambda *arguments: exported_graph)
    with pytest.raises(FtError, match="not the same as the original"):
        exporters.onnx.exporter.export(checkpoint.load(tiny_checkpoint), tmp_path / "x.onnx", precision="fp32")
    assert list(tmp_path.iterdir()) == []


def test_parity_bounds() -> None:
    exact = Parity(batch=1, frames=8, error=1e-6, snr_db=101.0, original_snr_db=140.0)
    rounding = Parity(batch=1, frames=8, error=1e-3, snr_db=55.0, original_snr_db=60.0)
    worse = Parity(batch=1, frames=8, error=1e-3, snr_db=53.0, original_snr_db=60.0)
    nan = Parity(batch=1, frames=8, error=np.nan, snr_db=np.nan, original_snr_db=np.nan)
    exporters.onnx.check([exact, rounding])
    for row in (worse, nan):
        with pytest.raises(FtError):
            exporters.onnx.check([row])

"""Exported models: what they say of themselves, and running them with onnxruntime."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from reprlib import repr as shown
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ftcore.config import SignalConfig, SpectralConfig, check_fit, network_config, parse_object
from ftcore.errors import FtError, Mendable

FORMAT = 1
"""Version of the metadata; a reader refuses versions it does not know."""

KEY = "ft"
"""Metadata key that holds the description as JSON."""

LARGEST = 1e15
"""Values that no network gives unless its file is damaged; they would overflow on their way to samples."""

WORKERS = 2
"""Windows that a CPU works on at once."""

INSTALL = "pip install 'frame-transformer[cpu]'"
INSTALL_GPU = "pip install 'frame-transformer[gpu]'"


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """Everything that separation needs to know of a model; it lives in the exported file."""

    network: SpectralConfig
    signal: SignalConfig
    precision: str = "fp32"
    provenance: dict[str, Any] = field(default_factory=dict)
    """Where the weights come from, and their licence."""

    def __post_init__(self) -> None:
        check_fit(self.network, self.signal)

    def to_json(self) -> str:
        """The metadata entry."""
        description = {
            "format": FORMAT,
            "network": self.network.to_dict(),
            "signal": self.signal.to_dict(),
            "stems": ["vocals", "instrumental"],
            "precision": self.precision,
            "provenance": self.provenance,
        }
        return json.dumps(description, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> ModelInfo:
        """The inverse of `to_json`. Raises FtError."""
        try:
            values = parse_object(text)
            if values["format"] != FORMAT:
                raise FtError(f"model format {shown(values['format'])}, this version of ft reads {FORMAT}")
            if not isinstance(values["precision"], str) or not isinstance(values["provenance"], dict):
                raise ValueError("precision or provenance of another type")
            return cls(
                network=network_config(values["network"]),
                signal=SignalConfig.from_dict(values["signal"]),
                precision=values["precision"],
                provenance=values["provenance"],
            )
        except (KeyError, ValueError) as error:
            raise FtError(f"its description is damaged ({error})") from None


class Model(Protocol):
    """A network ready to run, whatever runs it."""

    @property
    def info(self) -> ModelInfo:
        """What it says of itself."""
        ...

    @property
    def provider(self) -> str:
        """What runs it, in onnxruntime's words."""
        ...

    @property
    def workers(self) -> int:
        """How many calls of `run` at once keep the device busiest."""
        ...

    def run(self, x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """[B, spectral channels, F, T] -> the same shape: instrumental or mask, see `SpectralNetwork.estimate`."""
        ...


class OutOfMemoryError(FtError):
    """The device has too little memory for this batch and window."""


class OnnxModel:
    """An exported model in an onnxruntime session."""

    def __init__(self, path: Path, device: str = "auto") -> None:
        """Open `path` on `device`: auto, cpu, cuda or cuda:N.

        On a CPU two runs share the processors: most operations of a window are too small to be split among threads.
        Raises FtError for a file that is not a model of ft, for a missing onnxruntime, and when cuda
        was asked for and does not work.
        """
        ort = import_onnxruntime()
        if not path.is_file():
            raise FtError(f"{path}: no such model file")
        options = ort.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = max(processors() // WORKERS, 1)
        options.enable_mem_pattern = False  # half the peak memory at equal speed
        try:
            with preloaded(ort, device) as reason:
                self._session = ort.InferenceSession(path, options, providers=providers(ort, device))
        except Exception as error:  # onnxruntime raises its own types for each kind of damage
            raise FtError(f"{path}: not a model that onnxruntime can open ({first_line(error)})") from None
        self.provider = self._session.get_providers()[0]
        on_cpu = self.provider == "CPUExecutionProvider"
        self.workers = min(WORKERS, processors()) if on_cpu else 1
        if device.startswith("cuda") and self.provider != "CUDAExecutionProvider":
            hint = "" if "CUDAExecutionProvider" in ort.get_available_providers() else f"; {INSTALL_GPU}"
            raise FtError(f"device {device}: CUDA does not work here ({reason() or 'no CUDA provider'}){hint}")
        try:
            text = self._session.get_modelmeta().custom_metadata_map.get(KEY)
            self._inputs = [value.name for value in self._session.get_inputs()]
        except UnicodeDecodeError:
            raise FtError(f"{path}: its description is damaged (no UTF-8)") from None
        if text is None:
            raise FtError(f"{path}: an ONNX file, but not a model of ft (no description inside)")
        try:
            self.info = ModelInfo.from_json(text)
        except FtError as error:
            raise FtError(f"{path}: {error}") from None
        self._path = path

    def run(self, x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """[B, spectral channels, F, T] -> the same shape. Raises FtError when onnxruntime fails."""
        try:
            (y,) = self._session.run(None, dict.fromkeys(self._inputs, x))
        except Exception as error:
            kind = OutOfMemoryError if re.search(r"out of memory|allocate memory|bad_alloc", str(error)) else FtError
            raise kind(f"{self._path}: inference failed ({first_line(error)})") from None
        y = np.asarray(y)
        if y.shape != x.shape or y.dtype != np.float32 or not np.abs(y).max() < LARGEST:  # or NaN
            raise FtError(f"{self._path}: inference failed (it gives no spectrogram: the file is damaged)")
        return y


def processors() -> int:
    """How many this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def import_onnxruntime() -> Any:
    """The module. Raises Mendable saying what to install when it is missing or installed twice."""
    if {"onnxruntime", "onnxruntime-gpu"} <= installed_runtimes():
        raise Mendable(
            "onnxruntime and onnxruntime-gpu are both installed and overwrite each other",
            f"pip uninstall -y onnxruntime onnxruntime-gpu, then {INSTALL} (or [gpu])",
        )
    try:
        import onnxruntime
    except ImportError as error:
        raise Mendable(f"onnxruntime cannot be imported ({first_line(error)})", f"{INSTALL} (or [gpu])") from None
    return onnxruntime


def installed_runtimes() -> set[str]:
    """Which onnxruntime distributions are installed."""
    found = set()
    for name in ("onnxruntime", "onnxruntime-gpu"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            metadata.distribution(name)
            found.add(name)
    return found


def providers(ort: Any, device: str) -> list[Any]:
    """onnxruntime's providers for a device name, best first. Raises FtError for an unknown name."""
    kind, _, index = device.partition(":")
    if kind not in ("auto", "cpu", "cuda") or (index and (kind != "cuda" or not index.isdigit())):
        raise FtError(f"unknown device {device!r}; known: auto, cpu, cuda, cuda:N")
    available = ort.get_available_providers()
    chosen: list[Any] = ["CPUExecutionProvider"]
    if kind != "cpu" and "CUDAExecutionProvider" in available:
        settings = {"device_id": int(index or 0), "cudnn_conv_algo_search": "HEURISTIC"}
        chosen.insert(0, ("CUDAExecutionProvider", settings))
    return chosen


@contextlib.contextmanager
def preloaded(ort: Any, device: str) -> Any:
    """Load CUDA's libraries where the GPU build wants them; yields a function giving what failed, if any.

    onnxruntime prints its reasons instead of raising them, and then silently runs on the CPU.
    """
    said = io.StringIO()
    if device != "cpu" and "CUDAExecutionProvider" in ort.get_available_providers():
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            ort.preload_dlls(directory="")
    yield lambda: said.getvalue().strip().replace("\n", " ")[:300]


def first_line(error: BaseException) -> str:
    """The first line of an error's text, shortened; it may quote a damaged file."""
    text = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
    return "".join(c if c.isprintable() else "?" for c in text)

"""A checkpoint as a separation model, run by torch: the twin of `ftcore.runtime.OnnxModel`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from ftcore import checkpoint
from ftcore.errors import FtError
from ftcore.runtime import ModelInfo


class TorchModel:
    """A trained network on `device` (cpu, cuda or cuda:N). Raises FtError when it cannot be loaded there."""

    def __init__(self, path: Path, device: str = "cpu") -> None:
        loaded = checkpoint.load(path)
        try:
            self.network = loaded.network.to(device)
        except (RuntimeError, AssertionError) as error:
            raise FtError(f"device {device}: torch cannot use it ({str(error).splitlines()[0]})") from None
        self.device = device
        self.info = ModelInfo(network=loaded.network.config, signal=loaded.signal, provenance=loaded.provenance)
        self.provider = f"torch-{device}"
        self.workers = 1

    def run(self, x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """[B, spectral channels, F, T] -> the same shape: instrumental or mask, see `SpectralNetwork.estimate`."""
        with torch.inference_mode():
            y: npt.NDArray[np.float32] = self.network.estimate(torch.from_numpy(x).to(self.device)).cpu().numpy()
        return y

"""A checkpoint as a separation model, run by torch: the twin of `ftcore.runtime.OnnxModel`."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from ftcore.checkpoint import Checkpoint
from ftcore.errors import FtError
from ftcore.runtime import ModelInfo


class TorchModel:
    """A trained network on `device` (cpu, cuda or cuda:N). Raises FtError when it cannot go there."""

    def __init__(self, checkpoint: Checkpoint, device: str = "cpu") -> None:
        try:
            self.network = checkpoint.network.to(device)
        except (RuntimeError, AssertionError) as error:
            raise FtError(f"device {device}: torch cannot use it ({str(error).splitlines()[0]})") from None
        self.device = device
        self.info = ModelInfo(
            network=checkpoint.network.config, signal=checkpoint.signal, provenance=checkpoint.provenance
        )
        self.provider = f"torch-{device}"
        self.workers = 1

    def run(self, x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """[B, spectral channels, F, T] -> the same shape: instrumental or mask, see `SpectralNetwork.estimate`."""
        with torch.inference_mode():
            y: npt.NDArray[np.float32] = self.network.estimate(torch.from_numpy(x).to(self.device)).cpu().numpy()
        return y

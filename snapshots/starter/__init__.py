"""The bundled model; `README.md` beside this file is its card."""

from pathlib import Path

from snapshots.manifest import Manifest

HERE = Path(__file__).parent

MANIFEST = Manifest(
    name="starter",
    path=HERE / "starter.onnx",
    sha256="83e007ad1c0a7dd14656d03fee50d6bc4bd04e9c7dd665e1d63c23d0f3345265",
    summary="small, fast, a first version that removes only part of the voice; the default",
    licence="CC-BY-SA-4.0",
    card=HERE / "README.md",
)

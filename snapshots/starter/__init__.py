"""The bundled model; `README.md` beside this file is its card."""

from pathlib import Path

from snapshots.manifest import Manifest

HERE = Path(__file__).parent

MANIFEST = Manifest(
    name="starter",
    path=HERE / "starter.onnx",
    sha256="e7f7082820c64d85b260193669e1be6ebfe0cf00a43cb1287bb77b2bf6425ad8",
    summary="small and fast; takes a clear voice away, with audible rests",
    licence="CC-BY-SA-4.0",
    card=HERE / "README.md",
)

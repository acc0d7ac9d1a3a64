"""The bundled model; `README.md` beside this file is its card."""

from pathlib import Path

from snapshots.manifest import Manifest

HERE = Path(__file__).parent

MANIFEST = Manifest(
    name="starter",
    path=HERE / "starter.onnx",
    sha256="ffb17b8a9aecc0cfab5bc6369e104c7ed51dd05206ee0e765dcc366081be4f0b",
    summary="small and fast; takes a clear voice away, with audible rests",
    licence="CC-BY-SA-4.0",
    card=HERE / "README.md",
)

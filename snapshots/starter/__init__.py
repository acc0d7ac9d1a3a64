"""The bundled model; `README.md` beside this file is its card."""

from pathlib import Path

from snapshots.manifest import Manifest

HERE = Path(__file__).parent

MANIFEST = Manifest(
    name="starter",
    path=HERE / "starter.onnx",
    sha256="d98c86cdc65602ddb32dce9618ae9ab0828a6f7de86e12799dfac557a1292995",
    summary="small and fast; takes a clear voice away, with audible rests",
    licence="CC-BY-SA-4.0",
    card=HERE / "README.md",
)

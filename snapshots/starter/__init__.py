"""The bundled model; `README.md` beside this file is its card."""

from pathlib import Path

from snapshots.manifest import Manifest

HERE = Path(__file__).parent

MANIFEST = Manifest(
    name="starter",
    path=HERE / "starter.onnx",
    sha256="8397259a2ee27c4b6924bdb9af18753b501ec46eaa0ce3b700729c377d5c6b4b",
    summary="small and fast; takes a clear voice away, with audible rests",
    licence="CC-BY-SA-4.0",
    card=HERE / "README.md",
)

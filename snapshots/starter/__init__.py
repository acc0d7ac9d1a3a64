"""The bundled model; `README.md` beside this file is its card."""

from pathlib import Path

from snapshots.manifest import Manifest

HERE = Path(__file__).parent

MANIFEST = Manifest(
    name="starter",
    path=HERE / "starter.onnx",
    sha256="b01caf574fe172eb778ff280f4ffb784472660829a05bba3db991a45bd56993f",
    summary="small and fast; takes a clear voice away, with audible rests",
    licence="CC-BY-SA-4.0",
    card=HERE / "README.md",
)

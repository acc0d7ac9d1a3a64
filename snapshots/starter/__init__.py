"""The bundled model; `README.md` beside this file is its card."""

from pathlib import Path

from snapshots.manifest import Manifest

HERE = Path(__file__).parent

MANIFEST = Manifest(
    name="starter",
    path=HERE / "starter.onnx",
    sha256="eaa2ed4f02f25aadd2933b982ca6ea285c7556a9fc94502eec57bf0c5696fc28",
    summary="small and fast; takes most of the voice away, with audible rests",
    licence="CC-BY-SA-4.0",
    card=HERE / "README.md",
)

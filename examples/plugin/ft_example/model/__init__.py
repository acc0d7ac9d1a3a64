"""`-m example`: a model that comes with this package; `README.md` beside this file is its card.

A package that ships a model of its own has the file here, `example.onnx` as `ft export onnx` writes it, with
its card and its licence, names it `path=HERE / "example.onnx"`, and writes out the hash that `sha256sum example.onnx`
prints. So that this example need not carry megabytes, its file is that of `starter`, which every ft has.
"""

from pathlib import Path

from snapshots.manifest import Manifest
from snapshots.starter import MANIFEST as STARTER

HERE = Path(__file__).parent

MANIFEST = Manifest(
    name="example",  # as in the entry point
    path=STARTER.path,
    sha256=STARTER.sha256,
    summary="starter under another name, to show how a package adds a model",
    licence=STARTER.licence,  # of the weights, not of this package
    card=HERE / "README.md",
)

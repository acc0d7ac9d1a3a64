"""ARCHITECTURE.md is about this code: its paths, its import rules, its numbers."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.test_cli import ROOT

TEXT = (ROOT / "ARCHITECTURE.md").read_text()

FOLDERS = ("", "ftcli", "ftcore", "ftcore/nn", "ftcore/training", "exporters", "snapshots", "snapshots/starter")
"""Where a file may lie that is named without its folder."""


def test_every_path_exists() -> None:
    named = {word for word in re.findall(r"`([\w./*]+)`", TEXT) if re.search(r"/|\.(py|md|toml)$", word)}
    assert len(named) > 40
    there = {word for word in named if any(any((ROOT / folder).glob(word.rstrip("/"))) for folder in FOLDERS)}
    assert named - there == {"models/NAME", "tests/test_X.py"}  # which stand for others


def test_format_numbers() -> None:
    found = re.findall(r"`(\w+(?:/\w+)*)\.py`[^|\n]*\| `([A-Z]+)` (\d+) \|", TEXT)
    assert len(found) == 6
    for path, name, number in found:
        assert getattr(importlib.import_module(path.replace("/", ".")), name) == int(number), path


LIBRARY = ("ftcore",)
RULES = {  # folder: what of ours it may import, at the head of a module; its own is always allowed
    "ftcore/nn": ("ftcore.config", "ftcore.errors"),
    "ftcore/data": LIBRARY,
    "ftcore/training": LIBRARY,
    "ftcore": (),
    "exporters": LIBRARY,
    "snapshots": LIBRARY,
    "ftcli": (*LIBRARY, "exporters", "snapshots"),
}
NEVER = {  # not even inside functions
    "ftcore/nn": ("ftcore.data", "ftcore.training", "snapshots", "exporters", "ftcli"),
    "ftcore/data": ("ftcore.nn", "ftcore.training", "snapshots", "exporters", "ftcli"),
    "ftcore/training": ("snapshots", "exporters", "ftcli"),
    "ftcore": ("exporters", "ftcli"),
    "exporters": ("ftcore.data", "ftcore.training", "snapshots", "ftcli"),
    "snapshots": ("ftcore.data", "ftcore.training", "exporters", "ftcli"),
    "ftcli": (),
}


def imports(body: list[ast.stmt], top: bool = True) -> Iterator[tuple[str, bool]]:
    """(module of ours, whether at the head) for each import of a module, those for type checkers left out."""
    for node in body:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                exists = any((ROOT / f"{whole.replace('.', '/')}{end}").exists() for end in (".py", "/__init__.py"))
                yield (whole if exists else node.module), top
        elif isinstance(node, ast.Import):
            yield from ((alias.name, top) for alias in node.names)
        else:
            inner = [child for child in ast.iter_child_nodes(node) if isinstance(child, (ast.stmt, ast.ExceptHandler))]
            lazy = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
            yield from imports(inner, top and not lazy)  # type: ignore[arg-type]


def below(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


@pytest.mark.parametrize("folder", RULES)
def test_imports(folder: str) -> None:
    own = folder.replace("/", ".")
    files = (ROOT / folder).glob("*.py" if folder == "ftcore" else "**/*.py")
    seen = 0
    for file in files:
        for module, top in imports(ast.parse(file.read_text()).body):
            if module.split(".")[0] not in ("ftcore", "ftcli", "exporters", "snapshots"):
                continue
            seen += 1
            assert not below(module, NEVER[folder]), f"{file}: {module}"
            assert not top or below(module, (own, *RULES[folder])), f"{file}: {module}"
    assert seen


def test_the_separation_side_does_without_the_torch_side() -> None:
    torch_side = ("ftcore.nn", "ftcore.data", "ftcore.training", "ftcore.checkpoint", "ftcore.torch_runtime", "torch")
    for file in (ROOT / "ftcore").glob("*.py"):
        if file.stem not in ("checkpoint", "torch_runtime"):
            for module, _ in imports(ast.parse(file.read_text()).body):
                assert not below(module, torch_side), f"{file}: {module}"


def test_the_search_for_imports_finds_them(tmp_path: Path) -> None:
    code = """
import ftcli.app
from ftcore import audio, FtError
if TYPE_CHECKING:
    import snapshots
try:
    import torch.nn
except ImportError:
    import exporters
class A:
    def f(self):
        with x:
            from ftcore.nn import network
"""
    assert list(imports(ast.parse(code).body)) == [
        ("ftcli.app", True),
        ("ftcore.audio", True),
        ("ftcore", True),
        ("torch.nn", True),
        ("exporters", True),
        ("ftcore.nn.network", False),
    ]

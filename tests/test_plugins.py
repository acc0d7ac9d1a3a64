"""What installed packages add to ft: the example as a user installs it, and plugins that are broken."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

from ftcore import Separator, checkpoint, plugins
from tests.test_cli import ROOT, ft, walk

GROUPS = ("ft.commands", "ft.exporters", "ft.models")


@pytest.fixture(scope="session")
def example(shared: Path) -> Path:
    """Where `examples/plugin` is installed. pip builds in the source, so it gets a copy."""
    target, source = shared / "example", shared / "example-source"
    with FileLock(shared / "example.lock"):
        if not target.exists():
            leave = shutil.ignore_patterns("build", "*.egg-info", "__pycache__")
            shutil.copytree(ROOT / "examples" / "plugin", source, ignore=leave)
            offline = ("--isolated", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check")
            pip = [sys.executable, "-m", "pip", "install", "-q", *offline, "--target", str(target), str(source)]
            done = subprocess.run(pip, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
    return target


def run(example: Path, folder: Path, *args: str | Path) -> subprocess.CompletedProcess[str]:
    """The real command line in a process and a folder of its own, with the example installed."""
    path = os.pathsep.join(map(str, (example, ROOT)))
    command = [sys.executable, "-W", "error", "-m", "ftcli", *map(str, args)]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=folder, env={**os.environ, "PYTHONPATH": path}, check=False
    )


def test_the_example_as_its_documentation_goes_through_it(example: Path, song: Path, tiny_checkpoint: Path) -> None:
    folder = song.parent
    (folder / "RUN").mkdir()
    shutil.copy(tiny_checkpoint, folder / "RUN" / "best.safetensors")
    commands = walk("docs/plugins.md")
    assert len(commands) == 5
    said = []
    for line in commands:
        done = run(example, folder, *shlex.split(line, comments=True)[1:])
        assert done.returncode == 0, done.stderr
        said.append(done.stdout)
    for entry in ("karaoke  (ft-example, ft_example.karaoke:app)", "npz  (ft-example,", "example  (ft-example,"):
        assert entry in said[0]
    assert "BROKEN" not in said[0]

    expected = Separator().separate_file(song, folder / "expected")
    karaoke = (folder / "karaoke.wav").read_bytes()
    assert karaoke == expected.stems["instrumental"].read_bytes()
    for path in expected.stems.values():
        assert (folder / "stems" / path.name).read_bytes() == path.read_bytes()
    assert f"card: {example / 'ft_example' / 'model' / 'README.md'}" in said[3]
    assert (example / "ft_example" / "model" / "README.md").is_file()

    trained = checkpoint.load(tiny_checkpoint)
    with np.load(folder / "weights.npz") as arrays:
        description = json.loads(str(arrays["ft"]))
        assert description["network"]["features"] == trained.network.config.features
        assert description["provenance"] == {"licence": "MIT"}
        weights = trained.network.state_dict()
        assert set(arrays) == {"ft", *weights}
        for name, weight in weights.items():
            np.testing.assert_array_equal(arrays[name], weight.numpy())


def test_errors_of_the_example_are_lines_like_ours(example: Path, song: Path, tiny_checkpoint: Path) -> None:
    folder = song.parent
    before = song.read_bytes()
    for args, code, message in (
        (("karaoke", song, "-o", "song.wav"), 1, "exists already"),
        (("karaoke", song, "-o", "song.xyz"), 2, "the suffix must be one of wav"),
        (("karaoke", song, "-o", "none/song.flac"), 1, "no such folder"),
        (("karaoke", "none.wav", "-o", "new.flac"), 1, "none.wav"),
        (("export", "npz", tiny_checkpoint, "-o", "none/weights.npz"), 1, "no such folder"),
        (("export", "npz", tiny_checkpoint, "-o", "new.npz", "--precision", "int8"), 2, "npz knows fp32 and fp16"),
    ):
        done = run(example, folder, *args)
        assert done.returncode == code, done.stderr
        assert done.stderr.startswith("ft: ")
        assert done.stderr.count("\n") == 1
        assert message in done.stderr
    assert song.read_bytes() == before
    assert not list(folder.glob(".ft-*"))


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, package: str, entries: dict[str, dict[str, str]]) -> None:
    """What pip leaves of a package: its entry points (group -> name -> value). Its modules are to lie in `folder`."""
    info = folder / f"{package}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    sections = [
        "\n".join((f"[{group}]", *(f"{k} = {v}" for k, v in values.items()))) for group, values in entries.items()
    ]
    (info / "entry_points.txt").write_text("\n".join(sections) + "\n")
    monkeypatch.syspath_prepend(str(folder))


BROKEN = {
    "raises": ("raise RuntimeError('out of order')", "RuntimeError: out of order"),
    "raises_more": ("class Odd(BaseException): pass\nraise Odd", "Odd: no reason given"),
    "refuses": ("from ftcore import FtError\nraise FtError('needs a key')", "broken: needs a key"),
    "exits": ("import sys\nsys.exit(3)", "SystemExit: 3"),
    "typo": ("def (:", "SyntaxError: invalid syntax"),
    "needs": ("import no_such_library", "ModuleNotFoundError: No module named 'no_such_library'"),
    "lacks": ("", "AttributeError: module 'broken_lacks' has no attribute 'entry'"),
    "other": ("entry = 7", "broken_other:entry is not a"),
    "absent": (None, "ModuleNotFoundError: No module named 'broken_absent'"),
}
"""Name -> source of a module whose `entry` is the plugin, and what is said of it; in every group."""

ALMOST = {
    "ft.commands": ("import typer\nentry = typer.Typer()", "RuntimeError: Could not get a command"),
    "ft.exporters": ("from exporters.onnx import OnnxExporter as entry", "is not an instance of an exporters.Exporter"),
    "ft.models": (
        "from snapshots.manifest import Manifest\n"
        "entry = Manifest(name='m', path='m.onnx', sha256='0', summary='', licence='MIT')",
        "model m: 'm.onnx' is no pathlib.Path",
    ),
}
"""Likewise, what nearly is what its group wants."""


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, str]]:
    """An installed package with every kind of broken entry in every group; (group -> name -> what is said)."""
    folder = tmp_path / "broken"
    folder.mkdir()
    entries: dict[str, dict[str, str]] = {group: {} for group in GROUPS}
    said: dict[str, dict[str, str]] = {group: {} for group in GROUPS}
    for group in GROUPS:
        for name, (source, message) in {**BROKEN, "almost": ALMOST[group]}.items():
            module = f"broken_{name}" + (f"_{group.removeprefix('ft.')}" if name == "almost" else "")
            if source is not None:
                (folder / f"{module}.py").write_text(source)
            entries[group][name] = f"{module}:entry"
            said[group][name] = message
    install(folder, monkeypatch, "ft-broken", entries)
    return said


def test_broken_plugins_are_named_and_harm_nothing_else(
    broken: dict[str, dict[str, str]], song: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ft("--help")
    listed = capsys.readouterr().out
    assert listed.count("From the package ft-broken.") == len(broken["ft.commands"])
    assert "Split songs into vocals and instrumental." in listed

    ft("models", "list", code=1)
    output = capsys.readouterr()
    assert "starter" in output.out
    lines = output.err.splitlines()
    assert len(lines) == len(broken["ft.models"])
    for name, message in broken["ft.models"].items():
        (line,) = [line for line in lines if line.startswith(f"ft: plugin {name!r} of ft-broken is broken: ")]
        assert message in line

    ft("separate", song, "-m", "starter", "-o", song.parent / "out", "-q")
    assert len(list((song.parent / "out").iterdir())) == 2


def test_the_list_of_plugins_says_what_is_broken(
    broken: dict[str, dict[str, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    ft("plugins", code=1)
    lines = [line for line in capsys.readouterr().out.splitlines() if "ft-broken" in line]
    expected = [(name, message) for values in broken.values() for name, message in sorted(values.items())]
    for line, (name, message) in zip(lines, expected, strict=True):
        assert line.startswith(f"  {name}  (ft-broken, broken_")
        assert f"BROKEN: plugin {name!r} of ft-broken is broken: " in line
        assert message in line


@pytest.mark.parametrize("name", [*BROKEN, "almost"])
def test_using_a_broken_plugin(
    name: str,
    broken: dict[str, dict[str, str]],
    song: Path,
    tiny_checkpoint: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for group, args in {
        "ft.commands": (name,),
        "ft.exporters": ("export", name, tiny_checkpoint, "-o", song.parent / "x.bin"),
        "ft.models": ("separate", song, "-m", name, "-o", song.parent / "out"),
    }.items():
        ft(*args, code=1)
        said = capsys.readouterr().err
        assert said.startswith(f"ft: plugin {name!r} of ft-broken is broken: ")
        assert broken[group][name] in said
        assert said.count("\n") == 1
    assert not (song.parent / "x.bin").exists()


LATE = """
import sys
import typer
from pathlib import Path
from ftcore import FtError
app = typer.Typer()

@app.command()
def command(what: str) -> int:
    if what == "bug":
        raise ValueError("a wrong turn")
    if what == "mistake":
        raise FtError("your file is of the wrong kind")
    if what == "exit":
        sys.exit(5)
    if what == "say":
        typer.echo("said by a plugin")
    return 3 if what == "status" else 0

class Exporter:
    suffix = ".bin"
    def export(self, checkpoint, path, *, precision):
        if precision == "fp16":
            raise ZeroDivisionError("by no one")
        return []

exporter = Exporter()
"""


def test_what_plugins_do_when_they_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Their bugs are theirs; errors and statuses that they mean are passed on."""
    (tmp_path / "late_plugin.py").write_text(LATE)
    entries = {"ft.commands": {"late": "late_plugin:app"}, "ft.exporters": {"late": "late_plugin:exporter"}}
    install(tmp_path, monkeypatch, "ft-late", entries)
    export = ("export", "late", tiny_checkpoint, "-o", tmp_path / "x.bin")
    for args, code, out, err in (
        (("late", "say"), 0, "said by a plugin\n", ""),
        (("late", "status"), 3, "", ""),
        (("late", "exit"), 5, "", ""),
        (("late", "mistake"), 1, "", "ft: your file is of the wrong kind\n"),
        (("late", "bug"), 1, "", "ft: plugin 'late' of ft-late is broken: ValueError: a wrong turn\n"),
        (
            (*export, "--precision", "fp16"),
            1,
            "",
            "ft: plugin 'late' of ft-late is broken: ZeroDivisionError: by no one\n",
        ),
    ):
        ft(*args, code=code)
        assert capsys.readouterr() == (out, err)
    ft(*export, code=1)  # says that all is well, and has written nothing
    assert "plugin 'late' of ft-late is broken: FileNotFoundError" in capsys.readouterr().err
    ft("late", code=2)
    assert "Missing argument" in capsys.readouterr().err


def test_ctrl_c_while_a_plugin_is_imported_ends_ft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "slow_plugin.py").write_text("raise KeyboardInterrupt")
    install(tmp_path, monkeypatch, "ft-slow", {"ft.commands": {"slow": "slow_plugin:app"}})
    ft("slow", code=130)


def test_plugins_cannot_take_the_names_of_what_comes_with_ft(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs = {"ft.commands": {"separate": "m:x"}, "ft.exporters": {"onnx": "m:x"}, "ft.models": {"starter": "m:x"}}
    install(tmp_path, monkeypatch, "ft-rude", theirs)
    for group, values in theirs.items():
        for name in values:
            assert plugins.is_ours(plugins.discover(group)[name])
    ft("models", "list", "-q")
    assert capsys.readouterr() == ("starter\n", "")

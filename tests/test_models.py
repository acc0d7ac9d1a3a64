"""The user's own models: added, shown, removed, and what is said when they are not what they were."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from ftcore.errors import FtError
from snapshots import adding, registry, starter
from snapshots.manifest import sha256
from tests.test_cli import ft

STARTER = starter.MANIFEST.path


@pytest.fixture
def models() -> Path:
    """Where the user's models are."""
    return registry.cache_folder() / "models"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """An exported model that the user has somewhere."""
    path = tmp_path / "My Model.onnx"
    shutil.copyfile(STARTER, path)
    return path


def test_a_model_is_added_shown_used_and_removed(
    file: Path, models: Path, song: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.with_suffix(".md").write_text("# Card\n\nMade of \x1b[31mred\x1b[0m voices: \u6b4c.\n", encoding="utf-8")
    ft("models", "add", file, "--sha256", starter.MANIFEST.sha256.upper())
    assert "-m My-Model" in capsys.readouterr().out
    file.unlink()
    assert sorted(p.name for p in (models / "My-Model").iterdir()) == ["README.md", "manifest.json", "model.onnx"]
    ft("models", "list")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("(CC-BY-SA-4.0, 13.8 MB, installed with frame-transformer, the default)")
    assert lines[2] == "My-Model  added from My Model.onnx (not stated in the file, 13.8 MB, your own)"
    ft("models", "show", "My-Model")
    said = capsys.readouterr().out
    for part in (str(models / "My-Model" / "model.onnx"), "your own", f"{sha256(STARTER)}, and the file has it"):
        assert part in said
    for part in (
        "44100 Hz, n_fft 4096, hop 2048",
        "crop 144 frames (6.7 s), pad 8 (0.4 s) on either side, --stereo auto, ",
        "(--tta), --postfilter",
        "fp32",
        "step 4600",
    ):
        assert part in said
    assert said.endswith("# Card\n\nMade of \ufffd[31mred\ufffd[0m voices: \u6b4c.\n")
    ft("separate", song, "-m", "My-Model", "-o", song.parent / "out", "-q")
    ft("models", "remove", "My-Model")
    assert list(models.iterdir()) == []
    ft("separate", song, "-m", "My-Model", "-o", song.parent / "out", "-q", code=1)


def test_the_card_can_be_named(file: Path, models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "README.md").write_text("of all models")
    ft("models", "add", file, "--name", "without")
    ft("models", "add", file, "--name", "with", "--card", tmp_path / "README.md")
    assert (registry.find_manifest("with").card, registry.find_manifest("without").card) == (
        models / "with" / "README.md",
        None,
    )


def test_names_that_are_taken(file: Path, models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ft("models", "add", file, "--name", "starter", code=2)
    assert "installed model" in capsys.readouterr().err
    ft("models", "add", file, "--name", "mine")
    before = (models / "mine" / "model.onnx").stat().st_ino
    ft("models", "add", file, "--name", "mine", code=1)
    assert "--overwrite" in capsys.readouterr().err
    assert (models / "mine" / "model.onnx").stat().st_ino == before
    ft("models", "add", file, "--name", "mine", "--overwrite")
    assert (models / "mine" / "model.onnx").stat().st_ino != before
    assert [p.name for p in models.iterdir()] == ["mine"]


def of_another_program(path: Path) -> None:
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [value], [_renamed(value, "y")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9), path)


def _renamed(value: onnx.ValueInfoProto, name: str) -> onnx.ValueInfoProto:
    copy = onnx.ValueInfoProto()
    copy.CopyFrom(value)
    copy.name = name
    return copy


def with_weights_elsewhere(path: Path) -> None:
    onnx.save_model(onnx.load(STARTER), path, save_as_external_data=True, location="weights")


def with_a_card_that_is_no_text(path: Path) -> None:
    shutil.copyfile(STARTER, path)
    path.with_suffix(".md").write_bytes(b"\xff\xfe\x00")


REFUSED: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "missing": ("m.onnx", lambda path: None, "no such model file"),
    "folder": ("m.onnx", lambda path: path.mkdir(), "no such model file"),
    "noise": ("m.onnx", lambda path: path.write_bytes(b"noise"), "not a model that onnxruntime can open"),
    "another program's": ("m.onnx", of_another_program, "not a model of ft"),
    "weights elsewhere": ("m.onnx", with_weights_elsewhere, "export it as one file"),
    "card": ("m.onnx", with_a_card_that_is_no_text, "model card cannot be read (it is not UTF-8 text)"),
    "checkpoint": ("m.safetensors", lambda path: None, "ft export onnx"),
    "pickle": ("m.pth", lambda path: None, "ft snapshots import"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_files_that_are_refused_leave_nothing(
    kind: str, models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, make, message = REFUSED[kind]
    make(tmp_path / name)
    ft("models", "add", tmp_path / name, code=1)
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert said.err.startswith(f"ft: {tmp_path / 'm.'}")
    assert message in said.err
    assert not models.exists() or list(models.iterdir()) == []


def test_the_given_hash_must_be_the_files(file: Path, models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ft("models", "add", file, "--sha256", "ab" * 32, code=1)
    assert f"has SHA-256 {starter.MANIFEST.sha256}, expected {'ab' * 32}" in capsys.readouterr().err
    ft("models", "add", file, "--sha256", "abc", code=2)
    assert "64 hexadecimal digits" in capsys.readouterr().err
    assert not models.exists()


def test_a_file_that_changes_meanwhile_is_not_registered(
    file: Path, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = shutil.copyfile
    monkeypatch.setattr(shutil, "copyfile", lambda source, to: (file.write_bytes(b"other"), copy(source, to)))
    with pytest.raises(FtError, match="changed while it was read"):
        adding.add_model(file)
    assert list(models.iterdir()) == []


def test_only_ones_own_models_are_removed(
    file: Path, models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ft("models", "add", file, "--name", "mine")
    for name, message in (
        ("starter", "'starter' is installed with frame-transformer; only your own can be removed"),
        ("mime", "no model 'mime'; did you mean 'mine'? known: starter, mine"),
        ("../models/mine", "no model '../models/mine'"),
        ("..", "no model '..'"),
    ):
        ft("models", "remove", name, code=2)
        assert message in capsys.readouterr().err
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", denied)
        ft("models", "remove", "mine", code=1)
    assert "cannot be removed (Permission denied)" in capsys.readouterr().err
    assert registry.find_model("mine").is_file()
    assert [p.name for p in models.iterdir()] == ["mine"]
    (models / "mine" / "manifest.json").write_text("{")
    for command in (("list",), ("show", "mine")):
        ft("models", *command, code=1)
        assert "is damaged (JSONDecodeError): ft models remove mine" in capsys.readouterr().err
    with pytest.raises(FtError, match="is damaged"):
        registry.find_model("mine")
    ft("models", "remove", "mine")
    assert list(models.iterdir()) == []


def denied(*_: object) -> None:
    raise PermissionError(13, "Permission denied")


def test_changed_files_are_named_with_both_hashes_and_what_mends_them(
    file: Path, models: Path, song: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ft("models", "add", file, "--name", "mine")
    (models / "mine" / "model.onnx").write_bytes(b"x")
    changed = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
    monkeypatch.setattr(starter, "MANIFEST", dataclasses.replace(starter.MANIFEST, sha256="0" * 64))
    capsys.readouterr()
    for name, hashes, fix in (
        ("mine", f"SHA-256 {changed}, expected {sha256(STARTER)}", "ft models remove mine, then add or import it"),
        ("starter", f"SHA-256 {sha256(STARTER)}, expected {'0' * 64}", "pip install --force-reinstall --no-deps frame"),
    ):
        for command in (("separate", song, "-o", song.parent, "-m", name), ("models", "show", name)):
            ft(*command, code=1)
            said = capsys.readouterr()
            assert said.err.count("\n") == 1
            assert hashes in said.err
            assert fix in said.err
        assert "expected, which the file does not have" in said.out
    ft("models", "remove", "mine")
    ft("models", "add", file, "--name", "mine")
    ft("models", "show", "mine")


def test_close_names_are_suggested(song: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, hint in (("Startr", "; did you mean 'starter'? known: starter,"), ("xyz", "'xyz'; known: starter,")):
        ft("separate", song, "-m", name, code=1)
        assert hint in capsys.readouterr().err
    ft("models", "show", "startre", code=2)
    assert "did you mean 'starter'?" in capsys.readouterr().err

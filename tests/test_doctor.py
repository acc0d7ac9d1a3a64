"""Every failure that `ft doctor` knows, provoked."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import onnxruntime
import platformdirs
import pytest

from ftcli.commands import doctor
from ftcore import runtime
from snapshots import registry, starter
from tests.test_cli import ft

Capture = pytest.CaptureFixture[str]
Patch = pytest.MonkeyPatch


def diagnosed(capsys: Capture, check: str, code: int = 0) -> list[dict[str, Any]]:
    """What `ft doctor --json` finds in one check."""
    ft("doctor", "--json", code=code)
    found = json.loads(capsys.readouterr().out)
    assert (code == 1) == any(finding["state"] == "FAIL" for finding in found)
    return [finding for finding in found if finding["check"] == check]


def distribution(folder: Path, name: str, entries: str = "") -> None:
    """The traces of an installed package."""
    info = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(entries)


def test_text_and_json_say_the_same(capsys: Capture) -> None:
    ft("doctor")
    lines = capsys.readouterr().out.splitlines()
    ft("doctor", "--json")
    found = json.loads(capsys.readouterr().out)
    assert {"runtime", "models", "separation", "cache", "disk"} <= {finding["check"] for finding in found}
    expected = []
    for finding in found:
        assert list(finding) == ["check", "state", "text", "fix"]
        assert (finding["state"] == "ok") == (finding["fix"] is None)
        if finding["check"] != "disk":  # which others fill meanwhile
            expected.append(f"{finding['state']:>4}  {finding['text']}")
            expected += [f"      to mend it: {finding['fix']}"] if finding["fix"] else []
    assert [line for line in lines if "disk:" not in line] == expected


def test_both_runtimes_installed(tmp_path: Path, capsys: Capture, monkeypatch: Patch) -> None:
    distribution(tmp_path, "onnxruntime")
    distribution(tmp_path, "onnxruntime-gpu")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(doctor, "nvidia_gpu", lambda: False)
    (finding,) = diagnosed(capsys, "runtime", code=1)
    assert "both installed" in finding["text"]
    uninstall = "pip uninstall -y onnxruntime onnxruntime-gpu"
    assert finding["fix"] == f"{uninstall} && pip install 'frame-transformer[cpu]'"
    monkeypatch.setattr(doctor, "nvidia_gpu", lambda: True)
    assert diagnosed(capsys, "runtime", code=1)[0]["fix"] == f"{uninstall} && pip install 'frame-transformer[gpu]'"
    assert diagnosed(capsys, "separation", code=1) == []


@pytest.mark.parametrize(
    ("installed", "fix"), [(set(), ""), ({"onnxruntime"}, "pip uninstall -y onnxruntime && ")], ids=["no", "broken"]
)
def test_no_runtime(installed: set[str], fix: str, capsys: Capture, monkeypatch: Patch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.setattr(runtime, "installed_runtimes", lambda: installed)
    monkeypatch.setattr(doctor, "nvidia_gpu", lambda: False)
    (finding,) = diagnosed(capsys, "runtime", code=1)
    assert "onnxruntime cannot be imported (" in finding["text"]
    assert finding["fix"] == f"{fix}pip install 'frame-transformer[cpu]'"


def test_a_gpu_that_the_cpu_package_does_not_use(tmp_path: Path, capsys: Capture, monkeypatch: Patch) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    (finding,) = diagnosed(capsys, "gpu")
    assert finding["state"] == "note"
    assert finding["fix"] == "pip uninstall -y onnxruntime && pip install 'frame-transformer[gpu]'"


class GpuBuild(SimpleNamespace):
    """onnxruntime-gpu as it behaves: it promises CUDA, prints what it cannot load, and opens a session all the same."""

    SessionOptions = onnxruntime.SessionOptions
    __version__ = "1.28.0"
    works: bool

    def get_available_providers(self) -> list[str]:
        return ["CUDAExecutionProvider", "CPUExecutionProvider"]

    def preload_dlls(self, directory: str) -> None:
        if not self.works:
            sys.stdout.write("Failed to load libcublasLt.so.13\n")

    def InferenceSession(self, path: Path, options: Any, providers: list[Any]) -> Any:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        got = self.get_available_providers() if self.works else ["CPUExecutionProvider"]
        return SimpleNamespace(
            get_providers=lambda: got,
            get_modelmeta=session.get_modelmeta,
            get_inputs=session.get_inputs,
            run=session.run,
        )


@pytest.mark.parametrize(
    ("gpu", "works", "state", "text", "fix"),
    [
        (True, True, "ok", "CUDA works", None),
        (True, False, "FAIL", "Failed to load libcublasLt.so.13", "pip install 'frame-transformer[gpu]'"),
        (
            False,
            False,
            "note",
            "no NVIDIA GPU",
            "pip uninstall -y onnxruntime-gpu && pip install 'frame-transformer[cpu]'",
        ),
    ],
    ids=["works", "no libraries", "no GPU"],
)
def test_the_gpu_package(
    gpu: bool, works: bool, state: str, text: str, fix: str | None, capsys: Capture, monkeypatch: Patch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", GpuBuild(works=works))
    monkeypatch.setattr(runtime, "installed_runtimes", lambda: {"onnxruntime-gpu"})
    monkeypatch.setattr(doctor, "nvidia_gpu", lambda: gpu)
    (finding,) = diagnosed(capsys, "gpu", code=int(state == "FAIL"))
    assert (finding["state"], finding["fix"]) == (state, fix)
    assert text in finding["text"]


def test_a_cache_that_cannot_be_written(tmp_path: Path, capsys: Capture, monkeypatch: Patch) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("FT_CACHE_DIR", str(tmp_path / "file" / "cache"))
    (finding,) = diagnosed(capsys, "cache", code=1)
    assert f"{tmp_path / 'file' / 'cache'} cannot be written (Not a directory)" in finding["text"]
    assert finding["fix"].startswith("unset FT_CACHE_DIR")
    monkeypatch.setattr(platformdirs, "user_cache_dir", lambda *_, **__: str(tmp_path / "file" / "ft"))
    monkeypatch.delenv("FT_CACHE_DIR")
    (finding,) = diagnosed(capsys, "cache", code=1)
    assert finding["fix"].startswith("export FT_CACHE_DIR=")


def test_checking_the_cache_makes_nothing(tmp_path: Path, capsys: Capture) -> None:
    diagnosed(capsys, "cache")
    assert list(tmp_path.iterdir()) == []


def test_models_with_a_wrong_hash_or_a_damaged_manifest(capsys: Capture, monkeypatch: Patch) -> None:
    for name in ("changed", "damaged"):
        with registry.registering(name, summary="", licence="") as folder:
            (folder / registry.MODEL).write_bytes(b"model")
    (registry.models_folder() / "changed" / registry.MODEL).write_bytes(b"other")
    (registry.models_folder() / "damaged" / registry.MANIFEST).write_text("[]")
    monkeypatch.setattr(starter, "MANIFEST", dataclasses.replace(starter.MANIFEST, sha256="0" * 64))
    found = {finding["text"].split()[1]: finding for finding in diagnosed(capsys, "models", code=1)}
    assert all(finding["state"] == "FAIL" for finding in found.values())
    assert {name: finding["fix"] for name, finding in found.items()} == {
        "starter:": "pip install --force-reinstall --no-deps frame-transformer",
        "changed:": "ft models remove changed, then add or import it again",
        "damaged:": "ft models remove damaged",
    }
    assert f"expected {'0' * 64}" in found["starter:"]["text"]


def test_no_pyav(capsys: Capture, monkeypatch: Patch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    (finding,) = diagnosed(capsys, "m4a")
    assert (finding["state"], finding["fix"]) == ("note", "pip install 'frame-transformer[m4a]'")


def test_no_soundfile(capsys: Capture, monkeypatch: Patch) -> None:
    monkeypatch.setitem(sys.modules, "soundfile", None)
    (finding,) = diagnosed(capsys, "audio", code=1)
    assert finding["fix"] == "pip install --force-reinstall soundfile soxr"


def test_what_killed_imports_left(capsys: Capture) -> None:
    folders = [registry.models_folder() / name for name in (".ft-old one", ".ft-new")]
    for folder in folders:
        folder.mkdir(parents=True)
    long_ago = time.time() - 2 * doctor.DAY
    os.utime(folders[0], (long_ago, long_ago))
    (finding,) = diagnosed(capsys, "leftovers")
    assert (finding["state"], finding["fix"]) == ("note", f"rm -r '{folders[0]}'")


def test_little_disk_space(capsys: Capture, monkeypatch: Patch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=2 * 10**8))
    found = diagnosed(capsys, "disk")
    assert [finding["state"] for finding in found] == ["note", "note"]
    assert "0.2 GB free" in found[0]["text"]
    assert [finding["fix"].split("=")[0] for finding in found] == ["export FT_CACHE_DIR", "export TMPDIR"]


def test_broken_plugins_are_named_once_each(tmp_path: Path, capsys: Capture, monkeypatch: Patch) -> None:
    distribution(tmp_path, "ft-bad", "[ft.commands]\nworse = ft_bad:app\n[ft.models]\nlost = ft_bad:m\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    for check, name in (("extensions", "worse"), ("models", "lost")):
        found = diagnosed(capsys, check, code=1)[-1:]
        assert [finding["fix"] for finding in found] == ["pip install --upgrade ft-bad, or pip uninstall ft-bad"]
        assert f"plugin '{name}' of ft-bad is broken" in found[0]["text"]

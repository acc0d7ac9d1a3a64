"""TAB in bash, zsh and fish: command names and options, asked for as the shells' own scripts ask."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_cli import ROOT, ft, python
from tests.test_plugins import install

BASH = shutil.which("bash")


def asked(shell: str, line: str, **more: str) -> subprocess.CompletedProcess[str]:
    """What ft answers where the cursor stands behind `line`. Bash gives it in words, the others as it is."""
    words = {"COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
    request = words if shell == "bash" else {"_TYPER_COMPLETE_ARGS": line}
    environment = {**os.environ, "_FT_COMPLETE": f"complete_{shell}", **request, **more}
    command = [sys.executable, "-W", "error", "-m", "ftcli"]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, check=False)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("ft sep", ["separate"]),
        ("ft --ver", ["--version"]),
        ("ft separate --ste", ["--stereo", "--stem"]),
        ("ft separate song.wav --stem ", ["all", "vocals", "instrumental"]),
        ("ft models l", ["list"]),
        ("ft snapshots show --sh", ["--shapes"]),
        ("ft --debug train --res", ["--resume"]),
        ("ft separate s", []),  # none of ours: the shell offers files
    ],
)
def test_bash(line: str, expected: list[str]) -> None:
    answer = asked("bash", line)
    assert answer.stdout.split() == expected
    assert (answer.returncode, answer.stderr) == (0, "")


def test_zsh_and_fish() -> None:
    answer = asked("zsh", "ft separate --qui")
    assert answer.stdout == """_arguments '*: :(("--quiet":"Print nothing but errors."))'\n"""
    assert asked("zsh", "ft separate s").stdout == "_files\n"
    assert asked("zsh", "ft sep").stdout.startswith("""_arguments '*: :(("separate":"Split songs into""")
    for line, offers in (("ft separate --qui", 0), ("ft separate s", 1)):
        assert asked("fish", line, _TYPER_COMPLETE_FISH_ACTION="is-args").returncode == offers
    answer = asked("fish", "ft separate --qui", _TYPER_COMPLETE_FISH_ACTION="get-args")
    assert answer.stdout == "--quiet\tPrint nothing but errors.\n"


@pytest.mark.skipif(BASH is None, reason="needs bash")
def test_the_installed_script_works_in_bash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    ft("--install-completion", "bash")
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "ft"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m ftcli "$@"\n')
    program.chmod(0o755)
    script = """
        PATH="$HOME/bin:$PATH"; source "$HOME/.bashrc"
        COMP_WORDS=(ft separate --s); COMP_CWORD=2
        $(complete -p ft | sed 's/.*-F \\([^ ]*\\) .*/\\1/') ft
        echo "${COMPREPLY[@]}"
    """
    assert BASH is not None
    done = subprocess.run([BASH, "-c", script], capture_output=True, text=True, cwd=ROOT, check=False)
    assert (done.stdout, done.stderr) == ("--stereo --stem --start --skip-existing\n", "")


def test_scripts_of_named_shells(capsys: pytest.CaptureFixture[str]) -> None:
    for shell, mark in (("bash", "complete -o default -F"), ("zsh", "#compdef ft"), ("fish", "complete --command ft")):
        ft("--show-completion", shell)
        script = capsys.readouterr().out
        assert mark in script
        assert f"_FT_COMPLETE=complete_{shell}" in script
    ft("--show-completion", "tcsh", code=2)
    assert capsys.readouterr().err == (
        "ft: --show-completion: no shell 'tcsh'; known: bash, zsh, fish, powershell, pwsh\n"
    )


def test_completion_is_offered_by_ft_and_not_by_each_command(capsys: pytest.CaptureFixture[str]) -> None:
    ft("--help")
    assert "--install-completion" in capsys.readouterr().out
    ft("separate", "--help")
    said = capsys.readouterr().out
    assert "--stem" in said
    assert "completion" not in said


def test_lines_that_cannot_be_completed_stay_undisturbed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A message in the middle of somebody's line would be worse than no help."""
    install(tmp_path, monkeypatch, "ft-absent", {"ft.commands": {"absent": "no_such_module:app"}})
    monkeypatch.setenv("_FT_COMPLETE", "complete_bash")
    for line in ("ft absent --", "ft no-such-command --"):
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", "2")
        ft()
        assert capsys.readouterr().err == ""
    monkeypatch.setenv("COMP_WORDS", "ft abs")
    monkeypatch.setenv("COMP_CWORD", "1")
    ft()
    assert capsys.readouterr().out == "absent\n"


def test_completing_imports_nothing_heavy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_FT_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "ft separate --qui")
    monkeypatch.setenv("COMP_CWORD", "2")
    code = """
import sys
sys.argv = ["ft"]
from ftcli.app import main
try:
    main()
finally:
    print(sorted({"torch", "onnx", "onnxruntime", "soundfile", "soxr", "numpy", "rich"} & set(sys.modules)))
"""
    result = python(code)
    assert result.stdout == "--quiet\n[]\n", result.stderr

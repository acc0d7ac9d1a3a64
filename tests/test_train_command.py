"""`ft train` as a user runs it, at tiny size."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.conftest import noise
from tests.test_cli import ft

RATE = 8000


@pytest.fixture
def arguments(tmp_path: Path) -> list[str | Path]:
    """Noise as music, a hum as voice, and a pair of both."""
    hum = np.sin(np.arange(3 * RATE) / 4)[:, None].repeat(2, 1) * 0.2
    music = noise(3 * RATE, 2).T
    for kind, wave in (("music", music), ("voices", hum)):
        (tmp_path / kind).mkdir()
        soundfile.write(tmp_path / kind / "x.wav", wave, RATE)
    track = tmp_path / "pairs" / "one"
    track.mkdir(parents=True)
    soundfile.write(track / "mixture.wav", music + hum, RATE, subtype="FLOAT")
    soundfile.write(track / "instrumental.wav", music, RATE, subtype="FLOAT")
    folders = ("--instrumental", tmp_path / "music", "--vocal", tmp_path / "voices")
    return ["train", *folders, "--validation", tmp_path / "pairs", "--workers", "0"]


def test_run_writes_what_the_next_commands_take(
    arguments: list[str | Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    ft(*arguments, "--out", run, "--preset", "tiny")
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert len(rows) == 40
    assert rows[-1]["scores"]["vocals_usdr_gain"] > 1.0
    assert json.loads((run / "config.json").read_text())["steps"] == 40
    ft("evaluate", tmp_path / "pairs", "-m", run / "best.safetensors", "--json", tmp_path / "x.json")
    total = json.loads((tmp_path / "x.json").read_text())["rows"][str(run / "best.safetensors")]["total"]
    assert total["vocals"]["uSDR"] == pytest.approx(max(r["scores"].get("vocals_usdr", -99) for r in rows), abs=0.5)

    capsys.readouterr()
    ft(*arguments, "--out", run, code=2)
    assert "holds a run already" in capsys.readouterr().err
    ft(*arguments, "--out", run, "--resume", "--seed", "3", code=2)
    assert "--resume keeps the run's settings; leave out --seed" in capsys.readouterr().err
    ft(*arguments, "--out", tmp_path / "new", "--preset", "huge", code=2)
    assert "no preset 'huge'; known: starter, tiny" in capsys.readouterr().err
    ft(*arguments, "--out", tmp_path / "new", "--resume", code=1)
    assert "no run to resume" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_saves_and_resume_finishes(arguments: list[str | Path], tmp_path: Path, number: int) -> None:
    run = tmp_path / "run"
    command = [sys.executable, "-m", "ftcli", *map(str, arguments), "--out", str(run)]
    process = subprocess.Popen([*command, "--preset", "tiny", "--steps", "100000"], stderr=subprocess.PIPE, text=True)
    while not (run / "state.safetensors").exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    last = said.splitlines()[-1]
    assert "--resume goes on" in last
    step = int(last.split("after step ")[1].split(";")[0])
    assert len((run / "metrics.jsonl").read_text().splitlines()) == step
    assert "Traceback" not in said

"""`ft pretrain`, `ft train`, `ft fgan` as a user runs them, at tiny size."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from ftcore import checkpoint
from ftcore.config import NetworkConfig
from tests.conftest import noise
from tests.test_cli import ROOT, ft, python, walk

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
    return [*folders, "--validation", tmp_path / "pairs", "--workers", "0", "--device", "cpu"]


def rows(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def falls(run: Path, name: str = "loss") -> bool:
    values = [row[name] if name in row else row["metrics"][name] for row in rows(run)]
    return bool(np.mean(values[-8:]) < np.mean(values[:8]))


def test_the_whole_way(arguments: list[str | Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The walk of docs/training.md as it stands there, at tiny size: each stage takes what the one before has made."""
    for given, named in (("music", "MUSIC"), ("voices", "VOICES"), ("pairs", "PAIRS")):
        (tmp_path / given).rename(tmp_path / named)
    commands = walk("docs/training.md")
    assert len(commands) == 10
    (tmp_path / "song.wav").write_bytes((tmp_path / "PAIRS" / "one" / "mixture.wav").read_bytes())
    monkeypatch.chdir(tmp_path)
    for line in commands:
        ft(*shlex.split(line.replace("--preset starter", "--preset tiny").replace("44100", "8000"))[1:])

    one, two, three = (tmp_path / name for name in ("one", "two", "three"))
    assert all(falls(run) for run in (one, two))
    two_gain, three_gain = (rows(run)[-1]["scores"]["vocals_usdr_gain"] for run in (two, three))
    assert three_gain > two_gain > 1.0  # the third stage's loss, which begins low, differs more from item to item
    assert falls(three, "discriminator")
    assert rows(one)[-1]["scores"].keys() == {"minus_l1"}
    stages = [checkpoint.load(run / "best.safetensors").provenance["stage"] for run in (one, two, three)]
    assert stages == ["pretrain", "supervised", "fgan"]
    scores = json.loads((tmp_path / "scores.json").read_text())["rows"]["three/best.safetensors"]["total"]
    best = max(row["scores"].get("vocals_usdr", -99) for row in rows(three))
    assert scores["vocals"]["uSDR"] == pytest.approx(best, abs=1.0)  # in windows, not in one piece
    assert (tmp_path / "preview" / "item-3.png").exists()
    vocals, _ = soundfile.read(tmp_path / "stems" / "song_vocals.wav")
    song, _ = soundfile.read(tmp_path / "song.wav")
    assert 0.01 < np.mean(vocals**2) / np.mean(song**2) < 0.99


def test_training_as_the_readme_does_it(
    arguments: list[str | Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The block of README.md, with a network and a length that a test can wait for."""
    for given, named in (("music", "MUSIC"), ("voices", "VOICES"), ("pairs", "PAIRS")):
        (tmp_path / given).rename(tmp_path / named)
    (tmp_path / "song.wav").write_bytes((tmp_path / "PAIRS" / "one" / "mixture.wav").read_bytes())
    monkeypatch.chdir(tmp_path)
    commands = walk("README.md", "train")
    assert len(commands) == 3
    for line in commands:
        ft(
            *shlex.split(
                line.replace("ft train", "ft train --preset tiny --set network.attention_maps=[0,0] --steps 20")
            )[1:]
        )
    assert (tmp_path / "song_vocals.wav").exists()


def test_prepared_libraries_train_where_nothing_decodes(arguments: list[str | Path], tmp_path: Path) -> None:
    for kind in ("music", "voices"):
        ft("data", "prepare", tmp_path / kind, "-o", tmp_path / f"{kind}-cache", "--rate", "8000")
    code = "import sys; sys.modules['soundfile'] = None; from ftcli.app import main; main()"

    def train(kind: str) -> tuple[int, str]:
        folders = "--instrumental", tmp_path / "music-cache", "--vocal", tmp_path / f"voices{kind}"
        run = "--preset", "tiny", "--steps", "2", "--device", "cpu", "--out", tmp_path / f"run{kind}"
        done = python(code, "train", *folders, *run)
        return done.returncode, done.stderr

    assert train("-cache") == (0, "")
    assert len(rows(tmp_path / "run-cache")) == 2
    code_plain, said = train("")
    assert code_plain == 1
    assert said.splitlines()[-1] == "ft: decoding needs soundfile; or prepare the library on another machine"


def test_container_installs_as_the_readme_says() -> None:
    readme, recipe = (ROOT / "README.md").read_text(), (ROOT / "Dockerfile").read_text()
    installs = [line.removeprefix("RUN ") for line in recipe.splitlines() if line.startswith("RUN pip install '")]
    assert installs == ["pip install '.[cpu]'", "pip install '.[train]'"]
    assert all(command in readme for command in installs)


def test_what_is_refused(arguments: list[str | Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, new = tmp_path / "run", tmp_path / "new"
    ft("train", *arguments, "--out", run, "--preset", "tiny", "--steps", "6", "--checkpointing")
    assert json.loads((run / "config.json").read_text())["checkpointing"]

    def refused(code: int, message: str, *more: str | Path) -> None:
        capsys.readouterr()
        ft(*more[:1], *arguments, *more[1:], code=code)
        said = capsys.readouterr().err
        assert message in said
        assert len(said.splitlines()) == 1

    refused(2, "holds a run already", "train", "--out", run)
    refused(2, "keeps the run's settings; leave out --seed", "train", "--out", run, "--resume", "--seed", "3")
    refused(2, "settings; leave out --checkpointing", "train", "--out", run, "--resume", "--checkpointing")
    refused(2, "holds a run of stage supervised, not pretrain", "pretrain", "--out", run, "--resume")
    refused(2, "no preset 'huge'; known: starter, tiny", "train", "--out", new, "--preset", "huge")
    refused(1, "no run to resume", "train", "--out", new, "--resume")
    refused(2, "fgan starts from a supervised checkpoint: --init", "fgan", "--out", new, "--preset", "tiny")
    refused(1, "not a readable safetensors file", "train", "--out", new, "--init", tmp_path / "music" / "x.wav")
    refused(2, "no device 'tpu'", "train", "--out", new, "--device", "tpu")
    refused(1, "it has no lr", "train", "--out", new, "--preset", "tiny", "--set", "lr=1")
    refused(1, "no such folder", "train", "--out", new, "--preset", "tiny", "--vocal", tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    refused(1, "no audio files", "train", "--out", new, "--preset", "tiny", "--vocal", tmp_path / "empty")
    refused(1, "prepared at 8000 Hz, needed are 44100 Hz", "train", "--out", new, "--vocal", run / "cache" / "vocal")
    init, features = run / "last.safetensors", "network.features=128"
    refused(2, "--init brings its own network", "train", "--out", new, "--init", init, "--set", features)
    (tmp_path / "settings.toml").write_text("steps = ")
    refused(1, "settings.toml: Invalid value", "train", "--out", new, "--config", tmp_path / "settings.toml")
    assert not (new / "metrics.jsonl").exists()


def test_a_run_may_change_the_dropout_of_the_network_that_it_starts_from(
    arguments: list[str | Path], tmp_path: Path
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    ft("train", *arguments, "--preset", "tiny", "--steps", "2", "--out", one)
    changes = ("--set", "network.dropout=0.2", "--set", "network.decoder_dropout=[0.3, 0.4]")
    init: list[str | Path] = ["--init", one / "last.safetensors", *changes]
    ft("train", *arguments, "--preset", "tiny", "--steps", "2", "--out", two, *init)
    config = checkpoint.load(two / "last.safetensors").network.config
    assert isinstance(config, NetworkConfig)
    assert (config.dropout, config.decoder_dropout) == (0.2, (0.3, 0.4))


def test_poor_libraries(arguments: list[str | Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One file, shorter than a crop; silent vocals; a file that is no audio: said, and trained with what there is."""
    for name in ("short", "silent"):
        (tmp_path / name).mkdir()
    soundfile.write(tmp_path / "short" / "a.wav", noise(200, 2).T, RATE)
    soundfile.write(tmp_path / "silent" / "b.wav", np.zeros((RATE, 2)), RATE)
    (tmp_path / "short" / "notes.wav").write_text("not audio")
    folders: list[str | Path] = ["--instrumental", tmp_path / "short", "--vocal", tmp_path / "silent", "--workers", "0"]
    ft("train", *folders, "--out", tmp_path / "run", "--preset", "tiny", "--steps", "6")
    assert "left out" in (said := capsys.readouterr().err)
    assert "notes.wav" in said
    assert len(rows(tmp_path / "run")) == 6

    cache = tmp_path / "run" / "cache" / "instrumental"
    (track,) = cache.glob("*.npy")
    track.write_bytes(track.read_bytes()[:50])
    folders[1], folders[3] = cache, tmp_path / "voices"
    ft("train", *folders, "--out", tmp_path / "damaged", "--preset", "tiny", "--steps", "6", code=1)
    assert f"{track}: damaged" in capsys.readouterr().err


def started(*arguments: str | Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "ftcli", *map(str, arguments)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    while not path.exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_saves(arguments: list[str | Path], tmp_path: Path, number: int) -> None:
    run = tmp_path / "run"
    process = started("train", *arguments, "--out", run, "--preset", "tiny", "--steps", "100000")
    wait_for(run / "state.safetensors", process)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    last = said.splitlines()[-1]
    assert "--resume goes on" in last
    step = int(last.split("after step ")[1].split(";")[0])
    assert len(rows(run)) == step
    assert "Traceback" not in said


def test_kill_leaves_readable_checkpoints(arguments: list[str | Path], tmp_path: Path) -> None:
    """SIGKILL at any moment, here while every step saves; what is found then is whole, and goes on."""
    run = tmp_path / "run"
    settings = ("--preset", "tiny", "--steps", "4000", "--set", "save_every=1", "--set", "validate_every=100000")
    rng = np.random.default_rng(0)
    goes_on: tuple[str, ...] = settings
    for _ in range(3):
        before = len(rows(run)) if (run / "metrics.jsonl").exists() else 0
        process = started("train", *arguments, "--out", run, *goes_on)
        wait_for(run / "state.safetensors", process)
        while len((run / "metrics.jsonl").read_text().splitlines()) < before + 3:
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.3))
        process.kill()
        process.communicate()
        assert checkpoint.load(run / "last.safetensors").provenance["step"] > before
        goes_on = ("--resume",)


def torchrun(arguments: list[str | Path]) -> subprocess.Popen[str]:
    launch = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "ftcli", "train")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, *launch, *map(str, arguments)], stderr=subprocess.PIPE, text=True, env=environment
    )


def test_two_ranks_train_stop_and_resume(arguments: list[str | Path], tmp_path: Path) -> None:
    """Two processes (gloo): as one with twice the batch; stopped and resumed: as undisturbed, bit for bit."""
    settings = [*arguments, "--preset", "tiny", "--steps", "20", "--set", "save_every=8"]
    phases = "phases=[{until=20,frames=64,batch=%d}]"
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    processes = [torchrun([*settings, "--out", out, "--set", phases % 1]) for out in (whole, parts)]
    wait_for(parts / "state.safetensors", processes[1])
    processes[1].terminate()
    said = [process.communicate(timeout=120)[1] for process in processes]
    assert processes[0].returncode == 0, said[0]
    assert (parts / "state.safetensors").exists()
    if processes[1].returncode:  # else it was done before the signal came
        assert len(rows(parts)) < 20
        resumed = torchrun([*arguments, "--out", parts, "--resume"])
        errors = resumed.communicate(timeout=120)[1]
        assert resumed.returncode == 0, errors
    assert (whole / "last.safetensors").read_bytes() == (parts / "last.safetensors").read_bytes()

    alone = tmp_path / "alone"
    ft("train", *settings, "--out", alone, "--set", phases % 2)
    for a, b in zip(rows(alone), rows(whole), strict=True):
        assert a["items"] == b["items"] == 2
    weights = [checkpoint.load(out / "last.safetensors").network.state_dict() for out in (alone, whole)]
    for name, value in weights[0].items():
        assert np.allclose(value, weights[1][name], atol=2e-2), name

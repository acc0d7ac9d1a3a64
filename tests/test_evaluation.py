"""Scores: each metric by its definition, the reference rows, and the command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ftcore.errors import FtError
from ftcore.evaluation import (
    REFERENCES,
    Pair,
    csdr,
    evaluate,
    find_pairs,
    load_pair,
    score,
    si_sdr,
    total,
    usdr,
)
from tests.conftest import noise
from tests.test_cli import ft


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """Two tracks of 2 s at 8 kHz: one with its instrumental, one with its vocals beside the mixture."""
    for i, stem in enumerate(("instrumental", "vocals")):
        track = tmp_path / "pairs" / f"track{i}"
        track.mkdir(parents=True)
        music, voice = noise(16000, 2, seed=i), 0.5 * noise(16000, 1, seed=9 + i)[[0, 0]]
        soundfile.write(track / "mixture.wav", (music + voice).T, 8000, subtype="FLOAT")
        soundfile.write(track / f"{stem}.wav", (music if stem == "instrumental" else voice).T, 8000, subtype="FLOAT")
    return tmp_path / "pairs"


def test_usdr_is_the_definition() -> None:
    s = noise(1000, 2)
    assert usdr(s, 0.9 * s) == pytest.approx(20.0, abs=1e-3)
    assert usdr(s, np.zeros_like(s)) == pytest.approx(0.0, abs=1e-3)
    assert usdr(s, s + noise(1000, 2, seed=1)) == pytest.approx(0.0, abs=0.3)


def test_si_sdr_does_not_hear_a_gain() -> None:
    s = noise(4000, 2)
    noisy = (s + 0.1 * noise(4000, 2, seed=1)).astype(np.float32)
    faint = (noisy / 3).astype(np.float32)
    assert si_sdr(s, faint) == pytest.approx(si_sdr(s, noisy), abs=1e-3)
    assert si_sdr(s, noisy) == pytest.approx(20.0, abs=0.5)
    assert usdr(s, faint) < 4.0


def test_csdr_agrees_with_museval() -> None:
    """The figures are those of museval 0.4.1, `evaluate(..., win=rate, hop=rate, mode="v4")`, nanmedian."""
    rng = np.random.default_rng(5)
    rate = 2000
    level = np.repeat([0.1, 0.0, 0.3, 0.02, 0.2, 0.1], [rate] * 5 + [700])
    s = rng.standard_normal((2, 5 * rate + 700)) * level
    n = rng.standard_normal(s.shape) * 0.05
    e = 0.8 * s + n
    e[:, 3 * rate : 4 * rate] = 0
    m = rng.standard_normal(s.shape) * 0.1
    found = csdr({"vocals": s, "instrumental": m}, {"vocals": e, "instrumental": m + 0.3 * n}, rate)
    assert found["vocals"] == pytest.approx(9.92841601, abs=1e-6)
    assert found["instrumental"] == pytest.approx(16.37660348, abs=1e-6)


def test_csdr_of_silence_is_no_value() -> None:
    silence = np.zeros((2, 300), np.float32)
    pair = Pair(name="x", rate=100, mixture=noise(300, 2), instrumental=noise(300, 2))
    scores = score(pair, {"vocals": silence, "instrumental": pair.mixture})
    assert np.isnan(scores["vocals"]["cSDR"])
    assert np.isnan(total([scores])["vocals"]["cSDR"])


def test_pairs_are_found_and_read(pairs: Path) -> None:
    first, second = (load_pair(track) for track in find_pairs(pairs))
    for pair, seed in ((first, 0), (second, 1)):
        np.testing.assert_allclose(pair.instrumental, noise(16000, 2, seed=seed), atol=1e-6)
        np.testing.assert_allclose(sum(pair.stems.values()), pair.mixture, atol=1e-6)
    (pairs / "notes").mkdir()
    assert len(find_pairs(pairs)) == 2


def test_bad_pairs_say_what_is_wrong(pairs: Path, tmp_path: Path) -> None:
    with pytest.raises(FtError, match="no such folder"):
        find_pairs(tmp_path / "no")
    with pytest.raises(FtError, match=r"no folders with mixture"):
        find_pairs(pairs / "track0")
    soundfile.write(pairs / "track0" / "instrumental.wav", noise(100, 2).T, 8000)
    with pytest.raises(FtError, match=r"instrumental.wav: 8000 Hz, 2 channels, 100 samples; the mixture"):
        load_pair(pairs / "track0")
    (pairs / "track1" / "vocals.wav").unlink()
    with pytest.raises(FtError, match=r"track1: no vocals"):
        load_pair(pairs / "track1")


def test_reference_rows_stand_in_order(pairs: Path) -> None:
    """The voice is in the centre at -3 dB: nothing < centre cancel; the oracle is best for the instrumental."""
    rows = {name: row["total"] for name, row in evaluate(find_pairs(pairs), REFERENCES).items()}
    mixture, centre, oracle = (rows[name] for name in ("mixture itself", "centre cancel", "oracle ratio mask"))
    power = [
        np.mean(np.square(load_pair(t).stems["vocals"])) / np.mean(np.square(noise(16000, 2)))
        for t in find_pairs(pairs)
    ]
    assert mixture["vocals"]["uSDR"] == pytest.approx(np.mean(10 * np.log10(power)), abs=0.2)
    assert centre["vocals"]["uSDR"] > mixture["vocals"]["uSDR"] + 2.0
    assert oracle["vocals"]["uSDR"] > mixture["vocals"]["uSDR"] + 5.0
    assert oracle["instrumental"]["uSDR"] > max(row["instrumental"]["uSDR"] for row in (mixture, centre))


def test_total_is_the_median_of_csdr_and_the_mean_of_the_others() -> None:
    rows = [
        {stem: {"cSDR": value, "uSDR": value, "SI-SDR": value} for stem in ("vocals", "instrumental")}
        for value in (1.0, 2.0, 9.0)
    ]
    assert total(rows)["vocals"] == {"cSDR": 2.0, "uSDR": 4.0, "SI-SDR": 4.0}  # type: ignore[arg-type]


def test_command_prints_and_writes_the_same(
    pairs: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ft("evaluate", pairs, "-m", tiny_model, "--each", "--json", tmp_path / "x.json")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == [
        *["vocals", "cSDR", "vocals", "uSDR", "vocals", "SI-SDR"],
        *["instrumental", "cSDR", "instrumental", "uSDR", "instrumental", "SI-SDR"],
    ]
    names = ["track0", "track1", str(tiny_model), *REFERENCES]
    assert all(line.startswith(name) for name, line in zip(names, lines[1:7], strict=True))
    assert lines[7].startswith("cSDR in dB: museval v4")
    report = json.loads((tmp_path / "x.json").read_text())
    assert report["version"] == 1
    assert set(report["rows"]) == {str(tiny_model), *REFERENCES}
    assert lines[4].split()[-5] == f"{report['rows']['mixture itself']['total']['vocals']['uSDR']:.2f}"


def test_command_takes_a_checkpoint(pairs: Path, tiny_checkpoint: Path, tiny_model: Path, tmp_path: Path) -> None:
    totals = []
    for model in (tiny_checkpoint, tiny_model):
        ft("evaluate", pairs, "-m", model, "--json", tmp_path / "x.json")
        totals.append(json.loads((tmp_path / "x.json").read_text())["rows"][str(model)]["total"]["vocals"]["uSDR"])
    assert totals[0] == pytest.approx(totals[1], abs=1e-3)

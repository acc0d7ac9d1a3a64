"""Separation: the recorded pipeline, exact lengths and sums, no seams, any rate and channel count."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
import torch
from threadpoolctl import threadpool_info, threadpool_limits

import snapshots
from ftcore import Separator
from ftcore.config import SignalConfig, Stereo
from ftcore.errors import FtError
from ftcore.pipeline import Grid, Windowing, channel_groups, lean, single_groups, smooth, vocal_frames
from ftcore.runtime import ModelInfo, OnnxModel
from tests.conftest import noise
from tests.vectors import REFERENCE, filled_state


class TorchModel:
    """A torch network as a separation model."""

    provider = "torch"
    workers = 1

    def __init__(self, path: Path, signal: SignalConfig) -> None:
        self.network = snapshots.load_network(path)
        self.info = ModelInfo(network=self.network.config, signal=signal)

    def run(self, x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        with torch.no_grad():
            y: npt.NDArray[np.float32] = self.network.estimate(torch.from_numpy(x)).numpy()
        return y


class Halver:
    """A model whose instrumental is half of the mixture, whatever the window."""

    provider = "none"
    workers = 1

    def __init__(self, info: ModelInfo) -> None:
        self.info = info
        self.shapes: list[tuple[int, ...]] = []

    def run(self, x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        self.shapes.append(x.shape)
        return 0.5 * x


def test_recorded_pipeline(tmp_path: Path) -> None:
    path = tmp_path / "magnitude.pth"
    torch.save({k: torch.from_numpy(v) for k, v in filled_state("generator_magnitude").items()}, path)
    model = TorchModel(path, SignalConfig(n_fft=512, hop=256, crop=64, pad=32))
    with np.load(REFERENCE / "separation_magnitude.npz") as file:
        wave, expected = file["in.wave"], {stem: file[f"out.{stem}"] for stem in ("vocals", "instrumental")}
    stems = Separator(model, crop=64, batch=2).separate(wave, 44100)
    for stem, recorded in expected.items():
        assert stems[stem].shape == wave.shape  # type: ignore[index]
        error = np.abs(stems[stem][:, : recorded.shape[1]] - recorded)  # type: ignore[index]
        assert error.max() < 1e-3


@pytest.mark.parametrize("samples", [1, 2, 31, 32, 33, 1000, 12345])
@pytest.mark.parametrize("rate", [8000, 11025, 44100])
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_stems_have_the_input_shape_and_add_up(tiny_model: Path, samples: int, rate: int, channels: int) -> None:
    wave = noise(samples, channels)
    stems = Separator(tiny_model).separate(wave, rate)
    assert stems["vocals"].shape == stems["instrumental"].shape == wave.shape
    assert np.abs(stems["vocals"] + stems["instrumental"] - wave).max() <= 1e-6


def test_windows_leave_no_seams(tiny_model: Path) -> None:
    """A model without context gives the same whatever the window, batch and block size."""
    model = Halver(OnnxModel(tiny_model).info)
    wave = noise(20000, 2)
    reference = Separator(model, crop=2000).separate(wave, 8000)["vocals"]
    for crop, pad, batch in ((1, 0, 1), (7, 3, 4), (48, 8, 3), (600, 50, 2)):
        model.shapes.clear()
        vocals = Separator(model, crop=crop, pad=pad, batch=batch).separate(wave, 8000)["vocals"]
        np.testing.assert_allclose(vocals, reference, atol=1e-6)
        assert {s[3] for s in model.shapes} == {crop + 2 * pad}  # one fixed shape, also at the ends
        assert max(s[0] for s in model.shapes) <= batch
    # away from the Nyquist bin and the ends, half of everything is vocals
    low = np.sin(np.arange(20000) * 0.1, dtype=np.float32)[None].repeat(2, axis=0)
    vocals = Separator(model).separate(low, 8000)["vocals"]
    np.testing.assert_allclose(vocals[:, 100:19900], 0.5 * low[:, 100:19900], atol=1e-5)


def test_aggression_moves_what_is_in_doubt(tiny_model: Path) -> None:
    """In dB on the vocals' share: half becomes three quarters where the odds are tripled; all stays all, none none."""
    model = Halver(OnnxModel(tiny_model).info)
    low = np.sin(np.arange(20000) * 0.1, dtype=np.float32)[None].repeat(2, axis=0)
    for odds, share in ((1.0, 0.5), (3.0, 0.75), (1.0 / 3.0, 0.25)):
        stems = Separator(model, aggression=20.0 * np.log10(odds)).separate(low, 8000)
        np.testing.assert_allclose(stems["vocals"][:, 100:19900], share * low[:, 100:19900], atol=1e-5)
        np.testing.assert_allclose(stems["vocals"] + stems["instrumental"], low, atol=1e-6)
    mixture = noise(100, 2).astype(np.complex64) * np.complex64(1j)
    for sure in (mixture, 0 * mixture):
        np.testing.assert_allclose(lean(sure, mixture, 6.0), sure, atol=1e-6)


def test_mid_and_side_are_separated_each_on_its_own(tiny_model: Path) -> None:
    """What the network hears of one does not depend on the other; `auto` is between the two; stems still add up."""
    mid, side = noise(9000, 2)
    wave = np.stack((mid + side, mid - side))
    found = {mode: Separator(tiny_model, stereo=mode).separate(wave, 8000) for mode in get_args(Stereo)}
    alone = [
        Separator(tiny_model).separate(np.stack((part, part)), 8000)["vocals"].mean(axis=0) for part in (mid, side)
    ]
    expected = np.stack((alone[0] + alone[1], alone[0] - alone[1]))
    np.testing.assert_allclose(found["mid-side"]["vocals"], expected, atol=1e-5)
    between = np.stack([found[mode]["vocals"] for mode in ("joint", "mid-side", "auto")])
    assert np.all((between[2] >= between[:2].min(axis=0) - 1e-6) & (between[2] <= between[:2].max(axis=0) + 1e-6))
    assert np.abs(found["joint"]["vocals"] - expected).max() > 1e-3
    for stems in found.values():
        np.testing.assert_allclose(stems["vocals"] + stems["instrumental"], wave, atol=1e-6)
    for channels in (1, 3):
        other = noise(5000, channels)
        same = [Separator(tiny_model, stereo=mode).separate(other, 8000)["vocals"] for mode in get_args(Stereo)]
        assert all(np.array_equal(same[0], each) for each in same[1:])
    with pytest.raises(FtError, match="stereo must be joint, mid-side or auto, not wide"):
        Separator(tiny_model, stereo="wide")  # type: ignore[arg-type]


class Wary(Halver):
    """Finds a voice only in channels that differ, and there the whole side or, if `narrow`, half of everything."""

    narrow = True

    def run(self, x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        left, right = x[:, ::2], x[:, 1::2]
        if np.array_equal(left, right):
            return x
        return 0.5 * x if self.narrow else np.repeat((left + right) / 2, 2, axis=1)


@pytest.mark.parametrize(("narrow", "share"), [(True, 0.5), (False, 0.0)])
def test_auto_goes_by_the_width_of_the_vocals(narrow: bool, share: float, tiny_model: Path) -> None:
    """Of a narrow song, narrow vocals are those of channels together; wide ones those of mid and side apart: none."""
    model = Wary(OnnxModel(tiny_model).info)
    model.narrow = narrow
    mid, side = np.sin(np.arange(9000) * 0.1), 0.01 * np.sin(np.arange(9000) * 0.2)
    wave = np.stack((mid + side, mid - side)).astype(np.float32)
    vocals = Separator(model, stereo="auto").separate(wave, 8000)["vocals"]
    np.testing.assert_allclose(vocals[:, 1000:8900], share * wave[:, 1000:8900], atol=1e-4)


def test_silence_is_not_given_to_the_network(tiny_model: Path) -> None:
    """Half the time of mid-side for a mono recording of two channels, all of it for silence."""
    model = Halver(OnnxModel(tiny_model).info)
    wide = np.sin(np.arange(9000) * np.array([[0.1], [0.2]])).astype(np.float32)
    mono = wide[[0, 0]]
    for stereo, wave, ways in (("mid-side", wide, 2), ("mid-side", mono, 1), ("joint", 0 * mono, 0)):
        model.shapes.clear()
        vocals = Separator(model, crop=1000, stereo=stereo).separate(wave, 8000)["vocals"]  # type: ignore[arg-type]
        assert len(model.shapes) == ways
        np.testing.assert_allclose(vocals[:, 100:8900], 0.5 * wave[:, 100:8900], atol=1e-4)


def test_context_makes_chunks_agree(tiny_model: Path) -> None:
    """With the real network, windows with context come closer to the whole song than without."""
    wave = noise(8000 * 4, 2)
    whole = Separator(tiny_model, crop=1001, pad=0).separate(wave, 8000)["vocals"]

    def error(pad: int) -> float:
        vocals = Separator(tiny_model, crop=100, pad=pad).separate(wave, 8000)["vocals"]
        return float(np.sqrt(np.mean(np.square(vocals - whole))))

    assert error(100) < 0.5 * error(0)


def test_windows_of_a_song_are_equally_full_and_even_in_number(tiny_model: Path) -> None:
    for seconds in (0.02, 0.1, 0.25, 1.0, 3.3):
        model = Halver(OnnxModel(tiny_model).info)  # 48 frames + 2 * 8 of 32 samples at 8 kHz
        Separator(model).separate(noise(int(8000 * seconds), 2), 8000)
        lengths = {shape[-1] - 16 for shape in model.shapes}
        frames = 1 + int(8000 * seconds) // 32
        assert len(lengths) == 1
        assert max(lengths) <= 48
        assert len(model.shapes) == 1 or len(model.shapes) % 2 == 0
        assert frames <= max(lengths) * len(model.shapes) <= frames + len(model.shapes) + 1


def test_windows_that_end_out_of_order_come_in_order(tiny_model: Path) -> None:
    class Hasty(Halver):
        workers = 3

        def run(self, x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
            time.sleep(0.02 if len(self.shapes) % 2 == 0 else 0.0)
            return super().run(x)

    wave = noise(40000, 2)
    info = OnnxModel(tiny_model).info
    expected, found = (Separator(model(info)).separate(wave, 8000)["vocals"] for model in (Halver, Hasty))
    assert np.array_equal(expected, found)


def test_speeds_and_songs_share_the_runs_of_a_model(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every run takes memory: there are never more at once than the model has workers."""
    model = OnnxModel(tiny_model, "cpu")
    session, lock = model._session, threading.Lock()
    running, most = 0, 0

    class Watched:
        def run(self, *args: Any) -> Any:
            nonlocal running, most
            with lock:
                running += 1
                most = max(most, running)
            time.sleep(0.01)
            y = session.run(*args)
            with lock:
                running -= 1
            return y

    monkeypatch.setattr(model, "_session", Watched())
    separator, song = Separator(model, tta=True), noise(20000, 2)
    with ThreadPoolExecutor(3) as songs:
        list(songs.map(lambda _: separator.separate(song, 8000), range(3)))
    assert 0 < most <= model.workers


@pytest.mark.parametrize(("tta", "given"), [(False, 3), (True, 4)])
def test_few_windows_wait(tiny_model: Path, tta: bool, given: int) -> None:
    """For two workers and the one who reads: three windows of one separation, two of each of two."""

    class Counting(ThreadPoolExecutor):
        submitted = 0

        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
            self.submitted += 1
            return super().submit(fn, *args, **kwargs)

    class Twofold(Halver):
        workers = 2

    pool, seen = Counting(2), []
    separator = Separator(Twofold(OnnxModel(tiny_model).info), tta=tta)
    separator._pools = [pool]
    separator.separate(noise(80000, 2), 8000, lambda done, total: seen.append(pool.submitted))
    assert seen[0] == given < seen[-1]


def test_a_song_that_is_given_up_takes_back_what_is_not_begun(tiny_model: Path) -> None:
    class Busy(Executor):
        def __init__(self) -> None:
            self.given: list[Future[Any]] = []

        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
            self.given.append(Future())
            if len(self.given) == 1:
                self.given[0].set_result(fn(*args, **kwargs))
            return self.given[-1]

    pool, model = Busy(), Halver(OnnxModel(tiny_model).info)
    windowing = Windowing(crop=16, pad=8, ahead=3)
    frames = Grid.of(model.info.signal, 8000).frames([noise(40000, 2)])
    separated = vocal_frames(frames, channel_groups(2, 2), model, pool, windowing, aggression=0.0, peak=1.0)
    next(separated)
    del separated
    assert [future.cancelled() for future in pool.given] == [False, True, True]


def test_what_the_model_cannot_hear_stays_in_the_instrumental(tiny_model: Path) -> None:
    model = Halver(OnnxModel(tiny_model).info)  # works at 8 kHz
    time = np.arange(48000) / 48000
    wave = np.stack([np.sin(2 * np.pi * 10000 * time)] * 2).astype(np.float32)
    stems = Separator(model).separate(wave, 48000)
    steady = slice(4800, -4800)  # where the tone starts and stops it has other frequencies too
    assert np.abs(stems["vocals"][:, steady]).max() < 1e-3
    np.testing.assert_allclose(stems["instrumental"][:, steady], wave[:, steady], atol=1e-3)


@pytest.mark.parametrize("rate", [8000, 11025, 44100, 46722.3, 48000, 192000])
def test_a_song_of_any_rate_has_the_bins_frames_and_levels_of_the_model(rate: float) -> None:
    signal = SignalConfig(sample_rate=44100, n_fft=4096, hop=2048)
    wave = np.sin(2 * np.pi * 1001.3 * np.arange(round(3 * rate)) / rate)[None].astype(np.float32)
    grid = Grid.of(signal, rate)
    z = np.concatenate(list(grid.frames([wave])), axis=-1)
    assert abs(z.shape[2] - (1 + 3 * 44100 // 2048)) <= 1
    assert z.shape[:2] == (1, 2049)
    inside = np.abs(z[0, :, 2:-2])
    assert set(inside.argmax(axis=0)) == {93}  # 1001.3 * 4096 / 44100
    np.testing.assert_allclose(inside.max(axis=0), 1024, rtol=0.01)  # as of half of a window of 4096 Hann samples
    back = np.concatenate(list(grid.waves([z])), axis=-1)
    steady = slice(grid.n_fft, -2 * grid.n_fft)  # where the tone starts and stops it has other frequencies too
    np.testing.assert_allclose(back[:, : wave.shape[1]][:, steady], wave[:, steady], atol=1e-4)


def test_a_song_of_the_rate_of_the_model_has_its_transforms() -> None:
    for hop in (2048, 1039):  # a prime number, which would else be avoided
        grid = Grid.of(SignalConfig(sample_rate=44100, n_fft=4096, hop=hop), 44100)
        assert (grid.n_fft, grid.hop, grid.scale) == (4096, hop, 1.0)


def test_hops_have_small_factors_where_there_are_such() -> None:
    found = [smooth(size) for size in (2170.03, 1933.06, 2229.1, 41.0, 5.8, 0.2)]
    assert found == [2170, 1932, 2232, 40, 6, 1]


def test_channels_enter_as_a_pair_or_alone() -> None:
    assert channel_groups(1, 2).tolist() == [[0, 0]]
    assert channel_groups(2, 2).tolist() == [[0, 1]]
    assert channel_groups(4, 2).tolist() == [[0, 1], [2, 2], [3, 3]]
    assert channel_groups(2, 1).tolist() == [[0], [1]]
    assert single_groups(2, 2).tolist() == [[0, 0], [1, 1]]


@pytest.mark.parametrize(
    ("channels", "shares", "batch"), [(1, [0.5], 1), (2, [0.75, 0.25], 1), (5, [0.75, 0.25, 0.5, 0.5, 0.5], 3)]
)
def test_each_channel_comes_back_as_the_mean_of_its_places(
    tiny_model: Path, channels: int, shares: list[float], batch: int
) -> None:
    class Sided(Halver):
        """A model whose instrumental is a quarter of the left channel and three quarters of the right one."""

        def run(self, x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
            self.shapes.append(x.shape)
            return x * np.array([0.25, 0.75, 0.25, 0.75], np.float32)[:, None, None]

    model = Sided(OnnxModel(tiny_model).info)
    wave = np.sin(np.arange(1, channels + 1)[:, None] * np.arange(8000) / 20.0)
    vocals = Separator(model, batch=batch).separate(wave, 8000)["vocals"]
    np.testing.assert_allclose(vocals, wave * np.array(shares)[:, None], atol=2e-3)
    assert max(shape[0] for shape in model.shapes) == batch


def test_progress_ends_at_the_length(tiny_model: Path) -> None:
    seen: list[tuple[float, float]] = []
    Separator(tiny_model).separate(noise(16000, 2), 8000, lambda done, total: seen.append((done, total)))
    assert len(seen) > 3
    assert seen == sorted(seen)
    assert seen[-1] == (2.0, 2.0)


def test_products_of_numpy_take_one_thread_meanwhile(tiny_model: Path) -> None:
    """Windows are at work on the other cores."""

    def threads() -> list[int]:
        return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]

    with threadpool_limits(2, user_api="blas"):
        before, during = threads(), []
        Separator(tiny_model).separate(noise(8000, 2), 8000, progress=lambda done, total: during.append(threads()))
        assert during and set(np.ravel(during)) <= {1}
        assert threads() == before


def test_arrays_that_are_no_audio(tiny_model: Path) -> None:
    separator = Separator(tiny_model)
    for bad, message in (
        (np.zeros(10), "must be"),
        (np.zeros((2, 0)), "must be"),
        (np.full((2, 10), np.nan), "NaN"),
    ):
        with pytest.raises(FtError, match=message):
            separator.separate(bad, 8000)
    with pytest.raises(FtError, match="outside 8000 to 192000 Hz"):
        separator.separate(noise(10, 1), 4000)


@pytest.mark.parametrize(
    ("file_format", "subtype", "depth"),
    [
        ("wav", "PCM_16", "16"),
        ("wav", "PCM_24", "24"),
        ("wav", "FLOAT", "32f"),
        ("flac", "PCM_16", "16"),
        ("flac", "PCM_24", "24"),
    ],
)
def test_files_add_up_within_one_step_of_the_format(
    tiny_model: Path, tmp_path: Path, file_format: str, subtype: str, depth: str
) -> None:
    path = tmp_path / "song.wav"
    soundfile.write(path, noise(6000, 2).T, 8000, subtype=subtype)
    result = Separator(tiny_model).separate_file(path, tmp_path / "out", file_format=file_format)  # type: ignore[arg-type]
    assert result.gain_db == 0
    assert set(result.stems) == {"vocals", "instrumental"}
    stems = [soundfile.read(p, dtype="float64")[0] for p in result.stems.values()]
    assert {soundfile.info(p).subtype for p in result.stems.values()} == {subtype}
    step = {"16": 2.0**-15, "24": 2.0**-23, "32f": 1e-6}[depth]
    assert np.abs(sum(stems) - soundfile.read(path, dtype="float64")[0]).max() <= step * 1.001


def test_a_stem_that_would_clip_turns_all_down_together(tiny_model: Path, tmp_path: Path) -> None:
    path = tmp_path / "loud.wav"
    soundfile.write(path, 30 * noise(6000, 2).T, 8000, subtype="FLOAT")
    result = Separator(tiny_model).separate_file(path, tmp_path, bit_depth="16")
    assert result.gain_db < -1
    mixture = soundfile.read(path)[0]
    stems = {stem: soundfile.read(p)[0] for stem, p in result.stems.items()}
    assert max(np.abs(s).max() for s in stems.values()) == pytest.approx(1.0, abs=1e-4)
    gain = 10 ** (result.gain_db / 20)
    np.testing.assert_allclose(sum(stems.values()), gain * mixture, atol=1e-4)
    kept = Separator(tiny_model).separate_file(path, tmp_path / "float")
    assert kept.gain_db == 0
    np.testing.assert_allclose(sum(soundfile.read(p)[0] for p in kept.stems.values()), mixture, atol=1e-5)

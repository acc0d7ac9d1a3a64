"""What studios, rooms and files do to sound, at random strengths: waves in, waves of the same shape out.

A wave is float32 [2, samples]. The generator decides how strong an effect is; whether it happens is decided elsewhere
(`ftcore.data.mixing`).
"""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
import soxr
from scipy import ndimage, signal

from ftcore.data.library import Wave
from ftcore.errors import FtError
from ftcore.stft import istft, stft

Range = tuple[float, float]


def rms(wave: Wave) -> float:
    """Root mean square over both channels."""
    return float(np.sqrt(np.mean(np.square(wave))))


def gain(db: float) -> float:
    """What to multiply with for so many dB."""
    return float(10.0 ** (db / 20.0))


def fit(wave: Wave, samples: int) -> Wave:
    """Cut, or go on in silence, to a length."""
    return np.pad(wave, ((0, 0), (0, max(samples - wave.shape[1], 0))))[:, :samples]


def faster(wave: Wave, speed: float) -> Wave:
    """Played faster: pitch and formants move together, the length with them."""
    played: Wave = np.ascontiguousarray(soxr.resample(wave.T, speed, 1.0, "LQ").T)
    return played


def move_formants(wave: Wave, ratio: float, rate: int) -> Wave:
    """The spectral envelope stretched by a ratio under a pitch that stays.

    The envelope is what the cepstrum below 2 ms says (the true period of a voice is longer), frame by frame.
    """
    n_fft = 1 << round(np.log2(0.046 * rate))
    blocks = stft([fit(wave, max(wave.shape[1], n_fft))], n_fft, n_fft // 4)
    frames = np.concatenate(list(blocks), axis=-1)
    loud = np.log(np.abs(frames).mean(axis=0).T + np.float32(1e-5))
    cepstrum = np.fft.irfft(loud, axis=-1)
    cepstrum[..., (least := int(0.002 * rate)) : n_fft - least + 1] = 0.0
    envelope = np.fft.rfft(cepstrum, axis=-1).real.astype(np.float32)
    bins = np.minimum(np.arange(n_fft // 2 + 1) / ratio, n_fft // 2 - 1e-3)
    low, part = bins.astype(int), (bins % 1).astype(np.float32)
    moved = envelope[..., low] * (1 - part) + envelope[..., low + 1] * part
    change = np.exp(np.clip(moved - envelope, -4.0, 4.0)).T
    return fit(np.concatenate(list(istft([frames * change], n_fft, n_fft // 4)), axis=-1), wave.shape[1])


def sides(pan: float) -> Wave:
    """Gains [2, 1] of left and right for a place from -1 (left) to 1."""
    return np.array([[min(1 - pan, 1.0)], [min(1 + pan, 1.0)]], np.float32)


def double(rng: np.random.Generator, wave: Wave, rate: int) -> Wave:
    """One or two more takes of the same, each at a side."""
    out = wave.copy()
    for _ in range(rng.integers(1, 3)):
        out += np.float32(gain(rng.uniform(-12, -1))) * sides(rng.uniform(-1.0, 1.0)) * _take(rng, wave, rate)
    return out


def widen(rng: np.random.Generator, wave: Wave, rate: int) -> Wave:
    """A take at either side, and as much or less of the same between them."""
    takes = np.concatenate([_take(rng, wave, rate) for _ in range(2)])
    wide: Wave = takes + np.float32(rng.uniform(0.0, 1.0)) * wave
    return wide


def _take(rng: np.random.Generator, wave: Wave, rate: int) -> Wave:
    """Another take [1, samples] of the same: up to 20 cents away, 5-40 ms late."""
    take = faster(wave.mean(axis=0, keepdims=True), 2 ** (rng.uniform(-20, 20) / 1200))
    return fit(np.pad(take, ((0, 0), (int(rng.uniform(0.005, 0.04) * rate), 0))), wave.shape[1])


def equalise(rng: np.random.Generator, wave: Wave, most_db: float, rate: int) -> Wave:
    """Zero-phase filter: up to +- so many dB, linear between 4 to 9 knots evenly spaced in log frequency."""
    return _filtered(wave, curve(rng, wave.shape[1], most_db, rate))


def curve(rng: np.random.Generator, samples: int, most_db: float, rate: int) -> npt.NDArray[np.float32]:
    """Gains of such a filter, for the spectrum of so many samples; below 170 Hz they are those at 170 Hz."""
    knots = rng.uniform(-most_db, most_db, int(rng.integers(4, 10)))
    octave = np.log2(np.maximum(np.fft.rfftfreq(samples, 1 / rate), 1.0))
    db = np.interp(octave, np.linspace(np.log2(170.0), np.log2(rate / 2), len(knots)), knots)
    gains: npt.NDArray[np.float32] = (10 ** (db / 20)).astype(np.float32)
    return gains


def compress(rng: np.random.Generator, wave: Wave, rate: int) -> Wave:
    """Downward compression: ratio 1.5-6 above 0 to 15 dB below the RMS, 5-100 ms, both channels alike."""
    level = np.square(wave).mean(axis=0)
    pole = np.exp(-1 / (rng.uniform(0.005, 0.1) * rate))
    envelope = np.maximum(signal.lfilter([1 - pole], [1, -pole], level), 1e-10)
    threshold = np.mean(level) * gain(rng.uniform(-15.0, 0.0)) ** 2 + 1e-10
    over = np.maximum(envelope / threshold, 1.0) ** (0.5 * (1 / rng.uniform(1.5, 6.0) - 1))
    quieter: Wave = wave * over.astype(np.float32)
    return quieter


def drive(rng: np.random.Generator, wave: Wave, most: float) -> Wave:
    """Saturation (tanh) of up to `most` times the RMS, blended with the clean sound; the RMS stays."""
    level = max(rms(wave), 1e-5)
    driven = np.tanh(wave * np.float32(np.exp(rng.uniform(np.log(0.3), np.log(most))) / level))
    share = np.float32(rng.uniform(0.3, 1.0))
    mixed = share * driven / max(rms(driven), 1e-5) + (1 - share) * wave / level
    saturated: Wave = (mixed * (level / max(rms(mixed), 1e-5))).astype(np.float32)
    return saturated


def echo(rng: np.random.Generator, wave: Wave, rate: int) -> Wave:
    """Repeats after 80-500 ms, each weaker and darker."""
    late, feedback = int(rng.uniform(0.08, 0.5) * rate), rng.uniform(0.1, 0.6)
    out, repeat, level = wave.copy(), wave, gain(rng.uniform(-16.0, -5.0))
    for _ in range(4):
        repeat = signal.lfilter([0.6], [1, -0.4], fit(np.pad(repeat, ((0, 0), (late, 0))), wave.shape[1]), axis=1)
        out += np.float32(level) * repeat.astype(np.float32)
        level *= feedback
    return out


def reverberate(rng: np.random.Generator, wave: Wave, rate: int) -> Wave:
    """Add a stereo tail of decaying, darkening noise (0.15-2 s to -60 dB, after 0-40 ms)."""
    decay = np.exp(rng.uniform(np.log(0.15), np.log(2.0)))
    length, delay = int(decay * rate), int(rng.uniform(0.0, 0.04) * rate)
    time = np.arange(length, dtype=np.float32) / rate
    tail = rng.standard_normal((2, length), np.float32) * np.exp(np.float32(-6.9 / decay) * time)
    tail = signal.lfilter([1 - (pole := rng.uniform(0.2, 0.85))], [1, -pole], tail).astype(np.float32)
    wet = signal.oaconvolve(wave, tail, axes=1)[:, : wave.shape[1]].astype(np.float32)
    wet = fit(np.pad(wet, ((0, 0), (delay, 0))), wave.shape[1])
    level = gain(rng.uniform(-24.0, -4.0)) * rms(wave) / max(rms(wet), 1e-5)
    return (wave + np.float32(level) * wet).astype(np.float32)


def limit(rng: np.random.Generator, parts: tuple[Wave, Wave], rate: int) -> tuple[Wave, Wave]:
    """What a limiter does to the sum of two parts, as a gain on both: up to 8 dB off the peaks, 1-5 ms around them."""
    peak = np.abs(parts[0] + parts[1]).max(axis=0)
    span = int(rng.uniform(0.001, 0.005) * rate)
    held = ndimage.maximum_filter1d(peak, 2 * span + 1)
    most = max(float(peak.max()), 1e-5) * gain(rng.uniform(-8.0, -1.0))
    down = ndimage.uniform_filter1d(np.minimum(most / np.maximum(held, 1e-5), 1.0), span).astype(np.float32)
    return parts[0] * down, parts[1] * down


def encode(rng: np.random.Generator, wave: Wave, rate: int) -> Wave:
    """To Vorbis and back, 60-130 kbit/s at 44.1 kHz: the lossy format that keeps every sample in its place.

    Raises FtError on a machine without libsndfile, where prepared libraries train all the same.
    """
    try:
        import soundfile
    except (ImportError, OSError):
        raise FtError("the codec in the mix needs soundfile; without it: --set mix.p_codec=0") from None
    file = io.BytesIO()
    loud = max(float(np.abs(wave).max()), 1.0)
    level = float(rng.uniform(0.65, 1.0))
    soundfile.write(file, wave.T / loud, rate, format="OGG", subtype="VORBIS", compression_level=level)
    file.seek(0)
    back: Wave = soundfile.read(file, dtype="float32", always_2d=True)[0].T * np.float32(loud)
    return fit(back, wave.shape[1])


def master(rng: np.random.Generator, parts: tuple[Wave, Wave], most_db: float, rate: int) -> tuple[Wave, Wave]:
    """The same equaliser on both parts, and for every second pair no treble above 10-20 kHz."""
    samples = parts[0].shape[1]
    gains = curve(rng, samples, most_db, rate)
    if rng.random() < 0.5:
        gains[int(samples / rate * min(rng.uniform(1e4, 2e4), rate / 2)) :] = 0.0
    return _filtered(parts[0], gains), _filtered(parts[1], gains)


def _filtered(wave: Wave, gains: npt.NDArray[np.float32]) -> Wave:
    filtered: Wave = np.fft.irfft(np.fft.rfft(wave) * gains, wave.shape[1]).astype(np.float32)
    return filtered

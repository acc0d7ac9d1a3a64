"""Let speech synthesisers speak, for `benchmarks/singing.py` to sing with: most voices at hand are women's.

    apt-get install flite festival festvox-kallpc16k festvox-kdlpc16k festvox-ru festvox-ca-ona-hts espeak-ng
    pip install pyopenjtalk-plus
    python -m benchmarks.speakers WORK [--seed 0]

`WORK/synthetic/speech` gets two files of about a minute and a half for each of `SPEAKERS`. Eight are made of what a
person has once recorded (five of them men), the rest are espeak-ng's, which are made of formulas. Those of persons are
free for any use (Festvox and Flite voices, under terms like BSD's; Mei, CC BY 3.0); synthesisers whose recordings are
under the GPL are left out. What has 16 kHz ends at 8 kHz, and gets noise above that rises and falls as its hiss does.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import soxr
from scipy import signal

RATE, SECONDS, FILES = 44100, 90, 2

LINES = """
I left the window open for the rain. We were only children when the river rose. Oh, you never told me where you go at
night. Give me one more reason to believe in you. Every single street light knows my name. How long can a heart stay
cold? Take the morning train and leave the rest to me. I don't want to be your enemy. Show me how to shine, show me how
to fall. The moon is only half of what I need. Hey, hey, is anybody out there? Nobody said it would be easy. You pull me
under like a wave. Shut the door and let the music play. All these years I thought that we were free. My father built
this house with broken hands. Fire on the mountain, water in the well. Choose your words, or lose them all. I could be
the stranger that you need. Turn around and tell me that it's over. Jealous eyes and golden shoes. Walk with me until
the sun goes down. Thank you for the joy, thank you for the pain. It's a beautiful day to disappear. Who would ever
think that love was blind? Boys will wait and girls will choose. Pack your bags and catch the final bus. Such a
foolish thing to measure time. Noise above and noise below. We're going home, we're going home. Very soon the
earth will turn to blue. Whisper something true before you sleep. Judge me by the things I left behind. Yellow fields
and yesterday's perfume. Could it be that nothing ever ends? Put your hands up high and feel it now. Back in town with
nowhere left to go. Sing it loud, sing it slow. Nothing but a shadow on the wall. Life is just a long and winding joke.
"""
"""Of no song."""

CONSONANTS, VOWELS = list("bdfgklmnprstvz"), list("aeiou")
KANA = [*"アイウエオカキクケコサシスセソタチツテトナニヌネノハヒフヘホマミムメモラリルレロ"]
KANA += [*"ヤユヨワガギグゲゴダデドバビブベボパピプペポ"]
CYRILLIC = dict(zip("bdfgklmnprstvzaeiou", "бдфгклмнпрствзаэиоу", strict=True))

Text = Callable[[np.random.Generator], str]
Say = Callable[[str], tuple[npt.NDArray[np.float64], int]]
"""Text to a mono wave and its rate."""


def lines(rng: np.random.Generator) -> str:
    """English sentences in any order."""
    whole = [line.strip() for line in LINES.replace("\n", " ").replace("?", "?.").split(".")]
    return ". ".join(rng.permutation([line for line in whole if line])) + "."


def syllables(rng: np.random.Generator) -> str:
    """Words of no language, which most can read."""
    words = []
    for number in range(220):
        word = "".join(rng.choice(CONSONANTS) + rng.choice(VOWELS) for _ in range(int(rng.integers(1, 4))))
        words.append(word + (rng.choice(list("nlsr")) if rng.random() < 0.3 else "") + ("." if number % 8 == 7 else ""))
    return " ".join(words)


def kana(rng: np.random.Generator) -> str:
    """The same in katakana."""
    return "".join(str(rng.choice(KANA)) + ("、" if number % 12 == 11 else "") for number in range(450))


def cyrillic(rng: np.random.Generator) -> str:
    """The same in Russian letters."""
    return "".join(CYRILLIC.get(letter, letter) for letter in syllables(rng))


def run(command: list[str], text: str) -> tuple[npt.NDArray[np.float64], int]:
    """What a program says that reads the file {text} and writes the file {wave}."""
    with tempfile.TemporaryDirectory() as folder:
        said, wave = Path(folder) / "text", Path(folder) / "said.wav"
        said.write_text(text)
        subprocess.run([part.format(text=said, wave=wave) for part in command], check=True, capture_output=True)
        audio, rate = soundfile.read(wave)
        return audio, int(rate)


def mei(text: str) -> tuple[npt.NDArray[np.float64], int]:
    """Mei, by pyopenjtalk."""
    import pyopenjtalk

    parts = [pyopenjtalk.tts(part) for part in text.split("、") if part]
    return np.concatenate([audio for audio, _ in parts]) / 32768, int(parts[0][1])


def espeak(voice: str) -> Say:
    """A voice of espeak-ng: language+variant."""
    return partial(run, ["espeak-ng", "-v", voice, "-s", "150", "-f", "{text}", "-w", "{wave}"])


def flite(voice: str) -> Say:
    """A voice of flite."""
    return partial(run, ["flite", "-voice", voice, "-f", "{text}", "-o", "{wave}"])


def festival(voice: str) -> Say:
    """A voice of festival."""
    return partial(run, ["text2wave", "-eval", f"(voice_{voice})", "-o", "{wave}", "{text}"])


SPEAKERS: dict[str, tuple[Say, Text]] = {
    "awb": (flite("awb"), lines),
    "rms": (flite("rms"), lines),
    "slt": (flite("slt"), lines),
    "kal": (festival("kal_diphone"), lines),
    "ked": (festival("ked_diphone"), lines),
    "nsh": (festival("msu_ru_nsh_clunits"), cyrillic),
    "ona": (festival("upc_ca_ona_hts"), syllables),
    "mei": (mei, kana),
    "espeak_en": (espeak("en-us+m3"), lines),
    "espeak_klatt": (espeak("en-gb+klatt4"), lines),
    "espeak_de": (espeak("de+m7"), syllables),
    "espeak_es": (espeak("es+f2"), syllables),
    "espeak_pt": (espeak("pt-br+m1"), syllables),
    "espeak_it": (espeak("it+f4"), syllables),
    "espeak_fr": (espeak("fr+m8"), syllables),
    "espeak_sv": (espeak("sv+f5"), syllables),
}


def brightened(audio: npt.NDArray[np.float64], edge: float) -> npt.NDArray[np.float64]:
    """Noise above `edge` Hz that follows the octave below it, as sibilants and breath do."""
    noise = np.random.default_rng(0).standard_normal(len(audio))
    below = signal.sosfilt(signal.butter(4, [0.55 * edge, 0.95 * edge], "bandpass", fs=RATE, output="sos"), audio)
    loud = signal.sosfilt(signal.butter(2, 40.0, fs=RATE, output="sos"), below**2)
    air = signal.sosfilt(signal.butter(4, 0.95 * edge, "highpass", fs=RATE, output="sos"), noise)
    air = signal.sosfilt(signal.butter(1, edge, fs=RATE, output="sos"), air)
    done: npt.NDArray[np.float64] = audio + np.sqrt(np.maximum(loud, 0.0)) * air
    return done


def speak(folder: Path, name: str, number: int, seed: int) -> None:
    """Write one file of one speaker."""
    say, text = SPEAKERS[name]
    audio, rate = say(text(np.random.default_rng((seed, number))))
    audio = soxr.resample(audio, rate, RATE)[: RATE * SECONDS]
    if rate < 32000:
        audio = brightened(audio, rate / 2)
    audio = 0.7 * audio / np.abs(audio).max()
    soundfile.write(folder / f"{name}_{number}.flac", np.stack((audio, audio), axis=1), RATE, subtype="PCM_16")


def main() -> None:
    """Speak."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    folder = args.work / "synthetic" / "speech"
    folder.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(speak, folder, name, n, args.seed) for name in SPEAKERS for n in range(FILES)]
        for job in jobs:
            job.result()


if __name__ == "__main__":
    main()

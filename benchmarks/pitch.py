"""What the pitch of the voice is worth: the vocals of a model, weighed again by how near bins are to harmonics.

    python -m benchmarks.pitch PAIRS [-m MODEL]

PAIRS are folders of mixture, vocals and instrumental, as for `ft evaluate`. Prints the gain in the vocals' uSDR of
`ftcore/harmonics.py` as it is, with one or the other of its constants changed, and with the pitch of the true voice,
which nobody knows. `docs/pipeline.md` holds the table.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from unittest import mock

import numpy as np

from benchmarks.voice_network import likely_by_sums
from ftcore import harmonics, looks, separator
from ftcore.decoders import Block
from ftcore.errors import FtError
from ftcore.evaluation import find_pairs, load_pair, usdr
from ftcore.stft import istft, stft
from ftcore.voice import low_bins

NEVER, ALWAYS = (2.0, 3.0), (-1.0, 0.0)
"""As `SINGLE`: several voices may sing, or one does, whatever there is on harmonics."""
RULES: tuple[tuple[str, dict[str, object]], ...] = (
    ("as it is", {}),
    ("odds times 8 in place of 4", {"ON": 8.0}),
    ("times 2", {"ON": 2.0}),
    ("one voice, however little is explained", {"SINGLE": ALWAYS}),
    ("several, however much is explained", {"SINGLE": NEVER}),
    ("several leave vocals as they are", {"SHARE": (0.0, 0.8)}),
    ("wherever voices stand", {"ALONE": 0.0}),
    ("vocals as loud where nobody sings", {"ENOUGH": 1e-6}),
    ("several with 0.5 in place of 0.6", {"BESIDE": (0.5, 0.05)}),
)
"""Name, and what is another constant in `ftcore.harmonics`."""


def main() -> None:
    """Print a line for each rule."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", type=Path)
    parser.add_argument("-m", "--model", default="starter")
    args = parser.parse_args()
    try:
        gains = np.mean(measure(args.pairs, args.model), axis=0)
    except FtError as error:
        raise SystemExit(str(error)) from None
    for name, gain in zip([*(name for name, _ in RULES), "true pitch"], gains, strict=True):
        print(f"{name:42} {gain:+.2f} dB")


def measure(pairs: Path, model: str) -> list[list[float]]:
    """By pair and rule: the gain in dB over what is found without a look at the voice. Raises FtError."""
    model_separator = separator.Separator(model)
    gains = []
    for track in find_pairs(pairs):
        pair = load_pair(track)
        truth, mixture, rate = pair.stems["vocals"], pair.mixture, pair.rate
        with mock.patch.object(separator, "by_voice", lambda separated, rate: separated):
            found = model_separator.separate(mixture, rate)["vocals"]
        before = usdr(truth, found)
        row = []
        for _, constants in RULES:
            with mock.patch.dict(vars(harmonics), constants):
                looked = np.concatenate([v for _, v in harmonics.by_voice(iter([(mixture, found)]), rate)], -1)
            row.append(usdr(truth, looked) - before)
        gains.append([*row, usdr(truth, by_true_pitch(truth, mixture, found, rate)) - before])
    return gains


def by_true_pitch(truth: Block, mixture: Block, found: Block, rate: int) -> Block:
    """Vocals that are changed by the pitch of the true voice, everywhere."""
    hop = looks.window_of(rate) // 2
    bin_hz = rate / hop / 2
    low = low_bins(bin_hz)
    z_truth, z_mixture, z_found = (np.concatenate(list(stft([x], 2 * hop, hop)), -1) for x in (truth, mixture, found))
    on = harmonics.on_harmonics(likely_by_sums(z_truth[:, low], bin_hz), low.stop, bin_hz)
    odds = looks.odds_of_voice(z_mixture[:, low], z_found[:, low])
    z_found[:, low] += harmonics.change(z_mixture[:, low], z_found[:, low], odds, on, single=1.0)
    return np.concatenate(list(istft([z_found], 2 * hop, hop)), -1)[:, : found.shape[1]]


if __name__ == "__main__":
    main()

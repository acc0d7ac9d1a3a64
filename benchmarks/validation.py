"""uSDR of a model on pairs, through the whole pipeline that `ft separate` uses.

    python benchmarks/validation.py WORK/validation [-m MODEL] [--each]

Rows: the model, and the mixture itself as the estimate of either stem. uSDR is
10 log10(sum s^2 / sum (s - e)^2) over a whole item, the mean over items.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from ftcore import Separator
from ftcore.training.validate import load_pairs, usdr


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", type=Path)
    parser.add_argument("-m", "--model", default="starter")
    parser.add_argument("--each", action="store_true", help="also print every item")
    args = parser.parse_args()
    separator = Separator(args.model)
    rate = separator.model.info.signal.sample_rate
    rows = []
    for pair in load_pairs(args.pairs, rate):
        stems = separator.separate(pair.mixture, rate)
        truth = {"vocals": pair.mixture - pair.instrumental, "instrumental": pair.instrumental}
        row = [usdr(truth[s], e) for s in ("vocals", "instrumental") for e in (stems[s], pair.mixture)]
        rows.append(row)
        if args.each:
            print(f"{pair.name}: vocals {row[0]:.2f} (mixture {row[1]:.2f}), instrumental {row[2]:.2f} ({row[3]:.2f})")
    vocals, vocals_mixture, music, music_mixture = np.mean(rows, axis=0)
    print(f"uSDR in dB, mean of {len(rows)} items   vocals  instrumental")
    print(f"{args.model:<32} {vocals:6.2f}  {music:6.2f}")
    print(f"{'the mixture itself':<32} {vocals_mixture:6.2f}  {music_mixture:6.2f}")
    print(f"{'gain':<32} {vocals - vocals_mixture:6.2f}  {music - music_mixture:6.2f}")


if __name__ == "__main__":
    main()

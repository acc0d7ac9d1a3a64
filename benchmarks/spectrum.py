"""What spectrum is typical of mixtures as training draws them: the numbers of `ftcore/equaliser.py`.

    python -m benchmarks.spectrum --instrumental LIBRARY... --vocal LIBRARY...

Libraries are prepared ones (`ft data prepare`), of a part `--instrumental` or `--vocal` as for `ft train`. Of 300 items
of 3 s, with the augmentation of the preset `starter`, those with voice and music count. Printed is the median of each
band of mid and side, in dB beside the mean of mid's bands, and half of what is between the 16th and 84th percentile.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from ftcore.data.library import Library, open_library
from ftcore.data.mixing import draw_item
from ftcore.equaliser import CENTRES, levels
from ftcore.errors import FtError
from ftcore.stft import stft
from ftcore.training.presets import preset

ITEMS, SECONDS, SEED = 300, 3, 7
SILENT = 1e-4
"""Level below which an item counts as without."""


def main() -> None:
    """Print a line for each band."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for part in ("instrumental", "vocal"):
        parser.add_argument(f"--{part}", type=Path, nargs="+", required=True)
    args = parser.parse_args()
    settings = preset("starter", "supervised")
    rate, n_fft, hop = settings.signal.sample_rate, settings.signal.n_fft, settings.signal.hop
    try:
        instrumental, vocal = (
            Library([track for folder in folders for track in open_library(folder, rate).tracks])
            for folders in (args.instrumental, args.vocal)
        )
    except FtError as error:
        raise SystemExit(str(error)) from None
    rows = []
    for number in range(ITEMS):
        rng = np.random.default_rng([SEED, number])
        item = draw_item(rng, instrumental, vocal, settings.mix, rate, SECONDS * rate)
        if min(np.sqrt(np.square(part).mean()) for part in (item.instrumental, item.vocal)) < SILENT:
            continue
        z = np.concatenate(list(stft([item.instrumental + item.vocal], n_fft, hop)), axis=-1)
        row = levels(z[:, :-1], rate / n_fft)
        rows.append(row - row[0].mean())
    lowest, typical, highest = np.percentile(rows, [16, 50, 84], axis=0)
    print(f"{len(rows)} items")
    for centre, level, spread in zip(CENTRES, typical.T, (highest - lowest).T / 2, strict=True):
        mid, side = (f"{db:.1f} dB ({around:.1f})" for db, around in zip(level, spread, strict=True))
        print(f"{centre:6.0f} Hz  mid {mid}  side {side}")


if __name__ == "__main__":
    main()

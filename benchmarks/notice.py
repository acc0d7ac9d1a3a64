"""Write the NOTICE of a model: every source of its training data, with its licence.

    python -m benchmarks.notice DATA > snapshots/starter/NOTICE

DATA is the folder given to `benchmarks/starter_data.py`; held-out sources are left out.
"""

from __future__ import annotations

import csv
import sys
from collections import defaultdict
from pathlib import Path

from benchmarks.starter_data import HELD_OUT


def main(data: Path) -> None:
    """Print it."""
    sources: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for row in csv.DictReader((data / "manifest.csv").open()):
        if row["file"].split("/")[0] in ("instrumental", "vocal") and row["source_repo"] not in HELD_OUT:
            sources[row["source_repo"]][row["licence"]] += float(row["seconds"])
    print("The weights in this folder were trained on audio from these public repositories.")
    print("They are published under CC BY-SA 4.0. The audio itself is not part of this project.\n")
    for source, licences in sorted(sources.items()):
        parts = ", ".join(f"{licence} ({seconds / 60:.0f} min)" for licence, seconds in sorted(licences.items()))
        print(f"{source}: {parts}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

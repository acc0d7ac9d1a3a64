"""How long `ft --help` takes, as a whole process.

python benchmarks/startup.py
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time


def main(runs: int = 15) -> None:
    """Print minimum, median and maximum of `runs` after one warm-up."""
    seconds = []
    for _ in range(runs + 1):
        start = time.monotonic()
        subprocess.run([sys.executable, "-m", "ftcli", "--help"], check=True, capture_output=True)
        seconds.append(time.monotonic() - start)
    seconds = seconds[1:]
    print(f"ft --help: min {min(seconds):.3f}, median {statistics.median(seconds):.3f}, max {max(seconds):.3f} s")


if __name__ == "__main__":
    main()

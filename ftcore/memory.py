"""How much memory this process has needed."""

from __future__ import annotations

import sys


def peak_bytes() -> int | None:
    """Peak resident memory so far, in bytes; None where the operating system does not say."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    return in_bytes(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def in_bytes(maxrss: int) -> int:
    """A peak as the operating system's `getrusage` counts it: macOS in bytes, others in KiB."""
    return maxrss if sys.platform == "darwin" else maxrss * 1024

"""Extension points: what installed packages add to ft through entry points."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Any

from ftcore.errors import FtError

GROUPS = {
    "ft.commands": "commands (a typer.Typer each)",
    "ft.exporters": "export formats (an exporters.Exporter each)",
    "ft.models": "models (a snapshots.manifest.Manifest each)",
}
"""Entry-point groups and what their entries are."""

OURS = "frame-transformer"
"""Our distribution: its entries win over others of the same name."""


def discover(group: str) -> dict[str, EntryPoint]:
    """Entries of a group by name, none of them imported."""
    found: dict[str, EntryPoint] = {}
    for entry in entry_points(group=group):
        if entry.name not in found or package(entry) == OURS:
            found[entry.name] = entry
    return dict(sorted(found.items()))


def load(entry: EntryPoint) -> Any:
    """Import an entry. Raises FtError naming the plugin and its package, whatever goes wrong inside."""
    try:
        return entry.load()
    except FtError:
        raise
    except Exception as error:  # a plugin can fail in any way
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise FtError(
            f"plugin {entry.name!r} of {package(entry)} is broken: {type(error).__name__}: {reason}"
        ) from error


def package(entry: EntryPoint) -> str:
    """The distribution that an entry comes from."""
    return entry.dist.name if entry.dist else "an unknown package"

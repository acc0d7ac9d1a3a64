"""Extension points: what installed packages add to ft through entry points."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from ftcore.errors import FtError, Terminated


@dataclass(frozen=True, kw_only=True)
class Group:
    """One kind of extension."""

    adds: str
    """What its entries add to ft."""
    each: str
    """What each entry must name."""
    fits: Callable[[Any], bool]
    """Whether a loaded entry is that."""


def _is_command(value: Any) -> bool:
    import typer
    from typer.main import get_command

    return isinstance(value, typer.Typer) and get_command(value) is not None  # which raises for an empty one


def _is_exporter(value: Any) -> bool:
    has_suffix = isinstance(getattr(value, "suffix", None), str)
    return has_suffix and callable(getattr(value, "export", None)) and not isinstance(value, type)


def _is_model(value: Any) -> bool:
    from snapshots.manifest import Manifest

    return isinstance(value, Manifest)


GROUPS = {
    "ft.commands": Group(adds="commands", each="a typer.Typer", fits=_is_command),
    "ft.exporters": Group(adds="export formats", each="an instance of an exporters.Exporter", fits=_is_exporter),
    "ft.models": Group(adds="models", each="a snapshots.manifest.Manifest", fits=_is_model),
}
"""By the name of their entry-point group."""

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
    """Import an entry. Raises FtError naming the plugin and its package, whatever goes wrong inside.

    Only Ctrl-C and SIGTERM get through: a plugin must not end ft by calling `sys.exit` where it is imported.
    """
    group = GROUPS[entry.group]
    try:
        value = entry.load()
        fits = group.fits(value)
    except (KeyboardInterrupt, Terminated):
        raise
    except BaseException as error:
        raise broken(entry, error) from error
    if not fits:
        raise FtError(f"{named(entry)} is broken: {entry.value} is not {group.each}")
    return value


def broken(entry: EntryPoint, error: BaseException) -> FtError:
    """What to raise where a plugin failed in a way that is its own fault."""
    reason = (str(error).strip() or "no reason given").splitlines()[0]
    return FtError(
        f"{named(entry)} is broken: {reason if isinstance(error, FtError) else f'{type(error).__name__}: {reason}'}"
    )


def is_ours(entry: EntryPoint) -> bool:
    """Whether it came with ft."""
    return package(entry) == OURS


def named(entry: EntryPoint) -> str:
    """A plugin, for messages."""
    return f"plugin {entry.name!r} of {package(entry)}"


def package(entry: EntryPoint) -> str:
    """The distribution that an entry comes from."""
    return (entry.dist and entry.dist.name) or "an unknown package"  # half-removed ones have lost their name

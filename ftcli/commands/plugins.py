"""`ft plugins`: every entry point that ft knows, and whether it loads."""

from __future__ import annotations

import typer

from ftcore import plugins
from ftcore.errors import FtError

app = typer.Typer()


@app.command("plugins")
def list_plugins() -> int:
    """What installed packages add to ft."""
    broken = 0
    for group, kind in plugins.GROUPS.items():
        typer.echo(f"{group}: {kind.adds} ({kind.each} each)")
        for name, entry in plugins.discover(group).items():
            state = ""
            if not plugins.is_ours(entry):  # ours may need torch, which is no fault
                try:
                    plugins.load(entry)
                except FtError as error:
                    broken += 1
                    state = f"  BROKEN: {error}"
            typer.echo(f"  {name}  ({plugins.package(entry)}, {entry.value}){state}")
    return 1 if broken else 0

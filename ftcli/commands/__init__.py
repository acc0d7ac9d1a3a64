"""One module per command, each with a `typer.Typer` named `app`."""

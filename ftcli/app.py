"""The frame of the command line: lazy commands from entry points, and the one error boundary."""

from __future__ import annotations

import difflib
import os
import signal
import sys
import threading
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command as to_command

from ftcore import __version__, plugins
from ftcore.errors import FtError, Terminated, UsageError

SUMMARIES = {
    "separate": "Split songs into vocals and instrumental.",
    "data": "Check folders of audio, and prepare them for training.",
    "pretrain": "Train, stage 1: learn music from any audio.",
    "train": "Train a network on folders of instrumental music and of vocals.",
    "fgan": "Train, stage 3: against a discriminator that looks for vocals.",
    "evaluate": "Score a model on songs whose stems are known.",
    "export": "Export a trained checkpoint for separation.",
    "snapshots": "The original author's published checkpoints, and using them.",
    "models": "The models that can be used by name.",
    "plugins": "What installed packages add to ft.",
    "doctor": "Check the installation; say how to mend what is wrong.",
    "bench": "Measure speed and memory of a model on this machine.",
}
"""One line per built-in command, so that `ft --help` need not import them."""


INTERRUPTED, TERMINATED = 130, 143
"""Exit statuses after Ctrl-C and SIGTERM, as shells count: 128 + the signal."""

EXPECTED = (FtError, typer.TyperException, typer.Exit, typer.Abort, BrokenPipeError)
"""What commands raise without being at fault; `main` handles each."""

COMPLETION = ("--install-completion", "--show-completion")
"""Typer's options. Alone they are for the shell that runs them; `LazyGroup` lets them name another."""

SHELLS = ("bash", "zsh", "fish", "powershell", "pwsh")


class LazyGroup(TyperGroup):
    """Commands are the entry points of `ft.commands`; one is imported when it runs, not when it is listed."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Built-in commands in the order of use, then the plugins'."""
        found = plugins.discover("ft.commands")
        return [name for name in SUMMARIES if name in found] + [name for name in found if name not in SUMMARIES]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """A stand-in for the help text."""
        entry = plugins.discover("ft.commands").get(cmd_name)
        if entry is None:
            return None
        return TyperCommand(cmd_name, help=SUMMARIES.get(cmd_name, f"From the package {plugins.package(entry)}."))

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As typer does it, and a shell's name after one of COMPLETION."""
        if len(args) == 2 and args[0] in COMPLETION and not ctx.resilient_parsing:
            if args[1] not in SHELLS:
                raise UsageError(f"{args[0]}: no shell {args[1]!r}; known: {', '.join(SHELLS)}")
            for option in self.params:
                if args[0] in option.opts and option.callback:
                    option.callback(ctx, option, args[1])  # leaves, with status 0
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The real command, to be run, or to be completed by a shell."""
        try:
            return args[0], load_command(args[0]), args[1:]
        except FtError:
            if ctx.resilient_parsing:  # a shell completes the line: nothing may be printed into it
                return None, None, []
            raise

    def invoke(self, ctx: Any) -> Any:
        """Run the command. A bug in a plugin's is said to be that plugin's."""
        try:
            return super().invoke(ctx)
        except EXPECTED:
            raise
        except Exception as error:
            entry = plugins.discover("ft.commands").get(ctx.invoked_subcommand)
            if entry is None or plugins.is_ours(entry):
                raise
            raise plugins.broken(entry, error) from error


def load_command(name: str) -> Any:
    """Import a command. Raises UsageError where there is none, FtError where a plugin's is broken."""
    found = plugins.discover("ft.commands")
    if name not in found:
        close = difflib.get_close_matches(name, found)
        hint = f"did you mean {close[0]!r}?" if close else "see ft --help"
        raise UsageError(f"no command {name!r}; {hint}")
    command = to_command(plugins.load(found[name]))
    # those of ft itself do for all commands
    command.params = [p for p in command.params if not set(COMPLETION) & set(p.opts)]
    return command


app = typer.Typer(cls=LazyGroup, rich_markup_mode=None, pretty_exceptions_enable=False)


def show_version(value: bool) -> None:
    """Print the version and leave."""
    if value:
        typer.echo(f"ft {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Takes songs apart into vocals and instrumental."""
    if debug:
        os.environ["FT_DEBUG"] = "1"
    if context.invoked_subcommand is None:
        typer.echo(context.get_help(), err=True)
        raise typer.Exit(2)


def terminate(signum: int, frame: object) -> NoReturn:
    """The handler of SIGTERM."""
    raise Terminated


def main() -> NoReturn:
    """Run the command line; every error becomes one line on stderr and an exit status.

    0 all went well, 1 something failed, 2 the request itself was wrong, INTERRUPTED after Ctrl-C,
    TERMINATED after SIGTERM.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, terminate)
    try:
        status = app(prog_name="ft", standalone_mode=False) or 0  # by whatever name it was started
        if status == INTERRUPTED:  # typer has already turned the exception into a status
            raise KeyboardInterrupt
    except typer.TyperException as error:  # usage errors of the parser
        message = error.format_message().replace("Value error, ", "", 1)  # a prefix of pydantic's that typer keeps
        status = fail(message, error.exit_code)
    except FtError as error:
        if os.environ.get("FT_DEBUG"):
            raise
        status = fail(str(error), 2 if isinstance(error, UsageError) else 1)
    except (KeyboardInterrupt, typer.Abort):
        status = fail("interrupted; nothing half-written is left", INTERRUPTED)
    except Terminated:
        status = fail("terminated; nothing half-written is left", TERMINATED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the exit would complain again
        status = 1
    except Exception as error:
        if os.environ.get("FT_DEBUG"):
            raise
        status = fail(f"a bug in ft: {type(error).__name__}: {error}; please report it with the output of --debug", 1)
    sys.exit(status)


def fail(message: str, status: int) -> int:
    """Print one line and hand the status on."""
    if message:
        plain = "".join(c if c.isprintable() else "?" for c in " ".join(message.split()))  # it may quote a hostile file
        typer.echo(f"ft: {plain}", err=True)
    return status

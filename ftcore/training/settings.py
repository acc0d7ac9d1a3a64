"""From a preset, a file and the command line to the config of a run."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

from ftcore.checkpoint import Checkpoint
from ftcore.config import overlay
from ftcore.errors import FtError, UsageError
from ftcore.training.config import StageName, TrainConfig
from ftcore.training.presets import preset as named


def resolve(
    stage: StageName,
    preset: str = "starter",
    start: Checkpoint | None = None,
    file: Path | None = None,
    settings: list[str] | None = None,
    steps: int | None = None,
    values: dict[str, Any] | None = None,
) -> TrainConfig:
    """Each in place of the one before: preset, the network of `start`, file, settings (NAME=VALUE), steps, values.

    Of the network of `start` only the dropout may change. Values that are None do not count. Raises FtError
    that names what is wrong.
    """
    config = named(preset, stage)
    if start is not None:
        config = overlay(config, {"network": start.network.config.to_dict(), "signal": start.signal.to_dict()})
    if file is not None:
        config = overlay(config, {**read_settings(file), "stage": stage})
    for setting in settings or []:
        config = overlay(config, parse_setting(setting))
    if steps is not None:
        config = config.with_steps(steps)
    config = overlay(config, {name: value for name, value in (values or {}).items() if value is not None})
    if start is not None and config.network.without_dropout() != start.network.config.without_dropout():
        raise UsageError("--init brings its own network; leave the network's settings out, but for dropout")
    return config


def read_settings(file: Path) -> dict[str, Any]:
    """A TOML file, or JSON as a run saves it. Raises FtError."""
    try:
        text = file.read_text()
        values = json.loads(text) if file.suffix == ".json" else tomllib.loads(text)
    except OSError as error:
        raise FtError(f"{file}: cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise FtError(f"{file}: {error}") from None
    if not isinstance(values, dict):
        raise FtError(f"{file}: not a table of settings")
    return values


def parse_setting(text: str) -> dict[str, Any]:
    """`loss.l1=1.0` as the nested table that it is in TOML; bare words are strings. Raises UsageError."""
    name, equals, value = text.partition("=")
    for candidate in (text, f"{name}={json.dumps(value)}"):
        try:
            if equals:
                return tomllib.loads(candidate)
        except tomllib.TOMLDecodeError:
            continue
    raise UsageError(f"--set {text}: expected NAME=VALUE, e.g. loss.l1=1.0")

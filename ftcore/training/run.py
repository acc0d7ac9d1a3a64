"""A run's folder: what is written while it trains (torch).

RUN/config.json                 the resolved config; `--config` takes it again
RUN/metrics.jsonl               a line per step (`Progress`)
RUN/last.safetensors            the newest weight average
RUN/best.safetensors            that of the highest validation score
RUN/step-00004500.safetensors   those of the newest validations
RUN/state.safetensors           all that a resume needs
RUN/validation/                 a picture and audio of the first pair at each validation
RUN/tensorboard/                where tensorboard is installed
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ftcore import checkpoint, encoders, picture
from ftcore.atomic import write_bytes
from ftcore.errors import FtError
from ftcore.evaluation import Pair
from ftcore.training import state as run_state
from ftcore.training import validate
from ftcore.training.fit import Progress
from ftcore.training.state import RunState


@dataclass
class Run:
    """The folder of a run, as the leading rank keeps it: give `written` to `fit` as its report."""

    out: Path
    pairs: list[Pair]
    provenance: dict[str, Any]
    shown: Callable[[Progress], None] = lambda progress: None
    _board: Any = field(default=None, init=False)

    def begin(self, state: RunState) -> None:
        """Make the folder, note the config, and forget metrics of steps that a resumed run will do again."""
        try:
            self.out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FtError(f"{self.out}: cannot make this folder ({error.strerror})") from None
        write_bytes(self.out / "config.json", (json.dumps(state.config.to_dict(), indent=1) + "\n").encode())
        metrics = self.out / "metrics.jsonl"
        lines = metrics.read_text().splitlines()[: state.step] if metrics.exists() else []
        write_bytes(metrics, "".join(f"{line}\n" for line in lines).encode())
        if find_spec("tensorboard"):
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(str(self.out / "tensorboard"), purge_step=state.step + 1)

    def written(self, state: RunState, progress: Progress, last: bool) -> None:
        """Metrics of a step; checkpoints where they are due or better than any before. Raises FtError."""
        try:
            with (self.out / "metrics.jsonl").open("a") as file:
                file.write(json.dumps(dataclasses.asdict(progress)) + "\n")
        except OSError as error:
            raise FtError(f"{self.out}/metrics.jsonl: cannot be written ({error.strerror})") from None
        if progress.scores:
            self._validated(state, progress)
        if last or progress.step % state.config.save_every == 0:
            self._save(state, progress.scores)
        if self._board:
            values = {"loss": progress.loss, "learning_rate": progress.learning_rate, "skipped": progress.skipped}
            for name, value in {**values, **progress.metrics, **progress.scores}.items():
                self._board.add_scalar(name, value, progress.step)
        self.shown(progress)

    def rescue(self, state: RunState) -> None:
        """Save, if that is possible, what an error has not touched: the steps that were done."""
        if state.step:
            with suppress(FtError):
                self._save(state, {})

    def close(self) -> None:
        """Finish what is still being written."""
        if self._board:
            self._board.close()

    def _save(self, state: RunState, scores: dict[str, float]) -> None:
        checkpoint.save(self.out / "last.safetensors", self._checkpoint(state, scores))
        run_state.save(state, self.out)

    def _validated(self, state: RunState, progress: Progress) -> None:
        saved = self._checkpoint(state, progress.scores)
        score = next(iter(progress.scores.values()))
        if score > state.best:
            state.best = score
            checkpoint.save(self.out / "best.safetensors", saved)
        if state.config.keep:
            checkpoint.save(self.out / f"step-{state.step:08}.safetensors", saved)
        for old in sorted(self.out.glob("step-*.safetensors"))[: -state.config.keep or None]:
            old.unlink(missing_ok=True)
        if self.pairs and state.config.stage != "pretrain":
            self._seen_and_heard(state, self.pairs[0])

    def _seen_and_heard(self, state: RunState, pair: Pair) -> None:
        """The first pair's vocals as audio, and mixture and stems as a picture (where matplotlib is installed)."""
        folder = self.out / "validation"
        folder.mkdir(exist_ok=True)
        instrumental = validate.instrumental(state.average, pair, state.config.signal)
        waves = {"mixture": pair.mixture, "vocals": pair.mixture - instrumental, "instrumental": instrumental}
        stem = folder / f"step-{state.step:08}"
        for name in ("vocals", "instrumental"):
            encoders.write_preview(stem.with_name(f"{stem.name}_{name}.flac"), waves[name], pair.rate)
        if find_spec("matplotlib"):
            picture.waves(waves, pair.rate, stem.with_suffix(".png"))

    def _checkpoint(self, state: RunState, scores: dict[str, float]) -> checkpoint.Checkpoint:
        return checkpoint.Checkpoint(
            network=state.average,
            signal=state.config.signal,
            provenance={
                **self.provenance,
                "stage": state.config.stage,
                "seed": state.config.seed,
                "step": state.step,
                "validation": scores,
            },
        )

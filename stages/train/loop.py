"""The training loop: one place where the order of things can be read."""

import dataclasses
import math
import shutil
import time
from pathlib import Path
from typing import Any

import torch

from deploy import files
from stages.dataset import Dataset
from stages.environment import environment
from stages.errors import TrainingError
from stages.fit import require_fit
from stages.graph import Graph, build
from stages.observer import Observer
from stages.ranks import ranks
from stages.recipe import Recipe, TrainConfig
from stages.result import TrainResult, save
from stages.train import batches, checkpoint, choice, device, layout, optim, unset, weights
from stages.train.check import check
from stages.train.checkpoint import Saved
from stages.train.distributed import Group, joined
from stages.train.ema import Average
from stages.train.evaluate import evaluate, fitted
from stages.train.interrupt import StopRequest
from stages.train.losses import Losses, require_finite
from stages.train.step import Stepper
from stages.train.weights import Weights

_LOSS_WINDOW = {"cpu": 1, "cuda": 100}


def run(recipe: Recipe, dataset: Dataset, out: Path, observer: Observer = Observer()) -> TrainResult:  # noqa: B008
    """Train a recipe, or go on from the checkpoint in `out`, and write weights and `result.json` there.

    The same recipe on the same data and machine gives the same weights, interrupted or not (on CUDA up to the order of
    additions, unless `train.deterministic`); where it leaves precision or memory format open, the recipe of the result
    does. Started by `torchrun`, all processes train together and the first one writes and speaks; the folder must be
    the same for all. The first SIGINT or SIGTERM writes a checkpoint at the next step and raises `KeyboardInterrupt`.
    Raises `TrainingError`, `DataError`, `UsageError`, and `OSError` for a folder that cannot be written.
    """
    check(recipe.train, dataset)
    mine = ranks()
    observer = observer if mine.leads else Observer()
    if mine.leads:
        out.mkdir(parents=True, exist_ok=True)
    place = device.choose(recipe.train, observer, mine)
    stop = StopRequest()
    with (
        device.numerics(recipe.train, place),
        device.out_of_memory_in_words(recipe.train),
        joined(mine, place) as group,
    ):
        training = Training(recipe, dataset, out / "checkpoint", place, group, stop, observer)
        with stop:
            while not training.done:
                training.epoch()
            result = training.finish(out)
    if mine.leads:
        shutil.rmtree(out / "checkpoint", ignore_errors=True)
    if stop:
        raise KeyboardInterrupt(f"{stop.name} when training had just ended; its result is written")
    return result


class Training:
    """A training under way: everything that a checkpoint must hold is an attribute here."""

    def __init__(
        self,
        recipe: Recipe,
        dataset: Dataset,
        folder: Path,
        place: torch.device,
        group: Group,
        stop: StopRequest,
        observer: Observer,
    ) -> None:
        self.dataset, self.folder, self.place = dataset, folder, place
        self.group, self.stop, self.observer = group, stop, observer
        self.key = checkpoint.training_key(recipe, dataset.info)
        saved = checkpoint.load(folder, self.key, observer)
        self.graph = build(recipe, dataset.info).to(place)
        if place.type == "cpu":
            layout.keep_plain(self.graph)
            unset.avoid(self.graph)
        group.share_statistics(self.graph, place)
        require_fit(dataset, self.graph.input)
        self.order = batches.Order(recipe.train, len(dataset.train), group.ranks)
        self.batches = batches.load(dataset.train, self.graph.pre, recipe.train, self.order, place, observer)
        self.config = self._resolved(recipe.train, saved)
        self.recipe = dataclasses.replace(recipe, train=self.config)
        self.schedule = optim.Schedule(self.config, self.order.steps)
        self.advance = Stepper(self.graph, self.config, place, group)
        self.average = Average(self.graph, self.config.ema, self.schedule.warmup) if self.config.ema else None
        self.generator = torch.Generator(place)
        self.step = 0  # steps made
        self.losses = self._new_losses()
        self.history: list[dict[str, float]] = []
        self.best: Weights | None = None
        self.epoch_began = 0.0  # in seconds of training, as `seconds` counts them
        self._started = self._saved_at = time.monotonic()
        if saved:
            self._take_up(saved)
        group.require_same_start(self.step, folder)

    def _resolved(self, config: TrainConfig, saved: Saved | None) -> TrainConfig:
        """Return the config with nothing left open: as the checkpoint has it, or measured now."""
        if saved:
            return dataclasses.replace(config, **saved.state["chosen"])
        total = config.epochs * self.order.steps
        return choice.resolve(config, self.graph, self.batches, total, self.group, self.observer)

    @property
    def seconds(self) -> float:
        """Seconds spent in training, those before an interruption included."""
        return time.monotonic() - self._started

    @property
    def metric(self) -> str:
        """Name of the figure in `history` that decides which weights are best."""
        return f"validation_{self.graph.task.primary}"

    @property
    def best_epoch(self) -> int:
        """Number (from 1) of the epoch whose weights are kept."""
        if self.config.select == "last" or not len(self.dataset.validation):
            return len(self.history)
        return self._leader()

    def _leader(self) -> int:
        figures = [epoch[self.metric] for epoch in self.history]
        return figures.index(max(figures)) + 1

    @property
    def done(self) -> bool:
        """Whether all epochs are made, or early stopping ends the training."""
        made = len(self.history)
        patience = self.config.early_stop
        return made >= self.config.epochs or bool(patience and made and made - self._leader() >= patience)

    def epoch(self) -> None:
        """Make the rest of the current epoch's steps, evaluate, and write a checkpoint."""
        number = len(self.history)
        self.graph.train()
        for raw, targets in self.batches.epoch(number, skip=self.step - number * self.order.steps):
            self.train_step(raw, targets)
            self.observer.progress(self.step, self.schedule.total, f"epoch {number + 1}")
            self._checkpoint_if_due()
        self.losses.flush()
        require_finite(self.graph, self.step, self.order)
        seconds = self.seconds - self.epoch_began
        self.group.share_buffers(self.evaluated())
        self._record(seconds, self._measure())
        self.save()

    def train_step(self, raw: torch.Tensor, targets: torch.Tensor) -> None:
        """Make one step on one batch; what it draws by chance is a function of seed, step and process alone."""
        own = f"/{self.group.ranks.rank}" if self.group.ranks.rank else ""
        device.seed(self.place, batches.derived_seed(self.config.seed, f"dropout{own}", self.step))
        self.generator.manual_seed(batches.derived_seed(self.config.seed, f"augment{own}", self.step))
        share = self.order.share(self.step)
        rows = len(targets) if share else 0
        raw, targets = self.graph.task.augment(raw, targets, self.generator)
        self.schedule.apply(self.step, self.advance.optimizer)
        loss = self.advance(raw, targets, share)
        if self.average:
            self.average.update(self.step)
        self.losses.add(self.step, rows, loss)
        self.step += 1

    def evaluated(self) -> Graph:
        """Return the graph whose weights count: the average, once it has begun."""
        return self.average.graph if self.average and self.step > self.average.start else self.graph

    def _measure(self) -> dict[str, float]:
        if not len(self.dataset.validation):
            return {}
        figures = evaluate(self.evaluated(), self.dataset.validation, self.place, self._stop_if_asked, self.group)
        for name, value in figures.items():
            if not math.isfinite(value):
                raise TrainingError(f"validation {name} is {value} after epoch {len(self.history) + 1}; lower train.lr")
        return {f"validation_{name}": value for name, value in figures.items()}

    def _record(self, seconds: float, figures: dict[str, float]) -> None:
        """Close the epoch: its line in the history, the best weights so far, what observers hear."""
        total, rows = self.group.sums(self.losses.total, self.losses.rows)
        epoch = {
            "epoch": float(len(self.history) + 1),
            "lr": float(self.advance.optimizer.param_groups[0]["lr"]),
            "train_loss": total / max(rows, 1),
            "seconds": seconds,
            "images_per_second": self.order.rows / seconds,
            **figures,
        }
        self.history.append(epoch)
        if self.best_epoch == len(self.history) and self.config.select == "best" and figures:
            self.best = weights.snapshot(self.evaluated())
        self.observer.metrics({k: v for k, v in epoch.items() if k != "epoch"}, len(self.history))
        self.losses = self._new_losses()
        self.epoch_began = self.seconds

    def _new_losses(self) -> Losses:
        return Losses(_LOSS_WINDOW[self.place.type], self.order)

    def _checkpoint_if_due(self) -> None:
        self._stop_if_asked()
        if time.monotonic() - self._saved_at >= self.config.checkpoint_s:
            self.save()

    def _stop_if_asked(self) -> None:
        if self.stop and self.group.ranks.leads:  # the others hear of it when it has left
            self.save()
            raise KeyboardInterrupt(f"{self.stop.name} at step {self.step}; checkpoint written, run again to go on")

    def save(self) -> None:
        """Write a checkpoint of this moment."""
        self.losses.flush()
        require_finite(self.graph, self.step, self.order)
        self._saved_at = time.monotonic()
        if not self.group.ranks.leads:
            return
        tensors = {"model": weights.snapshot(self.graph)}
        if self.average:
            tensors["ema"] = weights.snapshot(self.average.graph)
        if self.best is not None:
            tensors["best"] = self.best
        state: dict[str, Any] = {
            "step": self.step,
            "history": self.history,
            "loss": (self.losses.total, self.losses.rows),
            "seconds": (self.seconds, self.epoch_began),
            "optimizer": self.advance.optimizer.state_dict(),
            "scaler": self.advance.scaler.state_dict(),
            "chosen": {"precision": self.config.precision, "channels_last": self.config.channels_last},
        }
        checkpoint.save(self.folder, self.key, Saved(tensors, state))
        self._saved_at = time.monotonic()

    def _take_up(self, saved: Saved) -> None:
        state = saved.state
        self.graph.load_state_dict(saved.weights["model"])
        if self.average:
            self.average.graph.load_state_dict(saved.weights["ema"])
        self.best = saved.weights.get("best")
        self.step, self.history = state["step"], state["history"]
        if self.group.ranks.leads:  # what the others had seen of the epoch is not in its mean loss
            self.losses.total, self.losses.rows = state["loss"]
        seconds, self.epoch_began = state["seconds"]
        self._started = time.monotonic() - seconds
        self.advance.optimizer.load_state_dict(state["optimizer"])
        self.advance.scaler.load_state_dict(state["scaler"])
        self.observer.say(f"going on from the checkpoint at epoch {len(self.history) + 1}, step {self.step}")

    def finish(self, out: Path) -> TrainResult:
        """Take the chosen weights, measure them on the test split, write weights and result."""
        chosen = self.evaluated()
        if self.best is not None:
            chosen.load_state_dict(self.best)
        metrics = fitted(chosen, self.dataset, self.place, self._stop_if_asked, self.group)
        kept = weights.to_bytes(weights.dense(chosen.served()))
        result = TrainResult(
            folder=out,
            recipe=self.recipe,
            data=self.dataset.info,
            weights_sha256=files.sha256(kept),
            metrics=metrics,
            history=tuple(self.history),
            best_epoch=self.best_epoch,
            parameters=sum(p.numel() for p in torch.nn.ModuleList([chosen.net, chosen.head]).parameters()),
            seconds=self.seconds,
            device=str(self.place),
            environment=environment(),
        )
        if not self.group.ranks.leads:
            return result
        files.write_bytes(out / "weights.safetensors", kept)
        return save(result)

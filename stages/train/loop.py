"""The training loop: one place where the order of things can be read."""

import math
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from deploy import files
from deploy.errors import UsageError
from stages.dataset import Dataset
from stages.environment import environment
from stages.errors import DataError, TrainingError
from stages.graph import Graph, build
from stages.observer import Observer
from stages.recipe import Recipe, TrainConfig
from stages.result import TrainResult, save
from stages.train import batches, checkpoint, device, optim, weights
from stages.train.ema import Average
from stages.train.evaluate import evaluate
from stages.train.interrupt import StopRequest
from stages.train.losses import Losses, require_finite
from stages.train.weights import Weights

_LOSS_WINDOW = {"cpu": 1, "cuda": 100}


def run(recipe: Recipe, dataset: Dataset, out: Path, observer: Observer = Observer()) -> TrainResult:  # noqa: B008
    """Train a recipe, or go on from the checkpoint in `out`, and write weights and `result.json` there.

    The same recipe on the same data and machine gives the same weights, interrupted or not (on CUDA up to the order of
    additions, unless `train.deterministic`). The first SIGINT or SIGTERM writes a checkpoint at the next step and
    raises `KeyboardInterrupt`. Raises `TrainingError`, `DataError`, `UsageError`, and `OSError` for a folder that
    cannot be written.
    """
    _check(recipe.train, dataset)
    out.mkdir(parents=True, exist_ok=True)
    place = device.choose(recipe.train, observer)
    stop = StopRequest()
    with device.numerics(recipe.train, place), device.out_of_memory_in_words(recipe.train):
        training = Training(recipe, dataset, out / "checkpoint", place, stop, observer)
        training.resume()
        with stop:
            while not training.done:
                training.epoch()
            result = training.finish(out)
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
        stop: StopRequest,
        observer: Observer,
    ) -> None:
        self.recipe, self.config, self.dataset = recipe, recipe.train, dataset
        self.folder, self.place, self.stop, self.observer = folder, place, stop, observer
        self.key = checkpoint.training_key(recipe, dataset.info)
        self.graph = _on_device(build(recipe, dataset.info), self.config, place)
        self.order = batches.Order(self.config, len(dataset.train))
        self.batches = batches.load(dataset.train, self.graph.pre, self.config, self.order, place, observer)
        self.optimizer = optim.optimizer(self.config, self.graph)
        self.schedule = optim.Schedule(self.config, self.order.steps)
        self.scaler = torch.amp.GradScaler("cuda", enabled=self.config.precision == "fp16")
        self.average = Average(self.graph, self.config.ema, self.schedule.warmup) if self.config.ema else None
        self.scores = _scores(self.graph, self.config, place)
        self.generator = torch.Generator(place)
        self.step = 0  # steps made
        self.losses = self._new_losses()
        self.history: list[dict[str, float]] = []
        self.best: Weights | None = None
        self.epoch_began = 0.0  # in seconds of training, as `seconds` counts them
        self._started = self._saved_at = time.monotonic()

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
        self._record(seconds, self._measure())
        self.save()

    def train_step(self, raw: torch.Tensor, targets: torch.Tensor) -> None:
        """Make one step on one batch."""
        self.generator.manual_seed(batches.derived_seed(self.config.seed, "augment", self.step))
        rows = len(targets)
        raw, targets = self.graph.task.augment(raw, targets, self.generator)
        loss = self.graph.task.loss(self.scores(raw), targets)
        self.schedule.apply(self.step, self.optimizer)
        self.optimizer.zero_grad()
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        if self.config.clip_norm:
            self.scaler.unscale_(self.optimizer)
            torch.nn.utils.clip_grad_norm_(self.graph.parameters(), self.config.clip_norm, foreach=True)
        self.scaler.step(self.optimizer)
        self.scaler.update()
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
        figures = evaluate(self.evaluated(), self.dataset.validation, self.place, self._stop_if_asked)
        for name, value in figures.items():
            if not math.isfinite(value):
                raise TrainingError(f"validation {name} is {value} after epoch {len(self.history) + 1}; lower train.lr")
        return {f"validation_{name}": value for name, value in figures.items()}

    def _record(self, seconds: float, figures: dict[str, float]) -> None:
        """Close the epoch: its line in the history, the best weights so far, what observers hear."""
        epoch = {
            "epoch": float(len(self.history) + 1),
            "lr": float(self.optimizer.param_groups[0]["lr"]),
            "train_loss": self.losses.mean,
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
        if self.stop:
            self.save()
            raise KeyboardInterrupt(f"{self.stop.name} at step {self.step}; checkpoint written, run again to go on")

    def save(self) -> None:
        """Write a checkpoint of this moment."""
        self.losses.flush()
        require_finite(self.graph, self.step, self.order)
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
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "random": torch.get_rng_state(),
        }
        if self.place.type == "cuda":
            state["random_cuda"] = torch.cuda.get_rng_state(self.place)
        checkpoint.save(self.folder, self.key, checkpoint.Saved(tensors, state))
        self._saved_at = time.monotonic()

    def resume(self) -> None:
        """Take up the checkpoint, if there is one of this training."""
        saved = checkpoint.load(self.folder, self.key, self.observer)
        if saved is None:
            return
        state = saved.state
        self.graph.load_state_dict(saved.weights["model"])
        if self.average:
            self.average.graph.load_state_dict(saved.weights["ema"])
        self.best = saved.weights.get("best")
        self.step, self.history = state["step"], state["history"]
        self.losses.total, self.losses.rows = state["loss"]
        seconds, self.epoch_began = state["seconds"]
        self._started = time.monotonic() - seconds
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        torch.set_rng_state(state["random"])
        if self.place.type == "cuda" and "random_cuda" in state:
            torch.cuda.set_rng_state(state["random_cuda"], self.place)
        self.observer.say(f"going on from the checkpoint at epoch {len(self.history) + 1}, step {self.step}")

    def finish(self, out: Path) -> TrainResult:
        """Take the chosen weights, measure them on the test split, write weights and result."""
        chosen = self.evaluated()
        if self.best is not None:
            chosen.load_state_dict(self.best)
        kept = weights.to_bytes(weights.snapshot(chosen))
        metrics = evaluate(chosen, self.dataset.test, self.place, self._stop_if_asked)
        files.write_bytes(out / "weights.safetensors", kept)
        return save(
            TrainResult(
                folder=out,
                recipe=self.recipe,
                data=self.dataset.info,
                weights_sha256=files.sha256(kept),
                metrics=metrics,
                history=tuple(self.history),
                best_epoch=self.best_epoch,
                parameters=sum(parameter.numel() for parameter in self.graph.parameters()),
                seconds=self.seconds,
                device=str(self.place),
                environment=environment(),
            )
        )


def _on_device(graph: Graph, config: TrainConfig, place: torch.device) -> Graph:
    graph = graph.to(place)
    if config.channels_last:
        for weight in graph.parameters():
            weight.data = weight.data.contiguous(memory_format=_memory_format(weight))
    return graph


def _memory_format(tensor: torch.Tensor) -> torch.memory_format:
    """Return channels last for pictures and volumes, and for the weights of their convolutions."""
    return {4: torch.channels_last, 5: torch.channels_last_3d}.get(tensor.dim(), torch.contiguous_format)


def _scores(graph: Graph, config: TrainConfig, place: torch.device) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return raw batch -> float32 scores, in the recipe's precision, memory format and compiled if it says so."""
    reduced = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(config.precision)

    def scores(raw: torch.Tensor) -> torch.Tensor:
        x = graph.pre(raw)
        x = x.contiguous(memory_format=_memory_format(x) if config.channels_last else torch.contiguous_format)
        if reduced is None:
            return graph.head(graph.net(x))  # type: ignore[no-any-return]
        with torch.autocast(place.type, reduced):
            result = graph.head(graph.net(x))
        return result.float()  # type: ignore[no-any-return]

    return torch.compile(scores) if config.compile else scores  # the graph itself stays as it is, for evaluation


def _check(config: TrainConfig, dataset: Dataset) -> None:
    """Raise `UsageError` for a value out of its range, `DataError` for a split that is needed and empty."""
    ranges = {
        "epochs": (config.epochs >= 1, "1 or more"),
        "batch_size": (config.batch_size >= 1, "1 or more"),
        "lr": (0 < config.lr < math.inf, "a number above 0"),
        "momentum": (0 <= config.momentum < 1, "in [0, 1)"),
        "weight_decay": (0 <= config.weight_decay < math.inf, "0 or more"),
        "decay": (0 < config.decay <= 1, "in (0, 1]"),
        "warmup": (0 <= config.warmup < 1, "in [0, 1)"),
        "clip_norm": (0 <= config.clip_norm < math.inf, "0 (off) or more"),
        "ema": (0 <= config.ema < 1, "in [0, 1), 0 is off"),
        "early_stop": (config.early_stop >= 0, "0 (off) or more"),
        "threads": (config.threads >= 0, "0 (torch's choice) or more"),
        "memory_mb": (config.memory_mb >= 0, "0 or more"),
        "workers": (config.workers >= 0, "0 or more"),
    }
    for name, (fits, expected) in ranges.items():
        if not fits:
            raise UsageError(f"train.{name} is {getattr(config, name)}, expected {expected}; change it with --set")
    if config.nesterov and (config.optimizer != "sgd" or not config.momentum):
        raise UsageError("train.nesterov needs train.optimizer=sgd and a train.momentum above 0")
    if config.early_stop and not len(dataset.validation):
        raise UsageError("train.early_stop needs a validation split, and this data has none; set it to 0")
    for name in ("train", "test"):
        if not len(getattr(dataset, name)):
            raise DataError(f"data {dataset.info.name!r} has no {name} samples; change the split, or add data")

"""Images per second of training: this project's loop beside the bare loop, the usual tutorial and Lightning.

    python benchmarks/training.py --data-root FOLDER_WITH_MNIST [--only lenet] [--rounds 5] [--seconds 6]

    bare          the limit: normalised float tensors that lie ready, one step after another, nothing else
    tutorial 0    torchvision's dataset, ToTensor and Normalize, a DataLoader that shuffles, the loop of the tutorials
    tutorial 2    the same with 2 worker processes
    lightning     the same dataset, loader (0 workers) and step in a LightningModule; left out where it is not installed
    ours          stages.train in float32, from raw pixels, with preprocessing inside the graph
    ours, chosen  the same with precision and memory format as the stage chooses them for this machine

LeNet-5 on MNIST, ResNet-18 on generated pictures of 64 x 64 px in a folder. All train the same network with AdamW, in
turn, for some seconds a round; rounds are interleaved, so that whatever else the machine does hits all. Printed are
medians over rounds: of the rates, and of the ratios within a round.
"""

import argparse
import copy
import gzip
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

from stages import discover, train
from stages.dataset import Dataset
from stages.graph import build
from stages.observer import Observer
from stages.recipe import Recipe, TrainConfig, use
from stages.train import batches, choice
from stages.train.distributed import Group

WARM = 2  # steps that are not counted
PICTURES, SIDE, CLASSES = 1920, 64, 10

Contender = Callable[[], float]


class Enough(Exception):  # noqa: N818
    """The time of a round is over."""


class Clock(Observer):
    """Counts images after the first steps, and raises `Enough` when the seconds are over."""

    def __init__(self, batch: int, seconds: float) -> None:
        self.batch, self.seconds = batch, seconds
        self.steps, self.started, self.rate = 0, 0.0, 0.0

    def progress(self, done: int, total: int = 0, note: str = "") -> None:
        """Hear that a step is done."""
        self.steps += 1
        now = time.perf_counter()
        if self.steps == WARM:
            self.started = now
        elif self.steps > WARM and now - self.started >= self.seconds:
            self.rate = (self.steps - WARM) * self.batch / (now - self.started)
            raise Enough

    def say(self, line: str) -> None:
        """Print what the stage says."""
        if "measured" in line:
            print(f"  {line}", flush=True)

    def over(self, work: Callable[[], Any]) -> float:
        """Return the rate of what calls `progress` until it is enough."""
        try:
            while True:
                work()
        except Enough:
            return self.rate


class Subject:
    """One network on one dataset, and everybody who trains it."""

    def __init__(self, recipe: Recipe, data: Dataset, ready: Any, seconds: float, out: Path) -> None:
        self.recipe, self.data, self.ready, self.seconds, self.out = recipe, data, ready, seconds, out
        torch.manual_seed(0)
        self.graph = build(recipe, data.info).train()

    def clock(self) -> Clock:
        """Return a clock for one contender's turn."""
        return Clock(self.recipe.train.batch_size, self.seconds)

    def network(self) -> nn.Module:
        """Return a fresh copy of the network with its head: normalised pixels to scores."""
        return nn.Sequential(copy.deepcopy(self.graph.net), copy.deepcopy(self.graph.head))

    def loader(self, workers: int) -> DataLoader[Any]:
        """Return the loader of the tutorials."""
        return DataLoader(self.ready, batch_size=self.recipe.train.batch_size, shuffle=True, num_workers=workers)

    def bare(self) -> float:
        """Train on tensors that lie ready."""
        size = self.recipe.train.batch_size
        rows = 20 * size
        with torch.no_grad():
            inputs = self.graph.pre(torch.from_numpy(np.asarray(self.data.train.inputs[:rows]))).contiguous()
        targets = torch.from_numpy(self.data.train.targets[:rows])
        network, clock = self.network(), self.clock()
        optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, fused=True)

        def epoch() -> None:
            for x, y in zip(inputs.split(size), targets.split(size), strict=True):
                optimizer.zero_grad()
                F.cross_entropy(network(x), y).backward()
                optimizer.step()
                clock.progress(0)

        return clock.over(epoch)

    def tutorial(self, workers: int) -> float:
        """Train as the tutorials do."""
        network, clock, loader = self.network(), self.clock(), self.loader(workers)
        criterion = nn.CrossEntropyLoss()
        optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)

        def epoch() -> None:
            running_loss = 0.0
            for inputs, labels in loader:
                optimizer.zero_grad()
                loss = criterion(network(inputs), labels)
                loss.backward()
                optimizer.step()
                running_loss += loss.item()
                clock.progress(0)

        return clock.over(epoch)

    def lightning(self) -> float:
        """Train under Lightning."""
        import logging
        import warnings

        import pytorch_lightning as lightning

        logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
        network, clock = self.network(), self.clock()

        class Module(lightning.LightningModule):
            def __init__(self) -> None:
                super().__init__()
                self.network = network

            def training_step(self, batch: Any, number: int) -> torch.Tensor:
                return F.cross_entropy(self.network(batch[0]), batch[1])

            def configure_optimizers(self) -> torch.optim.Optimizer:
                return torch.optim.AdamW(self.parameters(), lr=1e-3)

            def on_train_batch_end(self, *_: Any) -> None:
                try:
                    clock.progress(0)
                except Enough:
                    self.trainer.should_stop = True

        quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trainer = lightning.Trainer(max_epochs=-1, accelerator="cpu", devices=1, **quiet)
            trainer.fit(Module(), self.loader(0))
        return clock.rate

    def ours(self, config: TrainConfig) -> float:
        """Train by this project's stage."""
        clock, recipe = self.clock(), replace(self.recipe, train=config)
        return clock.over(lambda: train.run(recipe, self.data, self.out, clock))

    def chosen(self) -> TrainConfig:
        """Return what the stage chooses here."""
        config, place, observer = self.recipe.train, torch.device("cpu"), self.clock()
        order = batches.Order(config, len(self.data.train))
        source = batches.load(self.data.train, self.graph.pre, config, order, place, observer)
        return choice.resolve(config, self.graph, source, config.epochs * order.steps, Group(), observer)

    def contenders(self) -> dict[str, Contender]:
        """Return everybody by name."""
        usual, best = replace(self.recipe.train, precision="fp32", channels_last=False), self.chosen()
        found: dict[str, Contender] = {
            "bare": self.bare,
            "tutorial 0": lambda: self.tutorial(0),
            "tutorial 2": lambda: self.tutorial(2),
            "lightning": self.lightning,
            "ours": lambda: self.ours(usual),
            "ours, chosen": lambda: self.ours(best),
        }
        try:
            import pytorch_lightning  # noqa: F401
        except ImportError:
            print("  lightning is left out: not installed (pip install pytorch-lightning)")
            del found["lightning"]
        return found


def lenet(root: Path, seconds: float, temporary: Path) -> Subject:
    for source in sorted((root / "mnist").iterdir()):
        target = temporary / "MNIST" / "raw" / source.name.removesuffix(".gz")
        target.parent.mkdir(parents=True, exist_ok=True)
        with (gzip.open if source.suffix == ".gz" else open)(source, "rb") as packed, target.open("wb") as plain:
            shutil.copyfileobj(packed, plain)
    data = discover.call("data", use("mnist", validation=0), root)
    mean, std = (0.1307,), (0.3081,)
    ready = transforms.Compose([transforms.ToTensor(), transforms.Normalize(mean, std)])
    recipe = Recipe(
        name="lenet",
        data=use("mnist"),
        input=use("image", height=28, width=28, mean=mean, std=std),
        model=use("lenet5"),
        task=use("classify"),
        train=TrainConfig(epochs=50, batch_size=128, device="cpu", checkpoint_s=1e9),
    )
    return Subject(recipe, data, datasets.MNIST(str(temporary), transform=ready), seconds, temporary / "out")


def resnet18(root: Path, seconds: float, temporary: Path) -> Subject:
    generator = np.random.default_rng(0)
    for number in range(PICTURES):
        folder = temporary / "pictures" / str(number % CLASSES)
        folder.mkdir(parents=True, exist_ok=True)
        pixels = generator.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.jpg")
    mean, std = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
    ready = transforms.Compose([transforms.ToTensor(), transforms.Normalize(mean, std)])
    source = use("image_folder", path=str(temporary / "pictures"), validation=0.0, test=0.01)
    recipe = Recipe(
        name="resnet18",
        data=source,
        input=use("image", height=SIDE, width=SIDE, mean=mean, std=std),
        model=use("resnet18"),
        task=use("classify"),
        train=TrainConfig(epochs=50, batch_size=64, device="cpu", checkpoint_s=1e9),
    )
    data = discover.call("data", source, root)
    pictures = datasets.ImageFolder(str(temporary / "pictures"), transform=ready)
    return Subject(recipe, data, pictures, seconds, temporary / "out")


def compare(subject: Subject, rounds: int) -> None:
    contenders = subject.contenders()
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, contender in contenders.items():
            rates[name].append(contender())
    best = max(("tutorial 0", "tutorial 2"), key=lambda name: statistics.median(rates[name]))
    print(f"  {'':<14}{'images/s':>10}{'of bare':>10}{'x ' + best:>14}")
    for name, found in rates.items():
        of_bare, of_tutorial = (
            statistics.median(a / b for a, b in zip(found, rates[other], strict=True)) for other in ("bare", best)
        )
        print(f"  {name:<14}{statistics.median(found):>10,.0f}{of_bare:>10.2f}{of_tutorial:>14.2f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Images per second of training, side by side.")
    parser.add_argument("--data-root", type=Path, required=True)
    parser.add_argument("--only", choices=("lenet", "resnet18"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=6.0)
    given = parser.parse_args()
    for make in (lenet, resnet18):
        if given.only in (None, make.__name__):
            with tempfile.TemporaryDirectory() as temporary:
                print(f"{make.__name__}, {torch.get_num_threads()} threads", flush=True)
                compare(make(given.data_root, given.seconds, Path(temporary)), given.rounds)


if __name__ == "__main__":
    main()

"""What is wrong with a recipe's values or with the data, said before anything is made."""

import math

from deploy.errors import UsageError
from stages.dataset import Dataset
from stages.errors import DataError
from stages.recipe import TrainConfig


def check(config: TrainConfig, dataset: Dataset) -> None:
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

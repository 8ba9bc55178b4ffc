"""Train a recipe on a dataset: `run(recipe, dataset, out, observer) -> TrainResult`."""

from stages.train.loop import run

__all__ = ["run"]

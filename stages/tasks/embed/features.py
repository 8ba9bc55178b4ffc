"""The features of a network that was trained for anything, as an embedding: its graph without its head."""

import dataclasses
from pathlib import Path

import numpy as np
import torch

from deploy import files
from deploy.errors import UsageError
from stages import result
from stages.dataset import Dataset
from stages.graph import VECTOR, Graph, build
from stages.recipe import Recipe, replace, use
from stages.result import TrainResult
from stages.tasks.embed.vectors import head
from stages.train import weights
from stages.train.evaluate import evaluate

_FORMS = (VECTOR, "map", "pyramid", "residual")


def recipe_of(trained: TrainResult, dataset: Dataset, *, unit: bool = True) -> Recipe:
    """Return the recipe of a trained network's features: all as it was, but for the task.

    unit    bring the vectors to length 1

    Raises `UsageError` for a network whose features are neither vectors nor maps.
    """
    graph = weights.load_graph(trained)
    gives = getattr(graph.net, "gives", VECTOR)
    if gives not in _FORMS:
        raise UsageError(
            f"model {trained.recipe.model.name} gives features of the form {gives!r}, and none of a sample as a whole: "
            "auto-encoders, recommenders and generators cannot be embedded; give a run of another task"
        )
    task = use(
        "embed",
        size=_size(graph, dataset, average=gives != VECTOR),
        project=False,
        unit=unit,
        takes=gives,
        trained_by=trained.weights_sha256,
    )
    return replace(trained.recipe, name=f"{trained.recipe.name}_features", task=task)


def take(trained: TrainResult, recipe: Recipe, dataset: Dataset, out: Path) -> TrainResult:
    """Write the weights of a trained network without its head, and the result of a training that this would be.

    recipe    as `recipe_of` makes it

    How it was trained (history, seconds, device, versions) is taken over; the metrics are the vectors' own.
    """
    graph = build(recipe, trained.data, training=False).eval()
    known = weights.load_graph(trained).state_dict()
    graph.load_state_dict({name: known[name] for name in graph.state_dict()})
    kept = weights.to_bytes(weights.dense(graph.served()))
    made = dataclasses.replace(
        trained,
        folder=out,
        recipe=recipe,
        weights_sha256=files.sha256(kept),
        metrics=evaluate(graph, dataset.test, torch.device("cpu")),
        parameters=sum(parameter.numel() for parameter in graph.net.parameters()),
    )
    out.mkdir(parents=True, exist_ok=True)
    files.write_bytes(out / "weights.safetensors", kept)
    return result.save(made)


def _size(graph: Graph, dataset: Dataset, *, average: bool) -> int:
    """Return how many features one sample has."""
    raw = torch.from_numpy(np.asarray(dataset.test.inputs[0])[None])
    with torch.inference_mode():
        return int(head(0, 0, average=average, project=False, unit=False)(graph.net(graph.pre(raw))).shape[1])

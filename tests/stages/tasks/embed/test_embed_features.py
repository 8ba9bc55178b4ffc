"""The features of a network that was trained for something else are those of its graph."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from deploy.errors import UsageError
from stages import result
from stages.graph import build
from stages.result import TrainResult
from stages.tasks.embed import features
from stages.train.weights import load_graph


def test_the_vectors_are_the_features_before_the_head(colour_run: Any, colour_data: Any, tmp_path: Path) -> None:
    trained: TrainResult = colour_run.exported.trained
    raw = torch.from_numpy(colour_data.test.inputs[:20])
    graph = load_graph(trained)
    with torch.inference_mode():
        expected = graph.net(graph.pre(raw))
    for unit in (True, False):
        recipe = features.recipe_of(trained, colour_data, unit=unit)
        made = features.take(trained, recipe, colour_data, tmp_path / str(unit) / "train")
        again = result.load(TrainResult, tmp_path / str(unit))
        assert again.recipe == made.recipe == recipe
        with torch.inference_mode():
            (found,) = load_graph(again)(raw)
        wanted = expected / expected.norm(dim=1, keepdim=True) if unit else expected
        torch.testing.assert_close(found, wanted)
        assert made.metrics["recall_at_1"] > 0.8
        assert made.history == trained.history
    assert recipe.name == f"{trained.recipe.name}_features"
    assert recipe.task.options["trained_by"] == trained.weights_sha256
    with pytest.raises(UsageError, match="are not trained again"):
        build(recipe, trained.data)


def test_features_that_are_no_vectors_are_refused(
    colour_run: Any, colour_data: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = load_graph(colour_run.exported.trained)
    graph.net.gives = "characters"
    monkeypatch.setattr(features.weights, "load_graph", lambda trained: graph)
    with pytest.raises(UsageError, match="features of the form 'characters'"):
        features.recipe_of(colour_run.exported.trained, colour_data)


def test_the_metrics_stand_without_classes(colour_run: Any, colour_data: Any, tmp_path: Path) -> None:
    import dataclasses

    from stages.dataset import Split

    boxes = Split(colour_data.test.inputs, np.zeros((len(colour_data.test), 4), np.float32))
    other = dataclasses.replace(colour_data, test=boxes)
    trained = colour_run.exported.trained
    made = features.take(trained, features.recipe_of(trained, other), other, tmp_path)
    assert set(made.metrics) == {"directions"}

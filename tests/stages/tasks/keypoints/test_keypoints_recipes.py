"""Recipes reach what their docstrings say."""

from pathlib import Path

import pytest

from stages import discover, train
from stages.recipe import replace


@pytest.mark.matrix
@pytest.mark.parametrize("name", ["keypoints_faces", "keypoints_faces_regression"])
def test_recipe(name: str, tmp_path: Path) -> None:
    recipe = replace(discover.recipe(name), train={"device": "cpu"})
    metrics = train.run(recipe, discover.call("data", recipe.data, tmp_path), tmp_path / "train").metrics
    assert metrics["error_px"] < 2
    assert metrics["found_blank"] < 0.05

"""A graph is built from parts that fit each other."""

import dataclasses
from pathlib import Path

import pytest
import torch

from deploy.errors import UsageError
from stages.dataset import DataInfo
from stages.errors import DataError
from stages.graph import build
from stages.models.resnet import resnet18
from stages.recipe import Recipe, use

INFO = DataInfo("pictures", ("height", "width", 1), ("a", "b"), "5" * 64, "generated")
RECIPE = Recipe("small", use("digits"), use("image", height=28, width=28), use("lenet5"), use("classify"))


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("fcn", "model fcn takes series, (channels, time), time may be free"),
        ("resnet3d", "model resnet3d takes volumes, (channels, depth, height, width)"),
        ("lstm", "model lstm takes int64 token numbers"),
    ],
)
def test_a_model_for_another_kind_of_sample_is_refused(model: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        build(dataclasses.replace(RECIPE, model=use(model)), INFO)
    assert words in str(caught.value)
    assert "input image makes (1, 28, 28); choose another model" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_initial_weights_are_followed_for_training_alone(tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    given = resnet18((1, 28, 28)).state_dict()
    torch.save(given, path)
    recipe = dataclasses.replace(RECIPE, model=use("resnet18", weights=str(path)))
    assert torch.equal(build(recipe, INFO).net.conv1.weight, given["conv1.weight"])
    path.unlink()
    build(recipe, INFO, training=False)
    with pytest.raises(DataError, match="no such weights file"):
        build(recipe, INFO)

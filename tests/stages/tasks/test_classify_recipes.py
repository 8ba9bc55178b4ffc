"""Recipes reach what their docstrings say."""

import pytest

from stages import discover, train
from stages.recipe import replace
from stages.settings import apply


def trained(name, root, out, *settings):
    recipe = replace(apply(discover.recipe(name), settings), train={"device": "cpu"})
    return train.run(recipe, discover.call("data", recipe.data, root), out)


def test_lenet_digits(tmp_path):
    assert trained("lenet_digits", tmp_path, tmp_path / "train").metrics["accuracy"] >= 0.98


@pytest.mark.slow
def test_lenet_numpy_mnist(real_data, tmp_path):
    assert trained("lenet_numpy_mnist", real_data, tmp_path / "train").metrics["accuracy"] >= 0.9805


@pytest.mark.slow
def test_lenet5_mnist(real_data, tmp_path):
    assert trained("lenet5_mnist", real_data, tmp_path / "train").metrics["accuracy"] >= 0.994


def test_image_folder(generated_data, tmp_path):
    settings = (f"data.path={generated_data / 'pictures'}", "train.epochs=6", "input.height=32", "input.width=32")
    assert trained("image_folder", tmp_path, tmp_path / "train", *settings).metrics["accuracy"] == 1.0

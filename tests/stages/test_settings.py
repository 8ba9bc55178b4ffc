"""`--set`: typed like the recipe itself, and helpful about typos."""

from typing import Any

import pytest

from deploy.errors import UsageError
from stages import discover, recipe, settings
from stages.recipe import Recipe


@pytest.fixture
def base() -> Recipe:
    return discover.recipe("lenet_digits")


@pytest.mark.parametrize(
    ("setting", "path", "value"),
    [
        ("train.epochs=3", "train.epochs", 3),
        ("train.lr=1", "train.lr", 1.0),
        ("train.lr=3e-4", "train.lr", 3e-4),
        ("train.shuffle=false", "train.shuffle", False),
        ("train.optimizer=sgd", "train.optimizer", "sgd"),
        ("train.groups.head={'momentum': 0}".replace("'", '"'), "train.groups", {"head": {"momentum": 0.0}}),
        ("package.version=2", "package.version", "2"),
        ('verify.providers=["cpu","cuda"]', "verify.providers", ("cpu", "cuda")),
        ("model=resnet_small", "model", recipe.use("resnet_small")),
        ("model.name=resnet_small", "model.name", "resnet_small"),
        ("task.label_smoothing=0.1", "task.options", {"label_smoothing": 0.1}),
        ("name=mine", "name", "mine"),
    ],
)
def test_a_value_is_set_by_its_type(base: Recipe, setting: str, path: str, value: Any) -> None:
    found: Any = settings.apply(base, [setting])
    for part in path.split("."):
        found = getattr(found, part)
    kept = {k: v for k, v in found.items() if k in value} if isinstance(value, dict) else found
    assert kept == value
    assert type(kept) is type(value)


def test_settings_apply_in_order_and_leave_the_recipe_alone(base: Recipe) -> None:
    changed = settings.apply(base, ["train.epochs=3", "train.epochs=4"])
    assert changed.train.epochs == 4
    assert base.train.epochs != 4


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("train.epoch=3", "no such key 'epoch'; did you mean 'epochs'?"),
        ("trian.epochs=3", "no such key 'trian'; did you mean 'train'?"),
        ("train.epochs=many", "train.epochs: expected int, got 'many'"),
        ("train.epochs=1.5", "train.epochs: expected int, got 1.5"),
        ("train.epochs=true", "train.epochs: expected int, got True"),
        ("train.optimizer=sdg", "'sdg' is not one of 'sgd', 'adam', 'adamw'"),
        ("train.epochs", "expected KEY=VALUE"),
        ("train.epochs.more=1", "epochs has no keys inside"),
        ("train=fast", "train: expected a mapping, got 'fast'"),
    ],
)
def test_what_does_not_fit_is_said(base: Recipe, setting: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        settings.apply(base, [setting])
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_variants_replace_fields_inside_a_config(base: Recipe) -> None:
    variant = recipe.replace(base, name="long", train={"epochs": 20})
    assert (variant.name, variant.train.epochs, variant.train.lr) == ("long", 20, base.train.lr)

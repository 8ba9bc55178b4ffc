"""`--set`: typed like the recipe itself, and helpful about typos."""

from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from deploy.errors import UsageError
from stages import discover, recipe, settings
from stages.models.resnet import resnet18
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


@pytest.mark.parametrize(
    ("setting", "where", "option"),
    [
        ("data.path=2024", "data", "2024"),
        ("data.path=1.50", "data", "1.50"),
        ("data.path=1e3", "data", "1e3"),
        ("data.path=true", "data", "true"),
        ("data.path=null", "data", "null"),
        ("data.path=NaN", "data", "NaN"),
        ("data.path=[1]", "data", "[1]"),
        ('data.delimiter="\\t"', "data", "\t"),
        ("data.column=7", "data", 7),
        ("data.kind=1", "data", "1"),
        ("data.sides=[1, 2]", "data", (1, 2)),
        ("data.limit=10", "data", "10"),
        ("data.rate=1", "data", 1),
        ("data.unknown=1", "data", 1),
        ("model.weights=1", "model", "1"),
        ("model.pretrained=false", "model", False),
    ],
)
def test_an_option_that_is_text_is_as_typed(
    base: Recipe, monkeypatch: pytest.MonkeyPatch, setting: str, where: str, option: Any
) -> None:
    def source(
        root: str,
        *,
        path: str = "",
        delimiter: str = ",",
        column: str | int = 0,
        kind: Literal["1", "2"] = "2",
        sides: tuple[int, ...] = (),
        limit: str | None = "",
        rate: float = 0.0,
    ) -> None:
        """Return nothing."""

    monkeypatch.setattr(discover.Found, "function", lambda found: source if found.name == "digits" else resnet18)
    changed = settings.apply(recipe.replace(base, model=recipe.use("resnet18")), [setting])
    found = getattr(changed, where).options[setting.partition("=")[0].partition(".")[2]]
    assert found == option
    assert type(found) is type(option)


@dataclass(frozen=True)
class Texts:
    """Every annotation that text stands in."""

    plain: str = ""
    perhaps: str | None = ""
    one_of: Literal["1", "2"] = "2"
    several: tuple[str, ...] = ()
    two: tuple[str, int] = ("", 0)
    by_name: dict[str, str] = field(default_factory=dict)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("plain=1.0", "1.0"),
        ("plain=-Infinity", "-Infinity"),
        ("plain=FALSE", "FALSE"),
        ("plain={}", "{}"),
        ("perhaps=null", None),
        ("perhaps=10", "10"),
        ("one_of=1", "1"),
        ("several=[1, 2.50]", ("1", "2.50")),
        ('two=["1", 2]', ("1", 2)),
        ("by_name.a=1", {"a": "1"}),
    ],
)
def test_a_field_that_is_text_is_as_typed(setting: str, value: Any) -> None:
    changed = settings.apply(Texts(), [setting])
    assert getattr(changed, setting.partition("=")[0].partition(".")[0]) == value


def test_a_value_that_fits_no_reading_is_said_with_what_is_expected(base: Recipe) -> None:
    with pytest.raises(UsageError, match="classify, option 'label_smoothing': expected a number, got 'much'"):
        settings.apply(base, ["task.label_smoothing=much"])


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

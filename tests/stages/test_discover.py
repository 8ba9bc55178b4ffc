"""Names from folders, and options checked against the functions behind them."""

from pathlib import Path

import pytest

from deploy.errors import UsageError
from stages import discover
from stages.recipe import Recipe, use


@pytest.mark.parametrize("folder", ["recipes", "tasks", "models", "data", "inputs"])
def test_every_folder_has_entries_with_a_summary(folder: str) -> None:
    found = discover.found(folder)
    assert found
    for name, entry in found.items():
        assert entry.name == name
        assert entry.summary, name
        assert callable(entry.function()), name


def test_every_recipe_is_one_and_is_named_as_its_function() -> None:
    for name in discover.found("recipes"):
        made = discover.recipe(name)
        assert isinstance(made, Recipe)
        assert made.name == name


@pytest.mark.parametrize("name", discover.found("recipes"))
def test_every_recipe_tells_its_command(name: str) -> None:
    text = discover.find("recipes", name).function().__doc__ or ""
    assert f"\n    pipeline run {name}" in text


@pytest.mark.parametrize(
    ("folder", "name", "words"),
    [
        ("recipes", "lenet_digit", "unknown recipe 'lenet_digit'; did you mean 'lenet_digits'? choose from:"),
        ("models", "lenet6", "unknown model 'lenet6'; did you mean 'lenet5'?"),
        ("data", "minst", "unknown data source 'minst'; did you mean 'mnist'?"),
    ],
)
def test_an_unknown_name_is_answered_with_the_closest(folder: str, name: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        discover.find(folder, name)
    assert words in str(caught.value)


def test_options_are_checked_before_the_call(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="option 'sed': no such option; did you mean 'seed'"):
        discover.call("data", use("digits", sed=1), tmp_path)
    with pytest.raises(UsageError, match="option 'seed': expected int, got 'one'"):
        discover.call("data", use("digits", seed="one"), tmp_path)


RECIPE = """
from stages.recipe import Recipe, use

def mine() -> Recipe:
    return Recipe("mine", use("digits"), use("image", height=28, width=28), use("lenet5"), use("classify"))
"""


def test_a_recipe_file_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(RECIPE)
    assert discover.recipe(str(path)).name == "mine"
    assert discover.recipe(f"{path}:mine").name == "mine"


@pytest.mark.parametrize(
    ("text", "suffix", "words"),
    [
        (None, "", "no such recipe file; write one: pipeline init"),
        ("x = (", "", "could not be imported: SyntaxError"),
        ("import nothing_like_this", "", "could not be imported: ModuleNotFoundError"),
        ("x = 1", "", "expected exactly one public function"),
        (RECIPE + "\ndef other(): ...", "", "expected exactly one public function"),
        (RECIPE, ":mien", "expected recipe 'mien'; did you mean 'mine'?"),
        ("def mine(): return 3", "", "mine() returned int, expected a Recipe"),
    ],
)
def test_a_bad_recipe_file_is_explained(tmp_path: Path, text: str | None, suffix: str, words: str) -> None:
    path = tmp_path / "mine.py"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UsageError) as caught:
        discover.recipe(f"{path}{suffix}")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)

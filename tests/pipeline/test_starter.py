"""`pipeline init`: a recipe of the user's own."""

from pathlib import Path

import pytest

from stages import discover
from tests.pipeline.conftest import Fakes, Invoke


def test_init_writes_a_recipe_that_runs(invoke: Invoke, generated_data: Path, workplace: Path) -> None:
    pictures = generated_data / "pictures"
    done = invoke("init", str(pictures))
    assert done.exit_code == 0, done.stderr
    assert done.stdout == "my_recipe.py: 3 classes, 36 pictures; now: pipeline run ./my_recipe.py\n"
    text = (workplace / "my_recipe.py").read_text()
    assert "blue: 12 pictures" in text
    recipe = discover.recipe("./my_recipe.py")
    assert recipe.name == "my_recipe"
    assert recipe.data.options == {"path": str(pictures)}
    assert recipe.input.options == {"height": 32, "width": 32}


@pytest.mark.usefixtures("untracked")
def test_the_recipe_walks(invoke: Invoke, generated_data: Path, workplace: Path, fakes: Fakes) -> None:
    invoke("init", str(generated_data / "pictures"), "--out", "colours.py")
    done = invoke("run", "./colours.py")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.startswith("runs/colours-")


def test_the_written_file_is_well_formed(invoke: Invoke, generated_data: Path, workplace: Path) -> None:
    invoke("init", str(generated_data / "pictures"), "--out", "3 class-es.py")
    assert discover.recipe("3 class-es.py").name == "recipe_3_class_es"
    lines = (workplace / "3 class-es.py").read_text().splitlines()
    assert not [line for line in lines if line != line.rstrip()]


def test_nothing_is_overwritten(invoke: Invoke, generated_data: Path, workplace: Path) -> None:
    (workplace / "my_recipe.py").write_text("mine")
    done = invoke("init", str(generated_data / "pictures"))
    assert done.exit_code == 2
    assert done.stderr == "Error: my_recipe.py: exists already and is not overwritten; choose another: --out FILE\n"
    assert (workplace / "my_recipe.py").read_text() == "mine"


def test_folders_that_cannot_be_trained_on(invoke: Invoke, workplace: Path) -> None:
    done = invoke("init", "nothing")
    assert (done.exit_code, done.stderr) == (
        1,
        "Error: nothing: no such folder; give the one that holds a sub-folder of pictures for each class\n",
    )
    for name in ("cats", "dogs"):
        (workplace / "pictures" / name).mkdir(parents=True)
    done = invoke("init", "pictures")
    assert done.exit_code == 1
    assert done.stderr == "Error: pictures/cats: no pictures in this class folder; add some, or remove the folder\n"
    for name in ("cats", "dogs"):
        for number in range(12):
            (workplace / "pictures" / name / f"{number}.png").write_bytes(b"not a picture")
    done = invoke("init", "pictures")
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: pictures: 24 of 24 files cannot be read as pictures: cats/0.png (")
    assert not (workplace / "my_recipe.py").exists()

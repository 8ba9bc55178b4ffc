"""Initial weights are a part of what a training is made from: other ones make another run."""

from pathlib import Path

from pipeline.run import train_inputs
from stages import discover
from stages.recipe import replace, use


def test_other_initial_weights_in_the_same_file_make_another_run(tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    recipe = replace(discover.recipe("lenet_digits"), model=use("resnet18", weights=str(path)))
    keys = []
    for content in (b"one", b"two", b"one"):
        path.write_bytes(content)
        keys.append(train_inputs(recipe, "d")["key"])
    assert keys[0] == keys[2] != keys[1]
    for weights in ("", "imagenet"):
        inputs = train_inputs(replace(recipe, model=use("resnet18", weights=weights)), "d")
        assert "initial_weights" not in inputs["config"]

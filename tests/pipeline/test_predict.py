"""`pipeline predict` for every kind of input: files as they lie about, and texts."""

import gzip
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from deploy.bundle import Signature, TensorSpec
from deploy.inputs import input_kind
from deploy.outputs import Result
from pipeline import serving
from tests.pipeline.conftest import Invoke

SPECS = {
    "history": TensorSpec("history", "int32", ("batch", "ids")),
    "image": TensorSpec("image", "uint8", ("batch", "height", "width", 3), (0.0, 255.0)),
    "poem": TensorSpec("character", "int32", ("batch",)),
    "series": TensorSpec("series", "float32", ("batch", 2, "length")),
    "spectral": TensorSpec("patch", "uint8", ("batch", 4, 3, 3)),
    "text": TensorSpec("text", "int32", ("batch", "length")),
    "volume": TensorSpec("volume", "float32", ("batch", "depth", "height", "width")),
}


class Answer(Result):
    def __init__(self, array: Any) -> None:
        self.array = array

    def to_dict(self) -> dict[str, Any]:
        return {"shape": "x".join(map(str, self.array.shape)), "mean": float(self.array.mean()), "all": [1]}


class Loaded:
    """A predictor with the real handling of payloads, whose answer is the shape of the tensor."""

    def __init__(self, kind: str) -> None:
        state = TensorSpec("state", "float32", ("batch", 2))
        self.kind = input_kind(Signature(kind, (SPECS[kind], state), (), {"characters": "春夜"}))

    def predict(self, payload: object) -> Answer:
        return Answer(next(iter(self.kind.arrays(payload).values())))


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> Any:
    def use(kind: str) -> None:
        @contextmanager
        def predictor(*arguments: object) -> Iterator[Loaded]:
            yield Loaded(kind)

        monkeypatch.setattr(serving, "predictor", predictor)

    return use


def write(name: str) -> Path:
    """Write a sample as such a file into the current folder."""
    path = Path(name)
    if path.suffix == ".png":
        Image.fromarray(np.zeros((5, 7, 3), np.uint8)).save(path)
    elif path.suffix == ".csv":
        path.write_text("left,right\n" + "1.5,2\n" * 9)
    elif path.suffix == ".txt":
        path.write_text("山水 and more\n", encoding="utf-8")
    elif path.suffix == ".json":
        path.write_text('{"user": 7, "recent": [318, 296]}')
    elif path.suffix == ".gz":
        nibabel = pytest.importorskip("nibabel")
        image = nibabel.Nifti1Image(np.ones((4, 5, 6), np.float32), np.eye(4))
        path.write_bytes(gzip.compress(image.to_bytes()))
    else:
        shape = {"series": (2, 9), "patch": (4, 3, 3), "volume": (4, 5, 6)}[path.stem]
        np.save(path, np.ones(shape, np.uint8 if path.stem == "patch" else np.float32))
    return path


@pytest.mark.parametrize(
    ("kind", "name", "shape"),
    [
        ("image", "picture.png", "1x5x7x3"),
        ("series", "series.csv", "1x2x9"),
        ("series", "series.npy", "1x2x9"),
        ("spectral", "patch.npy", "1x4x3x3"),
        ("volume", "volume.npy", "1x4x5x6"),
        ("volume", "volume.nii.gz", "1x4x5x6"),
        ("text", "review.txt", "1x16"),
        ("history", "ann.json", "1x17"),
    ],
)
def test_a_file_of_each_kind(invoke: Invoke, loaded: Any, kind: str, name: str, shape: str) -> None:
    loaded(kind)
    done = invoke("predict", "somewhere", str(write(name)))
    assert done.exit_code == 0, done.stderr
    assert done.stdout.startswith(f"{name}  shape {shape}  mean ")


def test_texts_and_files_of_text(invoke: Invoke, loaded: Any) -> None:
    loaded("text")
    long = "a very long text " * 20
    done = invoke("predict", "somewhere", str(write("review.txt")), "--text", "山水", "--text", long, "--json")
    assert done.exit_code == 0, done.stderr
    assert [json.loads(line)["input"] for line in done.stdout.splitlines()] == ["review.txt", "山水", long]
    line = invoke("predict", "somewhere", "--text", long).stdout
    assert line.startswith(f"{long[:59]}…  shape ")


def test_a_text_for_a_model_of_pictures(invoke: Invoke, loaded: Any) -> None:
    loaded("series")
    done = invoke("predict", "somewhere", "--text", "a film")
    assert done.exit_code == 2
    assert done.stderr.startswith("Error: --text is for models of text; this one takes a CSV file with a line for each")


def test_objects_for_models_that_take_them(invoke: Invoke, loaded: Any) -> None:
    loaded("poem")
    done = invoke("predict", "somewhere", "--object", '{"title": "春夜", "form": 7}', "--text", "山", "--json")
    assert done.exit_code == 0, done.stderr
    assert [json.loads(line)["input"] for line in done.stdout.splitlines()] == ["山", {"title": "春夜", "form": 7}]
    assert invoke("predict", "somewhere", "--object", '{"form": 7}').stdout.startswith('{"form": 7}  shape 1')
    for words, reason in (("{", "not JSON"), ("[1]", "is list, expected an object")):
        done = invoke("predict", "somewhere", "--object", words)
        assert done.exit_code == 2
        assert reason in done.stderr


def test_an_object_for_a_model_of_pictures(invoke: Invoke, loaded: Any) -> None:
    loaded("series")
    done = invoke("predict", "somewhere", "--object", "{}")
    assert done.exit_code == 2
    assert done.stderr.startswith("Error: --object is for models of objects; this one takes a CSV file")


def test_nothing_to_answer_for(invoke: Invoke, loaded: Any) -> None:
    loaded("image")
    done = invoke("predict", "somewhere")
    assert done.exit_code == 2
    assert "nothing to answer for" in done.stderr


def test_what_cannot_be_read_is_said_and_the_rest_answered(invoke: Invoke, loaded: Any) -> None:
    loaded("series")
    Path("bad.csv").write_text("1,2\n3\n")
    done = invoke("predict", "somewhere", "bad.csv", "none.csv", str(write("series.csv")))
    assert done.exit_code == 1
    assert [line.split()[:2] for line in done.stderr.splitlines()] == [["Error:", "bad.csv:"], ["Error:", "none.csv:"]]
    assert done.stdout.startswith("series.csv  shape 1x2x9")

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from deploy.bundle import Signature, TensorSpec
from deploy.errors import BundleError, UsageError
from deploy.outputs import output_kind
from deploy.outputs.classes import Classification
from deploy.outputs.tensors import Tensors

LABELS = ("cat", "dog", "emu")
CLASSES = Signature("classes", (), LABELS)


def read(rows: list[list[float]], index: list[int]) -> list[Classification]:
    tensors = {"probabilities": np.array(rows, np.float32), "class_index": np.array(index)}
    return list(output_kind(CLASSES).read(tensors, {}))  # type: ignore[arg-type]


def test_each_row_is_a_result_in_order() -> None:
    first, second = read([[0.1, 0.7, 0.2], [0.9, 0.05, 0.05]], [1, 0])
    assert (first.label, first.index) == ("dog", 1)
    assert first.probability == pytest.approx(0.7)
    assert second.label == "cat"
    assert [score.label for score in first.top(2)] == ["dog", "emu"]
    assert len(first.top(99)) == 3


def test_the_decision_of_the_graph_comes_first_in_a_tie() -> None:
    (result,) = read([[0.4, 0.4, 0.2]], [1])
    assert [score.label for score in result.top()] == ["dog", "cat", "emu"]


@given(arrays(np.float32, (1, 3), elements=st.floats(0, 1, width=32)))
def test_top_is_sorted_and_complete(probabilities: np.ndarray) -> None:
    (result,) = read(probabilities.tolist(), [int(probabilities.argmax())])
    found = [score.probability for score in result.top(3)]
    assert found == sorted(found, reverse=True)
    assert {score.index for score in result.top(3)} == {0, 1, 2}


def test_it_is_json_and_frozen() -> None:
    (result,) = read([[0.25, 0.5, 0.25]], [1])
    assert json.loads(json.dumps(result.to_dict(2))) == {
        "label": "dog",
        "index": 1,
        "probability": 0.5,
        "top": [{"label": "dog", "index": 1, "probability": 0.5}, {"label": "cat", "index": 0, "probability": 0.25}],
    }
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.label = "cat"  # type: ignore[misc]
    with pytest.raises(ValueError, match="read-only"):
        result.probabilities[0] = 1


def test_results_do_not_share_memory_with_the_session() -> None:
    tensor = np.array([[0.1, 0.9, 0.0]], np.float32)
    (result,) = output_kind(CLASSES).read({"probabilities": tensor, "class_index": np.array([1])}, {})
    tensor[:] = 0
    assert result.top(1)[0].probability == pytest.approx(0.9)  # type: ignore[attr-defined]


def test_no_top_is_a_usage_error() -> None:
    (result,) = read([[0.1, 0.9, 0.0]], [1])
    with pytest.raises(UsageError, match=r"top\(0\): expected 1 or more"):
        result.top(0)


def test_an_unknown_kind_names_those_known() -> None:
    with pytest.raises(BundleError, match=r"output kind 'smell': this onnxway knows .*classes"):
        output_kind(Signature("smell", ()))


TENSORS = Signature("tensors", (TensorSpec("y", "float32", ("batch", 2)), TensorSpec("n", "int64", ("batch",))))


def test_tensors_are_one_row_of_each_output_by_name() -> None:
    tensors = {"y": np.array([[1.5, 2], [3, 4]], np.float32), "n": np.array([7, 8])}
    first, second = output_kind(TENSORS).read(tensors, {})
    assert isinstance(second, Tensors)
    assert second["y"].tolist() == [3, 4]
    assert json.loads(json.dumps(first.to_dict())) == {"outputs": {"y": [1.5, 2], "n": 7}}
    tensors["y"][:] = 0
    assert second["y"].tolist() == [3, 4]
    with pytest.raises(ValueError, match="read-only"):
        second["y"][0] = 1
    with pytest.raises(TypeError):
        second.outputs["y"] = second["y"]  # type: ignore[index]


def test_what_json_lacks_is_null() -> None:
    (result,) = output_kind(TENSORS).read({"y": np.array([[np.nan, -np.inf]], np.float32), "n": np.array([1])}, {})
    assert json.dumps(result.to_dict(), allow_nan=False) == '{"outputs": {"y": [null, null], "n": 1}}'

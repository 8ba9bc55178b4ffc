import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from deploy.bundle import Signature, TensorSpec
from deploy.errors import InputError, OnnxwayError

pytest.importorskip("orjson", reason="needs the extra 'serve'")

from deploy.server.protocol import messages
from deploy.server.protocol.json_text import Document

AXES = ("batch", "length")
INPUTS = Signature("image", (TensorSpec("x", "uint8", AXES),))
OUTPUTS = Signature("classes", (TensorSpec("y", "float32", AXES), TensorSpec("k", "int64", ("batch",))))


def tensor(**changes: Any) -> dict[str, Any]:
    made = {"name": "x", "datatype": "UINT8", "shape": [2, 3], "data": [0, 1, 2, 3, 4, 255]} | changes
    return {key: value for key, value in made.items() if value is not ...}


def read(body: Any, inputs: Signature = INPUTS) -> messages.InferRequest:
    return messages.read_request(Document(body), inputs, OUTPUTS)


@pytest.mark.parametrize("data", [[0, 1, 2, 3, 4, 255], [[0, 1, 2], [3, 4, 255]]], ids=["flat", "nested"])
def test_flat_and_nested_data(data: list[Any]) -> None:
    request = read({"inputs": [tensor(data=data)], "id": "7"})
    assert request.arrays["x"].tolist() == [[0, 1, 2], [3, 4, 255]]
    assert request.arrays["x"].dtype == np.uint8
    assert request.outputs == ("y", "k")
    assert request.id == "7"


def test_some_outputs_in_the_order_asked_for() -> None:
    wanted = [{"name": "k", "parameters": {"binary_data": False}}]
    assert read({"inputs": [tensor()], "outputs": wanted}).outputs == ("k",)
    assert read({"inputs": [tensor()], "outputs": []}).outputs == ("y", "k")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (None, "request: got nothing, expected a JSON object"),
        ([], "request: got an empty list"),
        ({}, "inputs: got nothing, expected a list of tensors"),
        ({"inputs": []}, "inputs: got an empty list"),
        ({"inputs": {"x": 1}}, "inputs: got an object"),
        ({"inputs": [3]}, r"inputs\[0\]: got a number, expected an object"),
        ({"inputs": [tensor(name=3)]}, r"inputs\[0\].name: got a number, expected a string"),
        ({"inputs": [tensor(name="X")]}, r"the model has no 'X'; .*choose from: x"),
        ({"inputs": [tensor(), tensor()]}, r"inputs\[1\]: 'x' is there twice"),
        ({"inputs": [tensor(datatype="FP32")]}, "got datatype 'FP32', expected 'UINT8'"),
        ({"inputs": [tensor(datatype=...)]}, "got datatype 'None'"),
        ({"inputs": [tensor(shape=...)]}, "shape is None, expected a list of whole numbers"),
        ({"inputs": [tensor(shape=[2, -3])]}, "expected a list of whole numbers from 1 up"),
        ({"inputs": [tensor(shape=[0, 3], data=[])]}, "from 1 up"),
        ({"inputs": [tensor(shape=[2.0, 3])]}, "whole numbers"),
        ({"inputs": [tensor(shape=[True, 6])]}, "whole numbers"),
        ({"inputs": [tensor(shape=[6])]}, "has 1 axes, expected 2"),
        ({"inputs": [tensor(shape=[1] * 1000)]}, "has 1000 axes, expected 2"),
        ({"inputs": [tensor(shape=[2, 4])]}, r"data has 6 values, its shape \[2, 4\] says 8"),
        ({"inputs": [tensor(shape=[2**32, 2**32])]}, "data has 6 values, its shape .* says 18446744073709551616"),
        ({"inputs": [tensor(shape=[2**63, 2])]}, "data has 6 values"),
        ({"inputs": [tensor(data=...)]}, "data is nothing, expected a list of numbers"),
        ({"inputs": [tensor(data=3)]}, "data is a number"),
        ({"inputs": [tensor(data="AAAA")]}, "data is a string"),
        ({"inputs": [tensor(data=[])]}, "data has 0 values"),
        ({"inputs": [tensor(data=[[0, 1], [2, 3, 4, 5]])]}, r"data has \[2, 4\] items at depth 1, its shape says 3"),
        ({"inputs": [tensor(data=[[0, 1, 2]])]}, r"data has \[1\] items at depth 0, its shape says 2"),
        ({"inputs": [tensor(data=[[0, 1, 2], 3])]}, "not nested as its shape"),
        ({"inputs": [tensor(data=[[[0], [1], [2]]] * 2)]}, "data holds list, expected int only"),
        ({"inputs": [tensor(data=[0, 1, 2, 3, 4, 256])]}, "values run from 0 to 256, expected 0 to 255"),
        ({"inputs": [tensor(data=[-1, 1, 2, 3, 4, 5])]}, "values run from -1 to 5"),
        ({"inputs": [tensor(data=[0, 1, 2, 3, 4, 10**400])]}, "expected 0 to 255"),
        ({"inputs": [tensor(data=[0, 1, 2, 3, 4, 5.0])]}, "data holds float, expected int only"),
        ({"inputs": [tensor(data=[0, 1, 2, 3, 4, True])]}, "data holds bool"),
        ({"inputs": [tensor(data=[0, 1, 2, 3, 4, None])]}, "data holds NoneType"),
        ({"inputs": [tensor(data=["0"] * 6)]}, "data holds str"),
        ({"inputs": [tensor()], "id": 7}, "id: got a number, expected a string"),
        ({"inputs": [tensor()], "outputs": [{"name": "z"}]}, r"outputs\[0\]: the model has no 'z'"),
        ({"inputs": [tensor()], "outputs": [{"name": "y"}] * 2}, "'y' is there twice"),
        ({"inputs": [tensor()], "outputs": "y"}, "outputs: got a string"),
    ],
)
def test_what_does_not_fit_is_named(body: Any, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        read(body)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    ("changes", "tail", "words"),
    [
        ({"size": 5}, b"12345", r"got 5 bytes, its shape \[2, 3\] of uint8 says 6"),
        ({"size": 6}, b"12345", "binary_data_size is 6, and 5 bytes are left"),
        ({"size": 10**30}, b"12345", "and 5 bytes are left"),
        ({"size": 6}, b"1234567", "1 bytes follow the last tensor"),
        ({"size": -1}, b"", "binary_data_size is -1, expected a whole number from 0 up"),
        ({"size": True}, b"1", "binary_data_size is True"),
        ({"size": 6.0}, b"123456", "binary_data_size is 6.0"),
        ({"size": 6, "data": [1]}, b"123456", "both data and binary_data_size"),
        ({"size": 6, "shape": [2**40, 2**40]}, b"123456", "got 6 bytes, its shape"),
        ({"parameters": []}, b"", "parameters is an empty list"),
        ({}, b"123456", "6 bytes follow the last tensor"),
        ({}, b"", "data is nothing"),
    ],
)
def test_lies_about_bytes_are_named(changes: dict[str, Any], tail: bytes, words: str) -> None:
    changes = dict(changes)
    parameters = {"parameters": {"binary_data_size": changes.pop("size")}} if "size" in changes else {}
    body = {"inputs": [tensor(**({"data": ...} | parameters | changes))]}
    with pytest.raises(InputError, match=words):
        messages.read_request(Document(body), INPUTS, OUTPUTS, tail)


def test_bytes_are_not_copied() -> None:
    tail = bytes(range(6))
    body = {"inputs": [tensor(data=..., parameters={"binary_data_size": 6})]}
    found = messages.read_request(Document(body), INPUTS, OUTPUTS, tail).arrays["x"]
    assert found.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert np.shares_memory(found, np.frombuffer(tail, np.uint8))


def test_parameters() -> None:
    found = read({"inputs": [tensor()], "parameters": {"priority": 2, "timeout": 1500, "other": "x"}})
    assert (found.priority, found.timeout_s) == (2, 0.0015)
    assert read({"inputs": [tensor()], "parameters": {"timeout": 0}}).timeout_s is None
    for parameters, words in [
        ({"priority": -1}, "priority: got -1"),
        ({"priority": True}, "priority: got True"),
        ({"timeout": 1.5}, "timeout: got 1.5, expected microseconds"),
        ({"timeout": 10**13}, "timeout"),
        ({"binary_data_output": 1}, "binary_data_output is a number, expected true or false"),
        ([], "parameters is an empty list"),
    ]:
        with pytest.raises(InputError, match=words):
            read({"inputs": [tensor()], "parameters": parameters})


@pytest.mark.parametrize(
    ("default", "outputs", "binary"),
    [
        (True, None, {"y", "k"}),
        (True, [{"name": "y"}, {"name": "k", "parameters": {"binary_data": False}}], {"y"}),
        (False, [{"name": "y"}, {"name": "k", "parameters": {"binary_data": True}}], {"k"}),
    ],
)
def test_an_output_may_ask_for_bytes_or_not(default: bool, outputs: Any, binary: set[str]) -> None:
    body = {"inputs": [tensor()], "parameters": {"binary_data_output": default}, "outputs": outputs}
    assert read(body).binary == binary


@pytest.mark.parametrize(
    ("shape", "size", "found"),
    [
        (("batch", 3), 12, (4, 3)),
        (("batch", "length", 3), 12, (1, 4, 3)),
        ((2, 3), 6, (2, 3)),
        ((2, 3), 12, "got 12 bytes, expected 6"),
        (("batch", 3), 13, "expected a multiple of 3"),
        (("batch", 3), 0, "expected a multiple of 3"),
        (("batch", "height", "width"), 12, "height and width are not known from 12 bytes"),
    ],
)
def test_raw_bodies(shape: tuple[Any, ...], size: int, found: Any) -> None:
    signature = Signature("any", (TensorSpec("x", "uint8", shape),))
    if isinstance(found, str):
        with pytest.raises(InputError, match=found):
            messages.raw_request(signature, OUTPUTS, bytes(size))
        return
    request = messages.raw_request(signature, OUTPUTS, bytes(size))
    assert request.arrays["x"].shape == found
    assert request.binary == {"y", "k"}


def test_raw_bodies_are_for_one_input() -> None:
    with pytest.raises(InputError, match="the model has 2 inputs"):
        messages.raw_request(OUTPUTS, OUTPUTS, b"x")


REAL = Signature("series", (TensorSpec("x", "float32", AXES),))


def test_real_numbers_may_be_nan_and_whole_but_must_fit() -> None:
    data = [float("nan"), float("inf"), -1, 1e-60, 0.5, 3]
    found = read({"inputs": [tensor(datatype="FP32", data=data)]}, REAL).arrays["x"].ravel()
    assert np.isnan(found[0])
    assert found[1:].tolist() == [np.inf, -1, 0, 0.5, 3]
    for too_big in (1e39, 10**400):
        with pytest.raises(InputError, match="a number that float32 cannot hold"):
            read({"inputs": [tensor(datatype="FP32", data=[0, 0, 0, 0, 0, too_big])]}, REAL)


DTYPES = st.sampled_from(sorted(messages.DATATYPES))


@given(st.data(), DTYPES, st.booleans())
def test_a_response_read_as_a_request_is_the_same(data: st.DataObject, dtype: str, nested: bool) -> None:
    array = data.draw(arrays(dtype, array_shapes(min_dims=2, max_dims=2, max_side=4)))
    request = messages.InferRequest({}, ("x",), "id")
    text, tail = messages.render_response({"x": array, "hidden": array}, request, "m", "1")
    response = json.loads(text)
    assert tail == []
    assert (response["model_name"], response["model_version"], response["id"]) == ("m", "1", "id")
    (output,) = response["outputs"]
    if nested:
        output["data"] = array.tolist()
    signature = Signature("any", (TensorSpec("x", dtype, AXES),))
    again = messages.read_request(Document({"inputs": [output]}), signature, signature).arrays["x"]
    assert again.dtype == array.dtype
    assert np.array_equal(again, array, equal_nan=array.dtype.kind == "f")


@given(st.data(), DTYPES)
def test_bytes_of_a_response_read_as_a_request_are_the_same(data: st.DataObject, dtype: str) -> None:
    array = data.draw(arrays(dtype, array_shapes(min_dims=2, max_dims=2, max_side=4)))
    request = messages.InferRequest({}, ("x",), "id", frozenset({"x"}))
    text, tail = messages.render_response({"x": array.T}, request, "m", "1")
    (output,) = json.loads(text)["outputs"]
    assert output["parameters"] == {"binary_data_size": array.nbytes}
    signature = Signature("any", (TensorSpec("x", dtype, AXES),))
    odd = memoryview(b"?" + b"".join(tail))[1:]  # not aligned
    again = messages.read_request(Document({"inputs": [output]}), signature, signature, odd).arrays["x"]
    assert again.flags.aligned
    assert again.tobytes() == array.T.tobytes()


def test_a_byte_over_one_is_no_boolean() -> None:
    signature = Signature("any", (TensorSpec("x", "bool", ("batch",)),))
    with pytest.raises(InputError, match="holds bytes over 1"):
        messages.raw_request(signature, OUTPUTS, b"\0\1\2")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["name", "data", "shape"]), inner),
    max_leaves=8,
)


@given(JSON, JSON, JSON, JSON)
def test_any_json_is_read_or_refused(whole: Any, shape: Any, data: Any, outputs: Any) -> None:
    bodies = [whole, {"inputs": whole}, {"inputs": [tensor(shape=shape, data=data)]}]
    bodies += [{"inputs": [tensor(data=data)], "outputs": outputs}, {"inputs": [tensor(**{"datatype": whole})]}]
    for body in bodies:
        try:
            read(body)
        except OnnxwayError as error:
            words = str(error)
        else:
            continue
        assert words
        assert "\n" not in words


def test_metadata_says_minus_one_for_free_sizes() -> None:
    assert messages.describe(OUTPUTS)[0] == {"name": "y", "datatype": "FP32", "shape": [-1, -1]}

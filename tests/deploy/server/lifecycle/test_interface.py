import dataclasses

import pytest

from deploy import Predictor
from deploy.bundle import Signature, TensorSpec
from deploy.errors import BundleError
from deploy.predictor import Info
from deploy.server.lifecycle.interface import require_fit

BATCH = ("batch", 3)


@pytest.fixture
def old(predictor: Predictor) -> Info:
    return with_tensors(
        predictor.info, [TensorSpec("x", "float32", BATCH)], [TensorSpec("y", "float32", ("batch", 10))]
    )


def with_tensors(info: Info, inputs: list[TensorSpec], outputs: list[TensorSpec], kind: str = "tensors") -> Info:
    taken, given = Signature(kind, tuple(inputs)), Signature("tensors", tuple(outputs))
    return dataclasses.replace(info, input=taken, output=given)


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [
        ([TensorSpec("x", "float32", BATCH)], [TensorSpec("y", "float32", ("batch", 11))]),
        ([TensorSpec("x", "float32", ("n", "free"))], [TensorSpec("y", "float32", ("n", 10))]),
        ([TensorSpec("x", "float32", BATCH)], [TensorSpec("more", "int8", ()), TensorSpec("y", "float32", ("n", 10))]),
    ],
)
def test_what_old_clients_can_use_is_taken(old: Info, inputs: list[TensorSpec], outputs: list[TensorSpec]) -> None:
    require_fit(dataclasses.replace(with_tensors(old, inputs, outputs), version="9", digest="d"), old)


Y = [TensorSpec("y", "float32", ("batch", 10))]


@pytest.mark.parametrize(
    ("inputs", "outputs", "words"),
    [
        ([TensorSpec("z", "float32", BATCH)], Y, "its input 'x' is not there, clients expect float32 batchx3"),
        ([TensorSpec("x", "uint8", BATCH)], Y, "its input 'x' is uint8 batchx3"),
        ([TensorSpec("x", "float32", ("batch", 4))], Y, "its input 'x' is float32 batchx4"),
        ([TensorSpec("x", "float32", ("batch", 3, 1))], Y, "its input 'x' is float32 batchx3x1"),
        ([TensorSpec("x", "float32", BATCH), TensorSpec("z", "int8", ())], Y, "it needs an input 'z'"),
        ([TensorSpec("x", "float32", BATCH)], [], "its output 'y' is not there"),
        ([TensorSpec("x", "float32", BATCH)], [TensorSpec("y", "float64", ("batch", 10))], "its output 'y' is float64"),
    ],
)
def test_what_they_cannot_use_is_refused(
    old: Info, inputs: list[TensorSpec], outputs: list[TensorSpec], words: str
) -> None:
    with pytest.raises(BundleError, match=words):
        require_fit(with_tensors(old, inputs, outputs), old)


def test_another_name_or_kind_is_another_model(old: Info) -> None:
    with pytest.raises(BundleError, match="it is model 'other', and 'colours' is served from here"):
        require_fit(dataclasses.replace(old, name="other"), old)
    pictures = with_tensors(old, list(old.input.tensors), list(old.output.tensors), kind="image")
    with pytest.raises(BundleError, match="its input is of kind 'image', clients expect 'tensors'"):
        require_fit(pictures, old)

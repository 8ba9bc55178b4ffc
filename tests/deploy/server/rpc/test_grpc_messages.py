"""Our messages against the ones that protoc made for Triton's client."""

from typing import Any

import pytest

pytest.importorskip("google.protobuf", reason="needs the extra 'grpc'")
pytest.importorskip("tritonclient.grpc", reason="needs tritonclient[grpc]")

from tritonclient.grpc import service_pb2 as official

from deploy.server.rpc.schema import ENUMS, MESSAGES, POOL, message


def theirs(kind: str, name: str) -> Any:
    pool = official.DESCRIPTOR.pool
    return getattr(pool, f"Find{kind}TypeByName")(f"inference.{name}")


@pytest.mark.parametrize("name", sorted(MESSAGES))
def test_fields_are_the_official_ones(name: str) -> None:
    found = POOL.FindMessageTypeByName(f"inference.{name}")
    expected = theirs("Message", name)
    for field in found.fields:
        other = expected.fields_by_number[field.number]
        for what in ("name", "type", "is_repeated"):
            assert getattr(field, what) == getattr(other, what), field.name
        for kind in ("message_type", "enum_type", "containing_oneof"):
            pair = [getattr(side, kind) for side in (field, other)]
            ours, expected_one = [item and item.name for item in pair]
            assert ours == expected_one, field.name


@pytest.mark.parametrize("name", sorted(ENUMS))
def test_enumerations_are_the_official_ones(name: str) -> None:
    found = {value.name: value.number for value in POOL.FindEnumTypeByName(f"inference.{name}").values}
    expected = {value.name: value.number for value in theirs("Enum", name).values}
    assert found.items() <= expected.items()


def test_the_whole_protocol_is_there() -> None:
    """A request with everything in it crosses unchanged."""
    sent = official.ModelInferRequest(model_name="m", model_version="1", id="i", raw_input_contents=[b"x"])
    sent.parameters["timeout"].int64_param = 5
    entry = sent.inputs.add(name="x", datatype="FP32", shape=[1, 2])
    entry.contents.fp32_contents.extend([1.5, 2.5])
    entry.parameters["p"].string_param = "q"
    sent.outputs.add(name="y")
    again = message("ModelInferRequest").FromString(sent.SerializeToString())
    assert official.ModelInferRequest.FromString(again.SerializeToString()) == sent

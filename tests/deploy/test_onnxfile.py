from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy import onnxfile
from deploy.errors import BundleError

MODEL = (Path(__file__).parent / "fixtures" / "colours" / "model.onnx").read_bytes()


def test_opset_and_operators_of_the_fixture() -> None:
    found = onnxfile.inspect(MODEL)
    assert found.opset == 20
    assert found.operators["Conv"] == 1
    assert found.operators.total() == 10
    assert not found.external_data


@pytest.mark.parametrize("data", [b"\xff", MODEL[:100], MODEL[:-1], b"<!doctype html>", b"\x3a\xff\xff\xff\xff\x0f"])
def test_what_is_no_model_is_refused(data: bytes) -> None:
    with pytest.raises(BundleError, match="not an ONNX model"):
        onnxfile.inspect(data)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        onnxfile.inspect(data)
    except BundleError:
        return


def test_against_the_onnx_package() -> None:
    onnx = pytest.importorskip("onnx")
    from onnx import parser

    model = parser.parse_model(
        """<ir_version: 10, opset_import: ["": 19, "com.x": 3]>
        g (bool c, float[n] x) => (float[n] y) {
            y = If (c) <
                then_branch = t () => (float[n] p) { p = Relu(x) },
                else_branch = e () => (float[n] q) { q = com.x.Own(x) }
            >
        }"""
    )
    found = onnxfile.inspect(model.SerializeToString())
    assert found.opset == 19
    assert found.operators == {"If": 1, "Relu": 1, "Own": 1}
    tensor = onnx.TensorProto(name="w", dims=[1], data_type=1, data_location=onnx.TensorProto.EXTERNAL)
    model.graph.initializer.append(tensor)
    assert onnxfile.inspect(model.SerializeToString()).external_data
    del model.graph.initializer[:]
    constant = onnx.helper.make_node("Constant", [], ["k"], value=tensor)
    model.graph.node.append(constant)
    assert onnxfile.inspect(model.SerializeToString()).external_data

"""A bundle that ONNX Runtime itself can fail on: a table that is looked into, at places that it may not have."""

from pathlib import Path

import numpy as np
import pytest

from deploy import bundle, files, samples
from deploy.bundle import Manifest, Signature, TensorSpec, Variant
from deploy.passport import Check, Passport
from deploy.providers import open_session

PLACES = 10
OUT_OF_RANGE = 99


def make_lookup(folder: Path) -> Path:
    """Write model `lookup`: index (N,) int64 from 0 to 9, factor (N,) float32 -> product (N,): 10 * index * factor.

    No range is stated for the index, so that a wrong one reaches ONNX Runtime, which refuses the whole batch.
    """
    onnx = pytest.importorskip("onnx", reason="makes the model of these tests")
    helper, kinds = onnx.helper, onnx.TensorProto
    table = onnx.numpy_helper.from_array(np.arange(PLACES, dtype=np.float32) * 10, "table")
    graph = helper.make_graph(
        [
            helper.make_node("Gather", ["table", "index"], ["found"], name="look"),
            helper.make_node("Mul", ["found", "factor"], ["product"]),
        ],
        "lookup",
        [
            helper.make_tensor_value_info("index", kinds.INT64, ["batch"]),
            helper.make_tensor_value_info("factor", kinds.FLOAT, ["batch"]),
        ],
        [helper.make_tensor_value_info("product", kinds.FLOAT, ["batch"])],
        [table],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10).SerializeToString()
    passport = Passport(
        model_sha256=files.sha256(model),
        checks=(Check("parity", True, 1.0, 8.0),),
        noise={"product": 1e-6},
        limit=8.0,
        rows=1,
        providers=("cpu",),
        created="2026-01-01T00:00:00+00:00",
    )
    manifest = Manifest(
        name="lookup",
        version="1",
        input=Signature(
            "tensors", (TensorSpec("index", "int64", ("batch",)), TensorSpec("factor", "float32", ("batch",)))
        ),
        output=Signature("tensors", (TensorSpec("product", "float32", ("batch",)),)),
        variants={"fp32": Variant("model.onnx", passport)},
        files={},
    )
    inputs = {"index": np.array([1, 9], np.int64), "factor": np.array([0.5, 2.0], np.float32)}
    with bundle.writing(folder, manifest) as temporary:
        files.write_bytes(temporary / "model.onnx", model)
        samples.save(temporary / bundle.SAMPLES, [samples.Sample(inputs, open_session(model).run(inputs))])
    return folder

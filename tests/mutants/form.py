"""Faults of the file's form: what it declares, and where its weights are."""

import onnx
from onnx import TensorProto, helper

from tests.mutants.edit import attribute, node, nodes, value
from tests.mutants.mutation import ALL, CLASSIFIERS, IMAGES, Model, fault


@fault(*ALL, found_by="form")
def static_batch(model: Model) -> None:
    for entry in (*model.graph.input, *model.graph.output):
        entry.type.tensor_type.shape.dim[0].ClearField("dim_param")
        entry.type.tensor_type.shape.dim[0].dim_value = 1


@fault(*IMAGES, found_by="form")
def static_height(model: Model) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 32


@fault(*CLASSIFIERS, found_by="form")
def probabilities_in_double(model: Model) -> None:
    node(model, "Softmax").output[0] = "single"
    model.graph.node.append(helper.make_node("Cast", ["single"], ["probabilities"], to=TensorProto.DOUBLE))
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.DOUBLE


@fault(*ALL, found_by="form")
def an_output_less(model: Model) -> None:
    del model.graph.output[-1]


@fault(*ALL, found_by="form")
def outputs_in_another_order(model: Model) -> None:
    copies = [onnx.ValueInfoProto.FromString(entry.SerializeToString()) for entry in reversed(model.graph.output)]
    del model.graph.output[:]
    model.graph.output.extend(copies)


@fault(*ALL, found_by="form")
def another_opset(model: Model) -> None:
    model.opset_import[0].version = 21


@fault(*ALL, found_by="form")
def weights_left_behind(model: Model) -> None:
    """External data whose file was not copied."""
    tensor = next(t for t in model.graph.initializer if t.name == nodes(model, "Conv", "Gemm")[-1].input[1])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="weights.bin")
    tensor.ClearField("raw_data")


@fault(*ALL, found_by="")
def a_shape_that_does_not_fit(model: Model) -> str:
    """Loads, and stops at the first row."""
    layer = nodes(model, "Conv", "Gemm")[-1]
    if layer.op_type == "Conv":
        return attribute(layer, kernel_shape=[2, 2])
    assert value(model, layer, 1).ndim == 2
    return attribute(layer, transB=0)

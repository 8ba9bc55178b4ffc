"""Changes to the exported graph of `colour_run`: faults to refuse and faithful ones to pass."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

Model = onnx.ModelProto
Mutation = Callable[[Model], None]


def node(model: Model, op_type: str, number: int = 0) -> NodeProto:
    return [n for n in model.graph.node if n.op_type == op_type][number]


def constant(model: Model, name: str) -> TensorProto:
    return next(t for t in model.graph.initializer if t.name == name)


def change(model: Model, name: str, new: Callable[[Any], Any]) -> None:
    tensor = constant(model, name)
    array = numpy_helper.to_array(tensor)
    tensor.CopyFrom(numpy_helper.from_array(new(array.copy()).astype(array.dtype), name))


def attribute(model: Model, op_type: str, name: str, value: Any, number: int = 0) -> None:
    found = node(model, op_type, number)
    kept = [a for a in found.attribute if a.name != name]
    del found.attribute[:]
    found.attribute.extend([*kept, helper.make_attribute(name, value)])


def insert_after(model: Model, producer: NodeProto, op_type: str, *more: str, **attributes: Any) -> None:
    """Put a node behind the first output of another one, for all who read it."""
    old, new = producer.output[0], f"{producer.output[0]}_{op_type}"
    place = list(model.graph.node).index(producer) + 1
    for reader in model.graph.node:
        for i, name in enumerate(reader.input):
            if name == old:
                reader.input[i] = new
    model.graph.node.insert(place, helper.make_node(op_type, [old, *more], [new], **attributes))


def add_constant(model: Model, name: str, value: Any) -> str:
    model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
    return name


# --- faults ---------------------------------------------------------------------------------------------------------


def wrong_mean(model: Model) -> None:
    change(model, "pre.mean", lambda mean: mean[:, ::-1])


def wrong_std(model: Model) -> None:
    change(model, "pre.std", lambda std: std * 1.01)


def no_division_by_255(model: Model) -> None:
    divisor = node(model, "Div").input[1]
    change(model, divisor, lambda _: np.float32(256.0))


def swapped_channels(model: Model) -> None:
    attribute(model, "Transpose", "perm", [0, 3, 1, 2])
    swap = add_constant(model, "bgr", np.array([2, 1, 0], np.int64))
    insert_after(model, node(model, "Transpose"), "Gather", swap, axis=1)


def transposed_sides(model: Model) -> None:
    attribute(model, "Transpose", "perm", [0, 3, 2, 1])


def nearest_resize(model: Model) -> None:
    attribute(model, "Resize", "mode", "nearest")
    attribute(model, "Resize", "antialias", 0)
    attribute(model, "Resize", "exclude_outside", 0)


def cubic_resize(model: Model) -> None:
    attribute(model, "Resize", "mode", "cubic")


def resize_without_antialias(model: Model) -> None:
    attribute(model, "Resize", "antialias", 0)
    attribute(model, "Resize", "exclude_outside", 0)


def aligned_corners(model: Model) -> None:
    attribute(model, "Resize", "coordinate_transformation_mode", "align_corners")


def one_weight_by_a_thousandth(model: Model) -> None:
    def nudge(weight: Any) -> Any:
        flat = weight.reshape(-1)
        flat[np.abs(flat).argmax()] *= 1.001
        return weight

    change(model, "net.features.7.weight", nudge)


def one_bias(model: Model) -> None:
    change(model, "head.bias", lambda bias: bias + np.array([1e-3, 0, 0, 0]))


def weights_in_bfloat16(model: Model) -> None:
    def rounded(weight: Any) -> Any:
        bits = weight.astype(np.float32).view(np.uint32)
        return ((bits + 0x8000) & 0xFFFF0000).astype(np.uint32).view(np.float32)

    change(model, "net.features.3.weight", rounded)


def nan_weight(model: Model) -> None:
    def poison(weight: Any) -> Any:
        weight.reshape(-1)[3] = np.nan
        return weight

    change(model, "net.features.0.weight", poison)


def infinite_bias(model: Model) -> None:
    change(model, "head.bias", lambda bias: bias + np.array([np.inf, 0, 0, 0]))


def static_batch(model: Model) -> None:
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].ClearField("dim_param")
        value.type.tensor_type.shape.dim[0].dim_value = 1


def static_height(model: Model) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 32


def swapped_classes(model: Model) -> None:
    change(model, "head.weight", lambda weight: weight[[1, 0, 2, 3]])
    change(model, "head.bias", lambda bias: bias[[1, 0, 2, 3]])


def argmin(model: Model) -> None:
    node(model, "ArgMax").op_type = "ArgMin"


def softmax_over_the_batch(model: Model) -> None:
    attribute(model, "Softmax", "axis", 0)


def average_pool(model: Model) -> None:
    pool = node(model, "MaxPool")
    pool.op_type = "AveragePool"
    kept = [a for a in pool.attribute if a.name not in ("dilations", "storage_order", "ceil_mode")]
    del pool.attribute[:]
    pool.attribute.extend(kept)


def relu_left_out(model: Model) -> None:
    node(model, "Relu", 1).op_type = "Identity"


def leaky_relu(model: Model) -> None:
    node(model, "Relu", 1).op_type = "LeakyRelu"
    attribute(model, "LeakyRelu", "alpha", 1e-3)


def padding_on_one_side(model: Model) -> None:
    attribute(model, "Conv", "pads", [3, 3, 1, 1])


def double_probabilities(model: Model) -> None:
    softmax = node(model, "Softmax")
    softmax.output[0] = "single"
    model.graph.node.append(helper.make_node("Cast", ["single"], ["probabilities"], to=TensorProto.DOUBLE))
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.DOUBLE


def an_output_less(model: Model) -> None:
    del model.graph.output[1]


def outputs_in_another_order(model: Model) -> None:
    first, second = model.graph.output
    copies = [onnx.ValueInfoProto.FromString(v.SerializeToString()) for v in (second, first)]
    del model.graph.output[:]
    model.graph.output.extend(copies)


def mean_over_the_batch(model: Model) -> None:
    """Rows look at their neighbours: unseen when every row is tried alone."""
    scores = node(model, "Gemm", -1).output[0]
    shift = helper.make_node("ReduceMean", [scores, add_constant(model, "axis0", np.array([0], np.int64))], ["shift"])
    scaled = helper.make_node("Mul", ["shift", add_constant(model, "tiny", np.float32(1e-3))], ["small"])
    for name in ("Softmax", "ArgMax"):
        node(model, name).input[0] = "shifted"
    add = helper.make_node("Add", [scores, "small"], ["shifted"])
    place = list(model.graph.node).index(node(model, "Gemm", -1)) + 1
    for offset, made in enumerate((shift, scaled, add)):
        model.graph.node.insert(place + offset, made)


def wrong_only_for_wide_pictures(model: Model) -> None:
    """Pixels beyond column 1000 are dropped: test pictures never are that wide."""
    for name, value in (("from", [0]), ("to", [1000]), ("columns", [2])):
        add_constant(model, name, np.array(value, np.int64))
    model.graph.node.insert(0, helper.make_node("Slice", ["image", "from", "to", "columns"], ["cropped"]))
    node(model, "Transpose").input[0] = "cropped"


def wrong_only_for_black_pictures(model: Model) -> None:
    """Contrast stretched by the largest pixel: 0 / 0 for a black picture."""
    axes = add_constant(model, "all but rows", np.array([1, 2, 3], np.int64))
    one = add_constant(model, "one", np.float32(1))
    source = node(model, "Cast").output[0]
    largest = helper.make_node("ReduceMax", [source, axes], ["largest"])
    ratio = helper.make_node("Div", ["largest", "largest"], ["ratio"])
    place = list(model.graph.node).index(node(model, "Cast")) + 1
    node(model, "Resize").input[0] = "stretched"
    same = helper.make_node("Mul", ["ratio", one], ["same"])
    for offset, made in enumerate((largest, ratio, same, helper.make_node("Mul", [source, "same"], ["stretched"]))):
        model.graph.node.insert(place + offset, made)


def opset_21(model: Model) -> None:
    model.opset_import[0].version = 21


def external_weights(model: Model) -> None:
    tensor = constant(model, "head.weight")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="weights.bin")
    tensor.ClearField("raw_data")


FAULTS = [
    wrong_mean, wrong_std, no_division_by_255, swapped_channels, transposed_sides, nearest_resize, cubic_resize,
    resize_without_antialias, aligned_corners, one_weight_by_a_thousandth, one_bias, weights_in_bfloat16, nan_weight,
    infinite_bias, static_batch, static_height, swapped_classes, argmin, softmax_over_the_batch, average_pool,
    relu_left_out, leaky_relu, padding_on_one_side, double_probabilities, an_output_less, outputs_in_another_order,
    mean_over_the_batch, wrong_only_for_wide_pictures, wrong_only_for_black_pictures, opset_21, external_weights,
]  # fmt: skip

FOUND_BY = {
    **dict.fromkeys([nan_weight, infinite_bias], "well formed"),
    **dict.fromkeys([static_batch, static_height, double_probabilities, an_output_less], "form"),
    **dict.fromkeys([outputs_in_another_order, opset_21, external_weights], "form"),
    **dict.fromkeys([wrong_only_for_wide_pictures, wrong_only_for_black_pictures], "edge inputs"),
    argmin: "decisions",
    mean_over_the_batch: "batch invariance",
}  # all others: by their noise


# --- faithful changes -----------------------------------------------------------------------------------------------


def unchanged(model: Model) -> None:
    pass


def renamed_tensors(model: Model) -> None:
    kept = {value.name for value in (*model.graph.input, *model.graph.output)}
    for n in model.graph.node:
        for names in (n.input, n.output):
            for i, name in enumerate(names):
                if name and name not in kept:
                    names[i] = f"renamed_{name}"
    for tensor in (*model.graph.initializer, *model.graph.value_info):
        tensor.name = f"renamed_{tensor.name}"


def gemm_as_matmul_and_add(model: Model) -> None:
    gemm = node(model, "Gemm", -1)
    change(model, gemm.input[1], lambda weight: np.ascontiguousarray(weight.T))
    place = list(model.graph.node).index(gemm)
    product = helper.make_node("MatMul", gemm.input[:2], ["product"])
    total = helper.make_node("Add", ["product", gemm.input[2]], gemm.output)
    model.graph.node.remove(gemm)
    model.graph.node.insert(place, product)
    model.graph.node.insert(place + 1, total)


def bias_after_the_convolution(model: Model) -> None:
    conv = node(model, "Conv")
    bias = numpy_helper.to_array(constant(model, conv.input[2])).reshape(1, -1, 1, 1)
    del conv.input[2]
    insert_after(model, conv, "Add", add_constant(model, "bias_4d", bias))


def identities_everywhere(model: Model) -> None:
    for producer in [n for n in model.graph.node if n.op_type in ("Conv", "Relu", "MaxPool")]:
        insert_after(model, producer, "Identity")


def multiplication_by_the_reciprocal(model: Model) -> None:
    divide = node(model, "Div")
    change(model, divide.input[1], lambda divisor: 1 / divisor)
    divide.op_type = "Mul"


def weights_as_constant_nodes(model: Model) -> None:
    tensor = constant(model, "head.weight")
    model.graph.node.insert(0, helper.make_node("Constant", [], ["head.weight"], value=tensor))
    model.graph.initializer.remove(tensor)


def relu_as_max_with_zero(model: Model) -> None:
    relu = node(model, "Relu", 2)
    relu.op_type = "Max"
    relu.input.append(add_constant(model, "zero", np.float32(0)))


def relu_as_clip(model: Model) -> None:
    relu = node(model, "Relu", 1)
    relu.op_type = "Clip"
    relu.input.append(add_constant(model, "least", np.float32(0)))


def softmax_written_out(model: Model) -> None:
    softmax = node(model, "Softmax")
    scores, axes = softmax.input[0], add_constant(model, "last", np.array([1], np.int64))
    model.graph.node.remove(softmax)
    model.graph.node.extend([
        helper.make_node("ReduceMax", [scores, axes], ["peak"]),
        helper.make_node("Sub", [scores, "peak"], ["below"]),
        helper.make_node("Exp", ["below"], ["powers"]),
        helper.make_node("ReduceSum", ["powers", axes], ["sum"]),
        helper.make_node("Div", ["powers", "sum"], ["probabilities"]),
    ])  # fmt: skip


def permuted_hidden_units(model: Model) -> None:
    """The same function with the hidden units in another order: other rounding, same answers."""
    order = np.random.default_rng(0).permutation(84)
    change(model, "net.features.9.weight", lambda weight: weight[order])
    change(model, "net.features.9.bias", lambda bias: bias[order])
    change(model, "head.weight", lambda weight: weight[:, order])


def without_metadata(model: Model) -> None:
    del model.metadata_props[:]
    for n in model.graph.node:
        del n.metadata_props[:]
        n.doc_string = ""


FAITHFUL = [
    unchanged, renamed_tensors, gemm_as_matmul_and_add, bias_after_the_convolution, identities_everywhere,
    multiplication_by_the_reciprocal, weights_as_constant_nodes, relu_as_max_with_zero, relu_as_clip,
    softmax_written_out, permuted_hidden_units, without_metadata,
]  # fmt: skip

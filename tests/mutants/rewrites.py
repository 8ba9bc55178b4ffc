"""Faithful changes: another way to compute the same, which verify must pass."""

import math

import numpy as np
from onnx import helper

from tests.mutants.edit import (
    add,
    after,
    become,
    change,
    constant,
    get,
    insert,
    make,
    node,
    nodes,
    value,
)
from tests.mutants.mutation import ALL, CLASSIFIERS, IMAGES, Model, faithful


@faithful(*ALL)
def unchanged(model: Model) -> None:
    pass


@faithful(*ALL)
def renamed_tensors(model: Model) -> None:
    kept = {entry.name for entry in (*model.graph.input, *model.graph.output)}
    for n in model.graph.node:
        for names in (n.input, n.output):
            for number, name in enumerate(names):
                if name and name not in kept:
                    names[number] = f"renamed_{name}"
    for tensor in model.graph.initializer:
        tensor.name = f"renamed_{tensor.name}"


@faithful(*ALL)
def without_metadata(model: Model) -> None:
    del model.metadata_props[:]
    for n in model.graph.node:
        del n.metadata_props[:]
        n.doc_string = ""


@faithful(*ALL)
def weights_as_constant_nodes(model: Model) -> None:
    for n in nodes(model, "Conv", "Gemm"):
        tensor = constant(model, n.input[1])
        model.graph.node.insert(0, helper.make_node("Constant", [], [tensor.name], value=tensor))
        model.graph.initializer.remove(tensor)


@faithful(*IMAGES)
def identities_everywhere(model: Model) -> None:
    for made in [n for n in model.graph.node if n.op_type in ("Conv", "Relu", "MaxPool", "Concat", "Resize")]:
        if any(made.output[0] in reader.input for reader in model.graph.node):
            after(model, made.output[0], "Identity")


@faithful(*IMAGES)
def multiplication_by_the_reciprocal(model: Model) -> str:
    divide = node(model, "Div")
    change(model, divide, 1, lambda divisor: 1 / divisor)
    return become(divide, "Mul")


@faithful(*IMAGES)
def bias_after_the_convolution(model: Model) -> None:
    for conv in nodes(model, "Conv"):
        if len(conv.input) == 3:
            bias = add(model, f"{conv.name}_bias", value(model, conv, 2).reshape(1, -1, 1, 1))
            del conv.input[2]
            after(model, conv.output[0], "Add", bias)


@faithful(*IMAGES)
def relu_as_maximum(model: Model) -> None:
    zero = add(model, "naught", np.float32(0))
    for relu in nodes(model, "Relu"):
        relu.op_type = "Max"
        relu.input.append(zero)


@faithful(*IMAGES)
def relu_as_clip(model: Model) -> None:
    zero = add(model, "naught", np.float32(0))
    for relu in nodes(model, "Relu"):
        relu.op_type = "Clip"
        relu.input.append(zero)


@faithful(*CLASSIFIERS)
def gemm_as_matmul_and_add(model: Model) -> None:
    for gemm in nodes(model, "Gemm"):
        turned = add(model, f"{gemm.name}_turned", value(model, gemm, 1).T)
        insert(model, gemm, make("MatMul", [gemm.input[0], turned], f"{gemm.name}_product"))
        gemm.input[0], gemm.input[1] = f"{gemm.name}_product", gemm.input[2]
        del gemm.input[2:]
        become(gemm, "Add")


@faithful(*CLASSIFIERS)
def softmax_written_out(model: Model) -> None:
    softmax = node(model, "Softmax")
    source, axes = softmax.input[0], add(model, "last_axis", np.array([1], np.int64))
    insert(
        model,
        softmax,
        make("ReduceMax", [source, axes], "peak"),
        make("Sub", [source, "peak"], "below"),
        make("Exp", ["below"], "powers"),
        make("ReduceSum", ["powers", axes], "total"),
    )
    become(softmax, "Div")
    softmax.input[0] = "powers"
    softmax.input.append("total")


@faithful("densenet")
def batchnorm_as_multiply_and_add(model: Model) -> None:
    for norm in nodes(model, "BatchNormalization"):
        scale, bias, mean, variance = (value(model, norm, number).astype(np.float64) for number in (1, 2, 3, 4))
        factor = scale / np.sqrt(variance + get(norm, "epsilon"))
        shift = bias - mean * factor
        name = norm.output[0]
        factors = add(model, f"{name}_factor", factor.reshape(1, -1, 1, 1).astype(np.float32))
        shifts = add(model, f"{name}_shift", shift.reshape(1, -1, 1, 1).astype(np.float32))
        insert(model, norm, make("Mul", [norm.input[0], factors], f"{name}_scaled"))
        become(norm, "Add")
        del norm.input[:]
        norm.input.extend([f"{name}_scaled", shifts])


@faithful("mobilenet")
def hard_swish_written_out(model: Model) -> None:
    for swish in nodes(model, "HardSwish"):
        gate = f"{swish.output[0]}_gate"
        insert(model, swish, make("HardSigmoid", [swish.input[0]], gate, alpha=1 / 6, beta=0.5))
        become(swish, "Mul")
        swish.input.append(gate)


@faithful("dilated")
def gelu_written_out(model: Model) -> None:
    gelu = node(model, "Gelu")
    root, one, half = (add(model, f"gelu_{n:.3f}", np.float32(n)) for n in (1 / math.sqrt(2), 1, 0.5))
    insert(
        model,
        gelu,
        make("Mul", [gelu.input[0], root], "by_root"),
        make("Erf", ["by_root"], "error_function"),
        make("Add", ["error_function", one], "plus_one"),
        make("Mul", ["plus_one", half], "share"),
    )
    become(gelu, "Mul")
    gelu.input.append("share")


@faithful("lenet5", "alexnet")
def hidden_units_in_another_order(model: Model) -> None:
    """The same function, rounded otherwise."""
    before, head = nodes(model, "Gemm")[-2:]
    order = np.random.default_rng(0).permutation(value(model, before, 2).size)
    change(model, before, 1, lambda weight: weight[order])
    change(model, before, 2, lambda bias: bias[order])
    change(model, head, 1, lambda weight: weight[:, order])


@faithful("inception", "resnet_small", "densenet", "mobilenet", "shufflenet")
def mean_as_sum_and_division(model: Model) -> None:
    mean = node(model, "ReduceMean", -1)
    insert(
        model,
        mean,
        make("ReduceSum", list(mean.input), "sum_of_pixels", keepdims=get(mean, "keepdims")),
        make("Shape", [mean.input[0]], "sides_of_pixels", start=2),
        make("Cast", ["sides_of_pixels"], "sides_as_float", to=1),
        make("ReduceProd", ["sides_as_float"], "number_of_pixels", keepdims=0),
    )
    become(mean, "Div")
    del mean.input[:]
    mean.input.extend(["sum_of_pixels", "number_of_pixels"])

"""Faults of operators: another padding, stride, group, pool, activation, or an operator left out."""

from typing import Any

import numpy as np

from tests.mutants.edit import (
    add,
    after,
    attribute,
    become,
    change,
    clamp,
    get,
    insert,
    make,
    node,
    nodes,
    producer,
    rewire,
    value,
)
from tests.mutants.mutation import IMAGES, Model, fault


def _relu(model: Model) -> Any:
    found = nodes(model, "Relu")
    return found[len(found) // 2]


@fault("lenet5", "alexnet", "inception", "densenet", "dilated", "detector")
def padding_off_by_one(model: Model) -> str:
    conv = next(conv for conv in nodes(model, "Conv") if max(get(conv, "pads")) > 0)
    top, left, bottom, right = get(conv, "pads")
    return attribute(conv, pads=[top + 1, left + 1, bottom - 1, right - 1])


@fault("lenet5", "alexnet", "dilated", "detector")
def padding_by_reflection(model: Model) -> None:
    conv = next(conv for conv in nodes(model, "Conv") if max(get(conv, "pads")) > 0)
    top, left, bottom, right = get(conv, "pads")
    pads = add(model, "margins", np.array([0, 0, top, left, 0, 0, bottom, right], np.int64))
    insert(model, conv, make("Pad", [conv.input[0], pads], "reflected", mode="reflect"))
    rewire(conv, conv.input[0], "reflected")
    attribute(conv, pads=[0, 0, 0, 0])


@fault("inception")
def padding_not_counted(model: Model) -> str:
    return attribute(node(model, "AveragePool", -1), count_include_pad=0)


@fault("dilated")
def dilation_lost(model: Model) -> str:
    return attribute(node(model, "Conv", 1), dilations=[1, 1], pads=[1, 1, 1, 1])


@fault("mobilenet", "shufflenet", found_by="")
def stride_lost(model: Model) -> str:
    """Before the average over all pixels: every shape stays as it was."""
    return attribute(node(model, "Conv"), strides=[1, 1])


@fault("alexnet", "dilated", "detector")
def stride_starts_one_pixel_on(model: Model) -> str:
    conv = next(conv for conv in nodes(model, "Conv") if get(conv, "strides") == [2, 2])
    top, left, bottom, right = get(conv, "pads")
    return attribute(conv, pads=[top - 1, left - 1, bottom + 1, right + 1])


@fault("alexnet")
def groups_interleaved(model: Model) -> str:
    """Each group reads every second channel, not its half of them."""
    conv = next(conv for conv in nodes(model, "Conv") if get(conv, "group") == 2)

    def dense(weight: Any) -> Any:
        outputs, inputs = weight.shape[:2]
        wide = np.zeros((outputs, 2 * inputs, *weight.shape[2:]), weight.dtype)
        for group, rows in enumerate(np.split(np.arange(outputs), 2)):
            wide[rows, group::2] = weight[rows]
        return wide

    attribute(conv, group=1)
    return change(model, conv, 1, dense)


@fault("shufflenet")
def channels_not_shuffled(model: Model) -> str:
    shuffle = next(n for n in nodes(model, "Transpose") if get(n, "perm") == [0, 2, 1, 3, 4])
    return become(shuffle, "Identity")


@fault("inception", "densenet", "shufflenet")
def branches_in_another_order(model: Model) -> str:
    join = [n for n in nodes(model, "Concat") if get(n, "axis") == 1][-1]
    names = list(join.input)
    if len(names) == 3:  # blocks of unlike width: the equal ones change places
        names[1], names[2] = names[2], names[1]
    else:
        names[0], names[1] = names[1], names[0]
    del join.input[:]
    join.input.extend(names)
    return str(join.name)


@fault("resnet_small", "mobilenet")
def shortcut_left_out(model: Model) -> str:
    add_node = node(model, "Add", -1)
    del add_node.input[1:]
    return become(add_node, "Identity")


@fault("lenet5", "alexnet", "densenet")
def average_instead_of_maximum(model: Model) -> str:
    return become(node(model, "MaxPool"), "AveragePool", keep=("pads", "strides", "kernel_shape", "auto_pad"))


@fault("densenet")
def maximum_instead_of_average(model: Model) -> str:
    return become(node(model, "AveragePool"), "MaxPool", keep=("pads", "strides", "kernel_shape", "auto_pad"))


@fault("resnet_small", "inception", "densenet", "mobilenet", "shufflenet")
def maximum_over_all_pixels(model: Model) -> str:
    mean = node(model, "ReduceMean", -1)
    return become(mean, "ReduceMax", keep=("keepdims", "noop_with_empty_axes"))


@fault("alexnet")
def local_response_alpha_not_divided(model: Model) -> str:
    """alpha for the sum of squares, not for their mean: sizes of 5 count."""
    response = next(n for n in nodes(model, "Mul") if n.input[0] == node(model, "Squeeze").output[0])
    return change(model, response, 1, lambda alpha: alpha * 5)


@fault(*IMAGES)
def relu_left_out(model: Model) -> str:
    return become(_relu(model), "Identity")


@fault(*IMAGES)
def relu_leaks(model: Model) -> str:
    return become(_relu(model), "LeakyRelu", alpha=1e-3)


@fault("mobilenet")
def hard_swish_as_swish(model: Model) -> None:
    swish = node(model, "HardSwish")
    gate = make("Sigmoid", [swish.input[0]], "gate")
    insert(model, swish, gate)
    become(swish, "Mul")
    swish.input.append("gate")


@fault("mobilenet")
def hard_sigmoid_of_keras(model: Model) -> str:
    """Slope 0.2, which is ONNX's default too; torch's is 1/6."""
    return attribute(node(model, "HardSigmoid"), alpha=0.2)


@fault("dilated")
def gelu_by_tanh(model: Model) -> str:
    return attribute(node(model, "Gelu"), approximate="tanh")


@fault("alexnet", "lenet5", found_by="")
def dropout_left_in(model: Model) -> None:
    """Units are drawn anew in each call; written out, because ONNX Runtime's optimizer removes Dropout."""
    last = nodes(model, "Relu")[-1]
    source, relu_out = f"{last.output[0]}_all", last.output[0]
    half, two = add(model, "dropout_half", np.float32(0.5)), add(model, "dropout_two", np.float32(2))
    last.output[0] = source
    reader = next(n for n in model.graph.node if relu_out in n.input)
    insert(
        model,
        reader,
        make("RandomUniformLike", [source], "drawn", seed=1.0),
        make("Greater", ["drawn", half], "is_kept"),
        make("Where", ["is_kept", two, add(model, "dropout_none", np.float32(0))], "kept_units"),
        make("Mul", [source, "kept_units"], relu_out),
    )


@fault("alexnet", "lenet5", found_by="numpy witness")
def dropout_left_in_that_the_runtime_leaves_out(model: Model) -> str:
    """ONNX Runtime removes Dropout at optimization level basic and above, training mode too: numpy sees it alone."""
    ratio, on = add(model, "ratio", np.float32(0.5)), add(model, "training", np.array(True))
    return after(model, nodes(model, "Relu")[-1].output[0], "Dropout", ratio, on, seed=1)


@fault("alexnet", "lenet5")
def dropout_mask_baked_in(model: Model) -> str:
    """The mask of one call, as a constant."""
    width = value(model, node(model, "Gemm", -1), 1).shape[1]
    mask = 2 * (np.random.default_rng(0).random(width) < 0.5)
    return after(model, nodes(model, "Relu")[-1].output[0], "Mul", add(model, "mask", mask.astype(np.float32)))


@fault("alexnet", "lenet5")
def dropout_not_rescaled(model: Model) -> str:
    return after(model, nodes(model, "Relu")[-1].output[0], "Mul", add(model, "kept_share", np.float32(0.5)))


@fault(*IMAGES)
def clamped_within_reach(model: Model) -> str:
    """A constant of the converter's, far below what activations reach."""
    return clamp(model, _relu(model).output[0], 0.5)


@fault("alexnet", "lenet5", "resnet_small", found_by="hunted")
def clamped_at_six(model: Model) -> str:
    return clamp(model, nodes(model, "Relu")[0].output[0], 6.0)


@fault("dilated")
def upsampled_with_aligned_corners(model: Model) -> str:
    return attribute(node(model, "Resize", 1), coordinate_transformation_mode="align_corners")


@fault("dilated")
def upsampled_to_the_nearest(model: Model) -> str:
    return attribute(node(model, "Resize", 1), mode="nearest")


@fault("dilated")
def sigmoid_before_upsampling(model: Model) -> None:
    resize, sigmoid = node(model, "Resize", 1), node(model, "Sigmoid")
    source = resize.input[0]
    insert(model, producer(model, resize.input[3]), make("Sigmoid", [source], "early"))
    rewire(resize, source, "early")
    become(sigmoid, "Identity")

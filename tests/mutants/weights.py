"""Faults of numbers: in weights, in statistics, in the precision of one layer."""

from collections.abc import Callable
from typing import Any

import numpy as np
from onnx import TensorProto

from tests.mutants.edit import add, attribute, change, insert, largest, make, node, nodes, rewire, value, weighted
from tests.mutants.mutation import ALL, CLASSIFIERS, Model, fault


def _weight(model: Model, new: Callable[[Any], Any]) -> str:
    return change(model, weighted(model), 1, new)


def _one(new: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Change the weight of largest magnitude alone."""

    def changed(weight: Any) -> Any:
        flat = weight.reshape(-1)
        at = largest(flat)
        flat[at] = new(flat[at])
        return weight

    return changed


def _flipped(bit: int) -> Callable[[Any], Any]:
    return lambda number: (np.float32(number).view(np.uint32) ^ np.uint32(1 << bit)).view(np.float32)


@fault(*ALL)
def one_weight_by_a_thousandth(model: Model) -> str:
    return _weight(model, _one(lambda number: number * 1.001))


@fault(*ALL)
def sign_bit_flipped(model: Model) -> str:
    return _weight(model, _one(_flipped(31)))


@fault(*ALL)
def exponent_bit_flipped(model: Model) -> str:
    return _weight(model, _one(_flipped(23)))


@fault(*ALL)
def mantissa_bit_flipped(model: Model) -> str:
    """The bit worth 2^-10 of the number."""
    return _weight(model, _one(_flipped(13)))


@fault(*ALL, found_by="well formed")
def nan_weight(model: Model) -> str:
    return _weight(model, _one(lambda _: np.nan))


@fault(*CLASSIFIERS, found_by="well formed")
def infinite_bias(model: Model) -> str:
    return change(model, node(model, "Gemm", -1), 2, lambda bias: bias + np.array([np.inf, 0, 0, 0]))


@fault(*ALL)
def one_bias_by_a_thousandth(model: Model) -> str:
    return change(model, nodes(model, "Conv", "Gemm")[-1], 2, lambda bias: bias + 1e-3 * (np.arange(len(bias)) == 0))


@fault(*[name for name in ALL if name not in ("lstm", "gru")])
def bias_left_out(model: Model) -> str:
    conv = next(conv for conv in nodes(model, "Conv") if len(conv.input) == 3)
    del conv.input[2]
    return str(conv.name)


@fault(*ALL)
def weights_in_bfloat16(model: Model) -> str:
    return _weight(model, lambda w: ((w.view(np.uint32) + 0x8000) & 0xFFFF0000).astype(np.uint32).view(np.float32))


@fault(*ALL)
def weights_in_tf32(model: Model) -> str:
    return _weight(model, lambda w: ((w.view(np.uint32) + 0x1000) & 0xFFFFE000).astype(np.uint32).view(np.float32))


@fault(*ALL)
def weights_in_float16(model: Model) -> str:
    return _weight(model, lambda weight: weight.astype(np.float16))


@fault(*ALL)
def weights_in_int8(model: Model) -> str:
    def quantized(weight: Any) -> Any:
        scale = np.abs(weight).max() / 127
        return (weight / scale).round() * scale

    return _weight(model, quantized)


@fault(*[name for name in ALL if name not in ("lstm", "gru")])
def activations_in_float16(model: Model) -> None:
    relu = nodes(model, "Relu")[len(nodes(model, "Relu")) // 2]
    source = relu.input[0]
    rewire(relu, source, "widened")
    narrow = make("Cast", [source], "narrowed", to=TensorProto.FLOAT16)
    insert(model, relu, narrow, make("Cast", ["narrowed"], "widened", to=TensorProto.FLOAT))


@fault(*ALL)
def weights_from_another_offset(model: Model) -> str:
    """External data read one float too far: all numbers are there, one place on."""
    return _weight(model, lambda weight: np.roll(weight.reshape(-1), 1).reshape(weight.shape))


@fault("resnet_small", "inception", "dilated")
def weights_of_two_layers_swapped(model: Model) -> None:
    layers = nodes(model, "Conv")
    first, second = next(
        (a, b)
        for number, a in enumerate(layers)
        for b in layers[number + 1 :]
        if value(model, a, 1).shape == value(model, b, 1).shape
    )
    first.input[1], second.input[1] = second.input[1], first.input[1]


@fault("lenet5", "alexnet", "inception", "densenet", "dilated")
def kernels_transposed(model: Model) -> str:
    return change(model, _spatial(model), 1, lambda weight: weight.swapaxes(2, 3))


@fault("lenet5", "resnet_small", "alexnet", "inception", "densenet", "mobilenet", "shufflenet", "dilated", "detector")
def kernels_flipped(model: Model) -> str:
    """A convolution as mathematics has it, not a correlation."""
    return change(model, _spatial(model), 1, lambda weight: weight[:, :, ::-1, ::-1])


def _spatial(model: Model) -> Any:
    kernels = [conv for conv in nodes(model, "Conv") if value(model, conv, 1).shape[-1] > 1]
    return kernels[len(kernels) // 2]


@fault("alexnet")
def square_matrix_transposed(model: Model) -> str:
    return attribute(node(model, "Gemm", 1), transB=0)


@fault(*CLASSIFIERS)
def labels_permuted(model: Model) -> str:
    head = node(model, "Gemm", -1)
    change(model, head, 1, lambda weight: weight[[1, 0, 2, 3]])
    return change(model, head, 2, lambda bias: bias[[1, 0, 2, 3]])


@fault("densenet")
def batchnorm_epsilon_of_keras(model: Model) -> str:
    return attribute(node(model, "BatchNormalization", 2), epsilon=1e-3)


@fault("densenet")
def batchnorm_untrained(model: Model) -> str:
    """Running statistics as they were before the first step."""
    norm = node(model, "BatchNormalization", 2)
    change(model, norm, 3, lambda mean: mean * 0)
    return change(model, norm, 4, lambda variance: variance * 0 + 1)


@fault("densenet")
def batchnorm_variance_biased(model: Model) -> str:
    """(n - 1) / n of what it is, n = 1920 values a channel."""
    return change(model, node(model, "BatchNormalization", 2), 4, lambda variance: variance * (1919 / 1920))


@fault("densenet")
def batchnorm_scale_left_out(model: Model) -> str:
    return change(model, node(model, "BatchNormalization", 2), 1, lambda scale: scale * 0 + 1)


@fault("densenet", found_by="batch")
def batchnorm_of_the_batch(model: Model) -> None:
    """Left in training mode: statistics of the batch at hand."""
    norm = node(model, "BatchNormalization", 2)
    source, axes = norm.input[0], add(model, "but_channels", np.array([0, 2, 3], np.int64))
    mean, variance = (value(model, norm, number).reshape(1, -1, 1, 1) for number in (3, 4))
    made = [
        make("ReduceMean", [source, axes], "mean_now"),
        make("Sub", [source, "mean_now"], "centred"),
        make("Mul", ["centred", "centred"], "squared"),
        make("ReduceMean", ["squared", axes], "variance_now"),
        make("Add", ["variance_now", add(model, "epsilon", np.float32(1e-5))], "variance_safe"),
        make("Sqrt", ["variance_safe"], "deviation_now"),
        make("Div", ["centred", "deviation_now"], "normal"),
        make("Mul", ["normal", add(model, "deviation", np.sqrt(variance))], "stretched_back"),
        make("Add", ["stretched_back", add(model, "mean_then", mean)], "as_before"),
    ]
    insert(model, norm, *made)
    norm.input[0] = "as_before"

"""Changes that cannot change any answer, each with its proof: verify must pass them."""

import numpy as np

from tests.mutants.edit import add, after, attribute, change, node, nodes, value
from tests.mutants.mutation import IMAGES, Model, faithful


def bound(model: Model) -> float:
    """Return what the first layer's outputs cannot exceed in magnitude, by interval arithmetic.

    A resize with antialiasing averages, so its pixels stay in [0, 255]; from there on the bound is
    |bias| + sum |weight| * max(|low|, |high|) for the normalised range [low, high] of each channel.
    """
    mean, std = value(model, node(model, "Sub"), 1), value(model, node(model, "Div", 1), 1)
    reach = np.maximum(np.abs(mean), np.abs(1 - mean)) / std  # (1, C, 1, 1)
    first = nodes(model, "Conv")[0]
    weight = np.abs(value(model, first, 1).astype(np.float64)) * reach
    bias = np.abs(value(model, first, 2)) if len(first.input) == 3 else 0
    return float((weight.sum(axis=(1, 2, 3)) + bias).max())


@faithful(*IMAGES)
def clamped_beyond_reach(model: Model) -> str:
    """By `bound`, the clamp (a thousandth further, for rounding) is never reached."""
    limit = np.float32(1.001 * bound(model))
    least, most = add(model, "least_allowed", -limit), add(model, "most_allowed", limit)
    return after(model, nodes(model, "Conv")[0].output[0], "Clip", least, most)


@faithful(*IMAGES)
def another_value_beyond_the_edge(model: Model) -> str:
    """`extrapolation_value` is read in the mode tf_crop_and_resize alone."""
    return attribute(node(model, "Resize"), extrapolation_value=7.0)


@faithful("densenet")
def another_momentum(model: Model) -> str:
    """`momentum` moves running statistics, in training alone."""
    return attribute(node(model, "BatchNormalization"), momentum=0.1)


@faithful("detector")
def more_boxes_than_there_are(model: Model) -> str:
    """There are 20 boxes: at most 20 can be selected."""
    return change(model, node(model, "NonMaxSuppression"), 2, lambda _: 1000)


@faithful("alexnet", "dilated", "inception", "lenet5", "detector")
def negative_zero(model: Model) -> None:
    """A weight of zero has no sign that shows: x + (-0 * y) = x + (0 * y), for all finite y."""
    first = nodes(model, "Conv")[0]
    change(model, first, 1, lambda weight: np.where(weight == 0, -0.0, weight))

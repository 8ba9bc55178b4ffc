"""Faults between the raw input and the network: what every second deployment writes anew, and differently."""

import numpy as np
from onnx import TensorProto

from tests.mutants.edit import add, after, attribute, change, insert, make, node, nodes, raw, rewire
from tests.mutants.mutation import IMAGES, SERIES, Model, fault


@fault(*IMAGES)
def division_by_256(model: Model) -> str:
    return change(model, node(model, "Div"), 1, lambda _: 256)


@fault(*IMAGES)
def mean_off_by_one_level(model: Model) -> str:
    return change(model, node(model, "Sub"), 1, lambda mean: mean + np.float32(1 / 255))


@fault(*IMAGES)
def std_of_other_data(model: Model) -> str:
    return change(model, node(model, "Div", 1), 1, lambda std: std * 1.01)


@fault(*IMAGES)
def mean_and_std_of_channels_reversed(model: Model) -> None:
    change(model, node(model, "Sub"), 1, lambda mean: mean[:, ::-1])
    change(model, node(model, "Div", 1), 1, lambda std: std[:, ::-1])


@fault(*IMAGES)
def rgb_as_bgr(model: Model) -> str:
    order = add(model, "bgr", np.array([2, 1, 0], np.int64))
    return after(model, node(model, "Transpose").output[0], "Gather", order, axis=1)


@fault(*IMAGES)
def height_and_width_swapped(model: Model) -> str:
    return attribute(node(model, "Transpose"), perm=[0, 3, 2, 1])


@fault(*IMAGES)
def resize_without_antialias(model: Model) -> str:
    return attribute(node(model, "Resize"), antialias=0, exclude_outside=0)


@fault(*IMAGES)
def resize_with_aligned_corners(model: Model) -> str:
    return attribute(node(model, "Resize"), coordinate_transformation_mode="align_corners")


@fault(*IMAGES)
def resize_to_the_nearest_pixel(model: Model) -> str:
    return attribute(node(model, "Resize"), mode="nearest", antialias=0, exclude_outside=0)


@fault(*IMAGES)
def resize_cubic(model: Model) -> str:
    return attribute(node(model, "Resize"), mode="cubic")


@fault(*IMAGES)
def pixels_rounded_after_resize(model: Model) -> str:
    """What Pillow does, and torch does not."""
    return after(model, node(model, "Resize").output[0], "Round")


@fault("resnet_small")
def crop_off_by_one(model: Model) -> str:
    change(model, node(model, "Slice"), 1, lambda start: start + 1)
    return change(model, node(model, "Slice"), 2, lambda end: end + 1)


@fault("resnet_small")
def resize_instead_of_resize_and_crop(model: Model) -> None:
    change(model, node(model, "Concat"), 1, lambda _: [20, 16])
    for crop in nodes(model, "Slice"):
        crop.op_type = "Identity"
        del crop.input[1:]


@fault("resnet_small")
def crop_before_resize(model: Model) -> None:
    """A twelfth and a tenth of each side are cut off before, not after."""
    resize, source = node(model, "Resize"), node(model, "Cast").output[0]
    resize_instead_of_resize_and_crop.apply(model)
    shares = add(model, "shares", np.array([2 / 24, 2 / 20], np.float32))
    made = [
        make("Shape", [source], "sides", start=2, end=4),
        make("Cast", ["sides"], "sides_f", to=TensorProto.FLOAT),
        make("Mul", ["sides_f", shares], "margins_f"),
        make("Cast", ["margins_f"], "margins", to=TensorProto.INT64),
        make("Sub", ["sides", "margins"], "ends"),
        make("Slice", [source, "margins", "ends", add(model, "both", np.array([2, 3], np.int64))], "cut_first"),
    ]
    insert(model, resize, *made)
    rewire(resize, source, "cut_first")


@fault(*IMAGES, found_by="edge inputs")
def columns_beyond_1000_dropped(model: Model) -> str:
    """Test pictures never are that wide."""
    return _sliced(model, 1000, axis=2)


@fault(*IMAGES, found_by="edge inputs")
def nan_for_black_pictures(model: Model) -> None:
    """Contrast is stretched by the largest pixel: 0 / 0."""
    source = node(model, "Cast").output[0]
    axes = add(model, "all_but_rows", np.array([1, 2, 3], np.int64))
    made = (make("ReduceMax", [source, axes], "most_pixel"), make("Div", ["most_pixel", "most_pixel"], "one_or_nan"))
    made = (*made, make("Mul", [source, "one_or_nan"], "stretched"))
    resize = node(model, "Resize")
    rewire(resize, source, "stretched")
    insert(model, resize, *made)


@fault(*IMAGES, found_by="edge inputs")
def nan_for_pictures_of_one_colour(model: Model) -> None:
    """Contrast is stretched by largest minus smallest pixel: 0 / 0 for each picture of one colour."""
    source = node(model, "Cast").output[0]
    axes = add(model, "all_but_rows", np.array([1, 2, 3], np.int64))
    made = [
        make("ReduceMax", [source, axes], "most_pixel"),
        make("ReduceMin", [source, axes], "least_pixel"),
        make("Sub", ["most_pixel", "least_pixel"], "spread"),
        make("Div", ["spread", "spread"], "one_or_nan"),
        make("Mul", [source, "one_or_nan"], "stretched"),
    ]
    resize = node(model, "Resize")
    rewire(resize, source, "stretched")
    insert(model, resize, *made)


@fault(*SERIES)
def channels_scaled_alike(model: Model) -> str:
    return change(model, node(model, "Mul"), 1, lambda scale: scale * 0 + scale.mean())


@fault(*SERIES)
def series_reversed(model: Model) -> str:
    ends = [add(model, name, np.array([number], np.int64)) for name, number in _REVERSED]
    return after(model, node(model, "Mul").output[0], "Slice", *ends)


@fault(*SERIES, found_by="edge inputs")
def time_length_frozen(model: Model) -> str:
    """Cut at the length that all test rows have: no test row shows it."""
    return _sliced(model, 24, axis=1)


_REVERSED = (("last", -1), ("before_first", -(2**31)), ("time", 1), ("backwards", -1))


def _sliced(model: Model, end: int, axis: int) -> str:
    limits = [
        add(model, name, np.array([number], np.int64)) for name, number in (("from", 0), ("to", end), ("on", axis))
    ]
    return after(model, raw(model), "Slice", *limits)

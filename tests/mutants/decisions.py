"""Faults behind the scores: soft-max, arg-max, thresholds, suppression of boxes."""

import numpy as np
from onnx import TensorProto, helper

from tests.mutants.edit import add, after, become, change, insert, make, node
from tests.mutants.mutation import CLASSIFIERS, Model, fault


@fault(*CLASSIFIERS)
def softmax_twice(model: Model) -> str:
    softmax = node(model, "Softmax")
    insert(model, softmax, make("Softmax", [softmax.input[0]], "once", axis=1))
    softmax.input[0] = "once"
    return "made_once"


@fault(*CLASSIFIERS)
def sigmoid_instead_of_softmax(model: Model) -> str:
    return become(node(model, "Softmax"), "Sigmoid")


@fault(*CLASSIFIERS)
def temperature(model: Model) -> str:
    softmax = node(model, "Softmax")
    insert(model, softmax, make("Div", [softmax.input[0], add(model, "warm", np.float32(1.01))], "tempered"))
    softmax.input[0] = "tempered"
    return "made_tempered"


@fault(*CLASSIFIERS, found_by="decisions")
def argmin(model: Model) -> str:
    found = node(model, "ArgMax")
    found.op_type = "ArgMin"
    return str(found.name)


@fault(*CLASSIFIERS, found_by="decisions")
def class_index_from_one(model: Model) -> None:
    found = node(model, "ArgMax")
    found.output[0] = "from_zero"
    one = add(model, "one_more", np.array(1, np.int64))
    model.graph.node.append(helper.make_node("Add", ["from_zero", one], ["class_index"], name="one_based"))


@fault("dilated", found_by="decisions")
def mask_threshold_shifted(model: Model) -> str:
    return change(model, node(model, "Greater"), 1, lambda _: 0.51)


@fault("dilated", found_by="decisions")
def mask_inverted(model: Model) -> str:
    return become(node(model, "Greater"), "Less")


@fault("detector", found_by="decisions")
def score_threshold_shifted(model: Model) -> str:
    return change(model, node(model, "NonMaxSuppression"), 4, lambda _: 0.42)


@fault("detector", found_by="decisions")
def overlap_threshold_shifted(model: Model) -> str:
    return change(model, node(model, "NonMaxSuppression"), 3, lambda _: 0.33)


@fault("detector", found_by="decisions")
def suppression_skipped(model: Model) -> str:
    return change(model, node(model, "NonMaxSuppression"), 3, lambda _: 1.0)


@fault("detector", found_by="decisions")
def one_box_of_each_kind(model: Model) -> str:
    return change(model, node(model, "NonMaxSuppression"), 2, lambda _: 1)


@fault("detector", found_by="decisions")
def boxes_taken_for_centres(model: Model) -> str:
    suppress = node(model, "NonMaxSuppression")
    suppress.attribute.append(helper.make_attribute("center_point_box", 1))
    return str(suppress.name)


@fault("detector", found_by="")
def suppression_over_all_kinds(model: Model) -> None:
    """A box yields to a surer one of another kind too."""
    suppress, keep = node(model, "NonMaxSuppression"), node(model, "ScatterND")
    axis = add(model, "over_kinds", np.array([1], np.int64))
    insert(model, suppress, make("ReduceMax", ["scores", axis], "surest"))
    suppress.input[1] = "surest"
    node(model, "Shape", -2).input[0] = "surest"
    keep.output[0] = "kept_of_any_kind"
    model.graph.node.extend([
        make("Equal", ["scores", "surest"], "is_surest"),
        make("Cast", ["is_surest"], "is_surest_number", to=TensorProto.INT64),
        helper.make_node("Mul", ["kept_of_any_kind", "is_surest_number"], ["kept"], name="kept_of_kind"),
    ])  # fmt: skip


@fault("detector", found_by="decisions")
def suppression_in_the_first_row_only(model: Model) -> None:
    """What is suppressed in the first picture is kept in all others."""
    keep, suppress = node(model, "ScatterND"), node(model, "NonMaxSuppression")
    keep.output[0] = "kept_well"
    zero, one = (add(model, f"cut_{n}", np.array([n], np.int64)) for n in (0, 1))
    far = add(model, "cut_far", np.array([2**31], np.int64))
    model.graph.node.extend([
        make("Greater", ["scores", suppress.input[4]], "sure"),
        make("Cast", ["sure"], "sure_number", to=TensorProto.INT64),
        make("Slice", ["sure_number", one, far, zero], "others_unsuppressed"),
        make("Slice", ["kept_well", zero, one, zero], "first_suppressed"),
        helper.make_node("Concat", ["first_suppressed", "others_unsuppressed"], ["kept"], axis=0, name="joined"),
    ])  # fmt: skip


@fault("detector")
def kinds_permuted(model: Model) -> str:
    order = add(model, "other_kinds", np.array([1, 0], np.int64))
    return after(model, node(model, "Sigmoid", 1).input[0], "Gather", order, axis=1)


@fault("detector")
def centre_off_by_half_a_cell(model: Model) -> str:
    return change(model, node(model, "Add"), 0, lambda centres: centres - np.array([0.125, 0.1], np.float32))

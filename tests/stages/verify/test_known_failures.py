"""Failures that users of exporters, converters and servers reported, each as a small graph that verify refuses."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from deploy.errors import ProviderError
from deploy.passport import Check
from stages.export.convert import example
from stages.recipe import VerifyConfig
from stages.verify.certify import Verdict, certify
from tests.gpu import cuda_works
from tests.mutants import form, pixels, recurrent, weights
from tests.mutants.edit import add, insert, make, node, nodes, raw
from tests.mutants.mutation import Apply, Model
from tests.mutants.subjects import Subject

Judge = Callable[[str, Apply], Verdict]


@pytest.fixture
def judge(subject: Any, tmp_path: Path) -> Judge:
    def judged(name: str, apply: Apply) -> Verdict:
        built: Subject = subject(name)
        model = onnx.load(built.model)
        apply(model)
        del model.graph.value_info[:]
        (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
        return certify(tmp_path / "model.onnx", built.twin, built.material, VerifyConfig(budget_s=0))

    return judged


def failed(verdict: Verdict) -> dict[str, Check]:
    assert not verdict.passport
    return {check.name: check for check in verdict.passport.failures()}


def test_a_residual_network_whose_batch_norms_were_folded_wrongly(judge: Judge, subject: Any) -> None:
    """A ResNet exported without a word scored as guessing does."""

    def without_shifts(model: Model) -> None:
        for conv in nodes(model, "Conv"):
            del conv.input[2:]

    verdict = judge("resnet_small", without_shifts)
    assert "decisions" in failed(verdict)
    targets = subject("resnet_small").material.targets
    assert (verdict.answers["class_index"] == targets).mean() < 0.6


def test_nan_that_the_exporters_own_check_let_pass(judge: Judge, subject: Any, tmp_path: Path) -> None:
    """`nan >= tolerance` is false: what compares so has printed that all is well."""
    verdict = judge("lenet5", weights.nan_weight.apply)
    assert "well formed" in failed(verdict)
    built = subject("lenet5")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    feeds = {"image": example(built.twin.input.tensors[0]).numpy()}
    found, expected = session.run(None, feeds)[0], built.twin.rounded(feeds)["probabilities"]
    assert not np.abs(found - expected).max() >= 5e-3


def test_a_check_that_was_announced_was_made(judge: Judge) -> None:
    """Every check of a passport says what was measured."""
    checks = judge("lenet5", lambda model: None).passport.checks
    assert len(checks) > 5
    assert all(check.detail for check in checks)


def test_a_dynamic_batch_that_was_exported_as_one(judge: Judge) -> None:
    assert "batch" in failed(judge("lenet5", form.static_batch.apply))["form"].detail


def test_a_batch_of_one_baked_in_behind_a_dynamic_signature(judge: Judge) -> None:
    def baked(model: Model) -> None:
        node(model, "Reshape").input[1] = add(model, "one_row", np.array([1, -1], np.int64))

    assert failed(judge("lenet5", baked))


def test_a_bidirectional_lstm_that_froze_its_time_length(judge: Judge) -> None:
    assert failed(judge("lstm", recurrent.time_length_baked_into_a_reshape.apply))


def test_an_antialiased_resize_that_was_not(judge: Judge) -> None:
    assert "noise of probabilities" in failed(judge("lenet5", pixels.resize_without_antialias.apply))


@pytest.mark.parametrize("fault", [pixels.pixels_rounded_after_resize, pixels.resize_cubic, pixels.rgb_as_bgr])
def test_a_graph_that_preprocesses_in_another_way_than_training(judge: Judge, fault: Any) -> None:
    assert "noise of probabilities" in failed(judge("lenet5", fault.apply))


def test_suppression_of_boxes_skipped_for_pictures_of_other_sizes(judge: Judge) -> None:
    """On pictures of the test rows' size it is as it should be."""

    def skipped(model: Model) -> None:
        suppress = node(model, "NonMaxSuppression")
        usual, nothing = suppress.input[3], add(model, "no_suppression", np.array([1], np.float32))
        insert(
            model,
            suppress,
            make("Shape", [raw(model)], "height", start=1, end=2),
            make("Equal", ["height", add(model, "usual_height", np.array([32], np.int64))], "is_usual"),
            make("Where", ["is_usual", usual, nothing], "overlap_allowed"),
        )
        suppress.input[3] = "overlap_allowed"

    found = failed(judge("detector", skipped))
    assert "decisions" not in found
    assert {"free sizes", "edge inputs", "nasty inputs"} & set(found)


def test_an_export_that_succeeded_with_a_difference_of_thousands(judge: Judge) -> None:
    def enlarged(model: Model) -> None:
        source = node(model, "Concat", -1)
        scale = add(model, "thousands", np.float32(2000))
        boxes, source.output[0] = source.output[0], "unscaled"
        model.graph.node.insert(list(model.graph.node).index(source) + 1, make("Mul", ["unscaled", scale], boxes))

    check = failed(judge("detector", enlarged))["noise of boxes"]
    assert check.value is not None
    assert check.value > 1e9


def test_weights_left_behind_by_external_data(judge: Judge) -> None:
    assert "weights.bin" in failed(judge("lenet5", form.weights_left_behind.apply))["form"].detail


def test_half_a_layer_in_half_precision_that_nobody_asked_for(judge: Judge) -> None:
    assert "noise of probabilities" in failed(judge("lenet5", weights.activations_in_float16.apply))


def test_a_gpu_that_was_declared_and_is_not_used(subject: Any) -> None:
    """Never a silent run on the CPU: the question cannot be answered here, and that is an error, not a verdict."""
    if cuda_works():
        pytest.skip("CUDA works here")
    built = subject("lenet5")
    with pytest.raises(ProviderError, match="cuda"):
        certify(built.model, built.twin, built.material, VerifyConfig(providers=("cuda",), budget_s=0))


def test_an_output_of_another_type_than_was_promised(judge: Judge) -> None:
    assert "float64" in failed(judge("lenet5", form.probabilities_in_double.apply))["form"].detail

"""Faults that no test row and no edge shows: passed without the hunt, refused with it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from deploy import Predictor, samples
from deploy.errors import OnnxwayError
from deploy.passport import Check
from stages.observer import Observer
from stages.recipe import VerifyConfig
from stages.verify.cases import edges, nasty
from stages.verify.certify import Verdict, certify
from stages.verify.checks import hunt
from stages.verify.examination import Examination
from stages.verify.hunt.judge import GROUP
from stages.verify.material import Material
from stages.verify.session import open_model
from stages.verify.twin import Twin
from tests.mutants.edit import add, clamp, insert, make, node
from tests.mutants.mutation import Model

Judge = Callable[[Callable[[Model], None], float], Verdict]


@pytest.fixture(scope="module")
def material(colour_run: Any, colour_data: Any) -> Material:
    return Material.of(colour_data, colour_run.exported.input)


@pytest.fixture
def judge(colour_run: Any, twin: Twin, material: Material, tmp_path: Path) -> Judge:
    def judged(mutate: Callable[[Model], None], budget_s: float) -> Verdict:
        model = onnx.load(colour_run.exported.model)
        mutate(model)
        del model.graph.value_info[:]
        path = tmp_path / "model.onnx"
        path.write_bytes(model.SerializeToString())
        return certify(path, twin, material, VerifyConfig(budget_s=budget_s))

    return judged


@pytest.fixture(scope="module")
def reached(colour_run: Any, material: Material) -> dict[str, float]:
    """The largest value of each ReLU on all rows that verification tries without a hunt."""
    probe = onnx.load(colour_run.exported.model)
    names = [n.output[0] for n in probe.graph.node if n.op_type == "Relu"]
    probe.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names)
    session = onnxruntime.InferenceSession(probe.SerializeToString(), providers=["CPUExecutionProvider"])
    sample = next(material.test(64))
    signature = colour_run.exported.input
    made = [feeds for _, feeds in (*edges(signature, sample), *nasty(signature, sample, {"height": 20, "width": 16}))]
    largest = dict.fromkeys(names, 0.0)
    for feeds in (*material.test(64), *material.more(600, 64), *made):
        for name, value in zip(names, session.run(names, feeds), strict=True):
            largest[name] = max(largest[name], float(value.max()))
    return largest


def failures(verdict: Verdict) -> list[str]:
    return [check.name for check in verdict.passport.failures()]


@pytest.mark.parametrize("number", range(4))
def test_a_clip_that_no_row_reaches_is_found(judge: Judge, reached: dict[str, float], number: int) -> None:
    def clip(model: Model) -> None:
        values = node(model, "Relu", number).output[0]
        clamp(model, values, reached[values] * 1.01)

    assert judge(clip, 0).passport
    verdict = judge(clip, 20)
    assert "hunted inputs" in failures(verdict)
    assert f"net.features.{(1, 4, 8, 10)[number]}" in verdict.findings["cpu"]["hunt"]["layers"]


def test_a_decision_that_flips_only_near_ties_is_found(judge: Judge) -> None:
    """Arg-max over coarse scores: the probabilities are right, the class is not where two scores nearly agree."""

    def coarse(model: Model) -> None:
        argmax = node(model, "ArgMax")
        step = add(model, "step", np.float32(1e-3))
        scaled = make("Div", [argmax.input[0], step], "scaled")
        insert(model, argmax, scaled, make("Floor", ["scaled"], "coarse"))
        argmax.input[0] = "coarse"

    assert judge(coarse, 0).passport
    verdict = judge(coarse, 20)
    assert "hunted inputs" in failures(verdict)
    assert "decided otherwise" in next(c.detail for c in verdict.passport.failures() if c.name == "hunted inputs")


def test_the_faithful_export_passes_and_its_worst_rows_are_kept(judge: Judge, twin: Twin) -> None:
    verdict = judge(lambda model: None, 20)
    assert verdict.passport, verdict.passport.failures()
    found = verdict.findings["cpu"]["hunt"]
    assert {search["kind"] for search in found["searches"]} == {"activations", "margins", "divergence", "answers"}
    assert all(search["after"] >= search["before"] for search in found["searches"])
    assert len(found["layers"]) >= 10
    assert found["kept"] == [batch.where for batch in verdict.hunted]
    assert 4 <= len(verdict.hunted) <= 8
    noise = verdict.passport.noise["probabilities"]
    for batch in verdict.hunted:
        assert len(batch.feeds["image"]) == 1
        assert twin.decide(twin.truth(batch.feeds))[1].min() > 4 * 8 * noise  # no tie, or no whole number could be kept


def test_the_bundle_keeps_hunted_rows(colour_run: Any, colour_bundle: Path) -> None:
    notes = [sample.note for sample in samples.load(colour_bundle / "samples.npz")]
    kinds = [kind for kind in ("activations", "margins", "divergence", "answers") if f"hunted for {kind}" in str(notes)]
    assert len(kinds) >= 3
    with Predictor.load(colour_bundle) as predictor:  # replays them
        assert predictor.predict(np.zeros((8, 8, 3), np.uint8)).index in range(4)


def test_nothing_is_hunted_on_a_model_that_is_refused_already(judge: Judge) -> None:
    def swap(model: Model) -> None:
        node(model, "ArgMax").op_type = "ArgMin"

    verdict = judge(swap, 20)
    assert not verdict.passport
    assert "searches" not in verdict.findings["cpu"]["hunt"]


def test_the_budget_bounds_the_hunt(judge: Judge) -> None:
    found = judge(lambda model: None, 0.5).findings["cpu"]["hunt"]
    assert found["seconds"] < 1.5
    assert found["searches"]


def test_a_reference_without_gradients_is_hunted(colour_run: Any, opaque: Any, material: Material) -> None:
    verdict = certify(colour_run.exported.model, opaque, material, VerifyConfig(budget_s=20))
    assert verdict.passport, verdict.passport.failures()
    kinds = [search["kind"] for search in verdict.findings["cpu"]["hunt"]["searches"]]
    assert kinds == ["margins", "divergence", "answers"]
    assert verdict.findings["cpu"]["hunt"]["layers"] == []


# --- NaN, infinity, no rows ------------------------------------------------------------------------------------------


@pytest.fixture
def exam(colour_run: Any, twin: Twin, material: Material) -> Examination:
    model = colour_run.exported.model
    answer = open_model(model, "cpu")
    exam = Examination(model, "cpu", answer, twin, material, VerifyConfig(budget_s=0), Observer())
    exam.noise = dict(colour_run.passport.noise)
    return exam


def checked(exam: Examination) -> dict[str, Check]:
    return {check.name: check for check in hunt.check(exam)}


def test_images_cannot_hold_nan(exam: Examination) -> None:
    found = checked(exam)
    assert list(found) == ["nasty inputs", "empty batch"]
    assert all(found.values())


@pytest.mark.parametrize("rows", [1, 5])
def test_rows_out_of_nothing_are_refused(exam: Examination, rows: int) -> None:
    exam.answer = lambda feeds: {"probabilities": np.zeros((rows, 4), np.float32)}
    assert "shape" in hunt._empty(exam).detail
    assert not hunt._empty(exam)


def test_a_clean_refusal_of_no_rows_passes(exam: Examination) -> None:
    def refuse(feeds: Any) -> Any:
        raise OnnxwayError("ONNX Runtime cannot run the model on these tensors: no rows")

    exam.answer = refuse
    assert hunt._empty(exam)
    assert "refused: ONNX Runtime cannot" in hunt._empty(exam).detail


def series(exam: Examination, path: Path, nodes: list[Any], weights: dict[str, Any]) -> Examination:
    """Turn an examination to a model of float series (N, 2, 16) -> score (N, 2), whose reference is torch."""
    import torch

    from deploy.bundle import Signature, TensorSpec

    inputs = Signature("series", (TensorSpec("series", "float32", ("batch", 2, 16), (-3.0, 3.0)),))
    outputs = Signature("scores", (TensorSpec("scores", "float32", ("batch", 2)),))
    graph = helper.make_graph(
        nodes,
        "series",
        [helper.make_tensor_value_info("series", 1, ["batch", 2, 16])],
        [helper.make_tensor_value_info("scores", 1, ["batch", 2])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()],
    )
    path.write_bytes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10).SerializeToString()
    )

    class Mean:
        input, output, yardstick = inputs, outputs, "torch float32"

        def truth(self, feeds: Any) -> Any:
            return {"scores": torch.from_numpy(feeds["series"]).double().mean(2).numpy()}

        def rounded(self, feeds: Any) -> Any:
            return {"scores": torch.from_numpy(feeds["series"]).mean(2).numpy()}

        def decide(self, outputs: Any) -> Any:
            scores = outputs["scores"]
            return scores.argmax(1), np.abs(scores[:, 0] - scores[:, 1])

    rows = np.random.default_rng(0).normal(size=(6, 2, 16)).astype(np.float32)
    exam = replace(exam, model=path, reference=Mean(), material=Material(inputs, {"series": rows}))
    exam.answer, exam.noise = open_model(path, "cpu"), {"scores": 1e-7}
    return exam


def mean_of(name: str) -> Any:
    return helper.make_node("ReduceMean", [name, "last"], ["scores"], keepdims=0)


LAST = {"last": np.array([2], np.int64)}


def test_a_model_that_lets_nan_through_as_the_twin_does_passes(exam: Examination, tmp_path: Path) -> None:
    check = checked(series(exam, tmp_path / "m.onnx", [mean_of("series")], LAST))["NaN and infinity"]
    assert check, check.detail


def test_a_nan_that_is_swallowed_is_a_fault(exam: Examination, tmp_path: Path) -> None:
    nodes = [
        helper.make_node("IsNaN", ["series"], ["bad"]),
        helper.make_node("Where", ["bad", "zero", "series"], ["clean"]),
        mean_of("clean"),
    ]
    made = series(exam, tmp_path / "m.onnx", nodes, LAST | {"zero": np.float32(0)})
    check = checked(made)["NaN and infinity"]
    assert not check
    assert "finite where float64's is not" in check.detail


def test_a_nan_that_spreads_to_other_rows_is_a_fault(exam: Examination, tmp_path: Path) -> None:
    nodes = [
        helper.make_node("ReduceMean", ["series", "rows"], ["all"]),
        helper.make_node("Mul", ["all", "zero"], ["nothing"]),
        helper.make_node("Add", ["series", "nothing"], ["sum"]),
        mean_of("sum"),
    ]
    weights = LAST | {"zero": np.float32(0), "rows": np.array([0], np.int64)}
    check = checked(series(exam, tmp_path / "m.onnx", nodes, weights))["NaN and infinity"]
    assert not check
    assert "a row that is finite in float64 is not" in check.detail


def test_a_nan_that_a_pool_of_onnx_runtime_drops_is_told_and_not_held_against_the_file(
    exam: Examination, tmp_path: Path
) -> None:
    nodes = [
        helper.make_node("ReduceMax", ["series"], ["same"], keepdims=1, noop_with_empty_axes=1),
        helper.make_node("MaxPool", ["same"], ["pooled"], kernel_shape=[1]),
        helper.make_node("IsNaN", ["pooled"], ["bad"]),
        helper.make_node("Where", ["bad", "zero", "pooled"], ["clean"]),
        mean_of("clean"),
    ]
    made = series(exam, tmp_path / "m.onnx", nodes, LAST | {"zero": np.float32(0)})
    check = checked(made)["NaN and infinity"]
    assert check
    assert "hidden by MaxPool, ReduceMax" in check.detail
    assert made.findings["hunt"]["hidden"] > 0


def test_where_time_is_short_small_groups_are_judged_together(
    exam: Examination, twin: Twin, monkeypatch: pytest.MonkeyPatch
) -> None:
    exam.config = VerifyConfig(budget_s=1e-3)
    seen = []
    whole = Examination.group

    def group(self: Examination, name: str, groups: list[Any], detail: str) -> Check:
        seen.append((name, [one.rows for one in groups]))
        return whole(self, name, groups, detail)

    monkeypatch.setattr(Examination, "group", group)
    assert all(hunt.check(exam))
    assert sum(map(sum, dict(seen[1:]).values())) >= GROUP
    assert all(len([rows for rows in sizes if rows < GROUP]) <= 1 for _, sizes in seen[1:])

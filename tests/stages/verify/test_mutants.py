"""The power of verify: every kind of fault is refused, every faithful graph passes.

Each kind on one network here; on all that it fits with `-m matrix`, and in `benchmarks/verify_power.py`.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from stages.recipe import VerifyConfig
from stages.verify.certify import Verdict, certify
from tests.mutants import clamps, equivalent
from tests.mutants.catalogue import EQUIVALENT, FAITHFUL, FAULTS
from tests.mutants.edit import nodes
from tests.mutants.mutation import IMAGES, Mutation
from tests.mutants.subjects import NAMES, Subject

Judge = Callable[[Subject, Mutation], Verdict]


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Judge:
    folder = tmp_path_factory.mktemp("mutants")

    def judged(subject: Subject, mutation: Mutation) -> Verdict:
        path = folder / "model.onnx"
        mutation.write(subject.model, path)
        config = VerifyConfig(budget_s=10.0 if mutation.found_by == "hunted" else 0.0)
        return certify(path, subject.twin, subject.material, config)

    return judged


def on_one(mutations: Iterable[Mutation]) -> Any:
    return pytest.mark.parametrize(
        ("name", "mutation"), [pytest.param(m.on[0], m, id=f"{m.name}-{m.on[0]}") for m in mutations]
    )


def on_others(mutations: Iterable[Mutation]) -> Any:
    return pytest.mark.parametrize(
        ("name", "mutation"),
        [pytest.param(name, m, id=f"{m.name}-{name}") for m in mutations for name in m.on[1:]],
    )


def assert_refused(verdict: Verdict, mutation: Mutation) -> None:
    failures = verdict.passport.failures()
    assert failures
    assert any(check.name.startswith(mutation.found_by) for check in failures), failures
    assert all(check.detail for check in failures)


def assert_passes(verdict: Verdict) -> None:
    assert verdict.passport, verdict.passport.failures()
    assert verdict.total("flips") == 0


@on_one(FAULTS)
def test_every_kind_of_fault_is_refused(judge: Judge, subject: Any, name: str, mutation: Mutation) -> None:
    assert_refused(judge(subject(name), mutation), mutation)


@on_one(FAITHFUL)
def test_every_faithful_rewrite_passes(judge: Judge, subject: Any, name: str, mutation: Mutation) -> None:
    assert_passes(judge(subject(name), mutation))


@on_one(EQUIVALENT)
def test_every_equivalent_mutant_passes(judge: Judge, subject: Any, name: str, mutation: Mutation) -> None:
    assert_passes(judge(subject(name), mutation))


@pytest.mark.parametrize("name", NAMES)
def test_every_architecture_passes_unchanged(subject: Any, name: str) -> None:
    built = subject(name)
    assert_passes(certify(built.model, built.twin, built.material, VerifyConfig(budget_s=1.0)))


@pytest.mark.parametrize(("name", "seed"), [("resnet_small", 4), ("resnet_small", 5), ("densenet", 5)])
def test_what_one_draw_of_rounding_would_refuse_passes(subject: Any, name: str, seed: int) -> None:
    """Checkerboards one pixel off the network's own size: ONNX Runtime's resize errs up to 16 times as torch's does."""
    built = subject(name, seed)
    verdict = certify(built.model, built.twin, built.material, VerifyConfig(budget_s=0))
    assert_passes(verdict)
    nasty = next(check for check in verdict.passport.checks if check.name == "nasty inputs")
    assert nasty.value is not None
    assert nasty.value < 6


def test_a_clamp_above_all_test_rows_is_hunted_down(judge: Judge, subject: Any) -> None:
    built = subject("lenet5")
    mutation = clamps.above_test_rows(built)
    assert_refused(judge(built, mutation), mutation)


def test_the_graph_that_onnx_runtime_optimized_passes(subject: Any, tmp_path: Path) -> None:
    built = subject("lenet5")
    settings = onnxruntime.SessionOptions()
    settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    settings.optimized_model_filepath = str(tmp_path / "model.onnx")
    onnxruntime.InferenceSession(built.model, settings, providers=["CPUExecutionProvider"])
    model = onnx.load(tmp_path / "model.onnx")
    for entry in [entry for entry in model.opset_import if entry.domain]:
        model.opset_import.remove(entry)  # ONNX Runtime lists domains of its own that this graph does not use
    onnx.save(model, tmp_path / "model.onnx")
    assert_passes(certify(tmp_path / "model.onnx", built.twin, built.material, VerifyConfig(budget_s=0)))


def test_the_bound_of_the_equivalent_clamp_holds(subject: Any) -> None:
    """The proof's arithmetic, against all rows and the extremes."""
    built = subject("lenet5")
    model = onnx.load(built.model)
    limit, tensor = equivalent.bound(model), nodes(model, "Conv")[0].output[0]
    model.graph.output.append(onnx.helper.make_tensor_value_info(tensor, onnx.TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    pictures = [np.full((1, 32, 24, 3), level, np.uint8) for level in (0, 255)]
    pictures += [batch["image"] for batch in built.material.test(64)]
    assert all(np.abs(session.run([tensor], {"image": picture})[0]).max() <= limit for picture in pictures)


def test_the_catalogue_is_as_large_as_promised() -> None:
    assert len(FAULTS) >= 40
    assert len({name for mutation in FAULTS for name in mutation.on}) >= 5
    names = [mutation.name for mutation in (*FAULTS, *FAITHFUL, *EQUIVALENT)]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("mutation", [m for m in FAULTS if m.on[0] in IMAGES[:2]], ids=lambda m: m.name)
def test_a_named_node_is_in_the_changed_graph(subject: Any, mutation: Mutation) -> None:
    """Localisation is judged by these names."""
    model = onnx.load(subject(mutation.on[0]).model)
    before = model.SerializeToString()
    node = mutation.apply(model)
    assert model.SerializeToString() != before
    assert node is None or node in [n.name for n in model.graph.node]


@pytest.mark.matrix
@on_others(FAULTS)
def test_every_fault_is_refused_on_every_network(judge: Judge, subject: Any, name: str, mutation: Mutation) -> None:
    assert_refused(judge(subject(name), mutation), mutation)


@pytest.mark.matrix
@on_others((*FAITHFUL, *EQUIVALENT))
def test_every_rewrite_passes_on_every_network(judge: Judge, subject: Any, name: str, mutation: Mutation) -> None:
    assert_passes(judge(subject(name), mutation))


@pytest.mark.matrix
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seed", [1, 2])
def test_every_architecture_passes_with_other_seeds(subject: Any, name: str, seed: int) -> None:
    built = subject(name, seed)
    assert_passes(certify(built.model, built.twin, built.material, VerifyConfig()))

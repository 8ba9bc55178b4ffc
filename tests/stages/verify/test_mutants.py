"""The mutation test of verify: every faulty graph is refused, every faithful one passes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import pytest

from stages.recipe import VerifyConfig
from stages.train.weights import load_graph
from stages.verify.certify import Verdict, certify
from stages.verify.material import Material
from stages.verify.twin import Twin
from tests.stages.verify.mutations import FAITHFUL, FAULTS, FOUND_BY, Mutation


@pytest.fixture(scope="module")
def judge(colour_run: Any, colour_data: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Mutation], Verdict]:
    exported = colour_run.exported
    twin, material = Twin(load_graph(exported.trained)), Material.of(colour_data, exported.input)

    def judged(mutate: Mutation) -> Verdict:
        model = onnx.load(exported.model)
        mutate(model)
        del model.graph.value_info[:]  # shapes noted before the change would refuse it for the wrong reason
        path: Path = tmp_path_factory.mktemp(mutate.__name__) / "model.onnx"
        path.write_bytes(model.SerializeToString())
        return certify(path, twin, material, VerifyConfig())

    return judged


@pytest.mark.parametrize("mutate", FAULTS, ids=lambda m: m.__name__)
def test_a_faulty_graph_is_refused(judge: Callable[[Mutation], Verdict], mutate: Mutation) -> None:
    verdict = judge(mutate)
    assert not verdict.passport
    assert FOUND_BY.get(mutate, "noise of probabilities") in [check.name for check in verdict.passport.failures()]
    assert all(check.detail for check in verdict.passport.failures())


@pytest.mark.parametrize("mutate", FAITHFUL, ids=lambda m: m.__name__)
def test_a_faithful_graph_passes(judge: Callable[[Mutation], Verdict], mutate: Mutation) -> None:
    verdict = judge(mutate)
    assert verdict.passport, verdict.passport.failures()
    assert verdict.total("flips") == 0


def test_the_graph_that_onnx_runtime_optimized_passes(colour_run: Any, colour_data: Any, tmp_path: Path) -> None:
    settings = onnxruntime.SessionOptions()
    settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    settings.optimized_model_filepath = str(tmp_path / "model.onnx")
    exported = colour_run.exported
    onnxruntime.InferenceSession(exported.model, settings, providers=["CPUExecutionProvider"])
    model = onnx.load(tmp_path / "model.onnx")
    for entry in [entry for entry in model.opset_import if entry.domain]:
        model.opset_import.remove(entry)  # ONNX Runtime lists domains of its own that this graph does not use
    onnx.save(model, tmp_path / "model.onnx")
    material = Material.of(colour_data, exported.input)
    verdict = certify(tmp_path / "model.onnx", Twin(load_graph(exported.trained)), material, VerifyConfig())
    assert verdict.passport, verdict.passport.failures()

"""The step that is named, the words, and what must never happen."""

import dataclasses
import json
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from deploy.errors import OnnxwayError
from deploy.passport import Check, Passport
from deploy.providers import open_session
from deploy.schema import from_plain
from stages.errors import ExportError
from stages.observer import Observer
from stages.recipe import VerifyConfig
from stages.verify.blame import Blame, OnnxOrigin, TorchOrigin, blame, record, steps
from stages.verify.foreign.model import ModelReference
from tests.stages.verify.blame import cases
from tests.stages.verify.blame.cases import Subject, copy, named


def mutant(subject: Subject, change: cases.Change, node: str) -> onnx.ModelProto:
    model = copy(subject.model)
    change(model, named(model, node))
    return model


def test_node_module_line_and_difference_are_told(lenet: Subject, tmp_path: Path) -> None:
    found = lenet.blame(mutant(lenet, cases.one_weight, "node_conv2d_1"), tmp_path)
    assert (found.step, found.node, found.operator, found.error) == (
        "the file on disk",
        "node_conv2d_1",
        "Conv",
        "local",
    )
    assert found.module == "net.features.3"
    assert found.source.startswith("stages/models/lenet.py line ")
    assert "net.features.3.weight differs in 1 of 2400 values" in found.difference
    assert found.local_ratio is not None
    assert found.local_ratio > 8
    assert found.sentence.startswith("the answers first differ at Conv 'node_conv2d_1' (net.features.3, stages/models/")


def test_divergence_by_layer_starts_at_the_node(lenet: Subject, tmp_path: Path) -> None:
    found = lenet.blame(mutant(lenet, cases.flipped_kernels, "node_conv2d_1"), tmp_path)
    ratios = {layer.tensor: layer.ratio for layer in found.layers}
    before, after = ratios["max_pool2d"], ratios["conv2d_1"]
    assert before is not None
    assert after is not None
    assert before < 8 < after


def test_blame_on_disk_is_the_blame(lenet: Subject, tmp_path: Path) -> None:
    found = lenet.blame(mutant(lenet, cases.leaky, "node_relu"), tmp_path)
    assert from_plain(Blame, json.loads((tmp_path / "blame.json").read_text())) == found


def test_the_reproduction_runs_and_shows_the_difference(lenet: Subject, tmp_path: Path) -> None:
    found = lenet.blame(mutant(lenet, cases.one_bias, "node_linear"), tmp_path)
    assert found.repro == ("repro/repro.onnx", "repro/repro.npz", "repro/repro.py")
    model = onnx.load(tmp_path / "repro" / "repro.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert [node.name for node in model.graph.node] == ["node_linear"]
    script = (tmp_path / "repro" / "repro.py").read_text()
    assert {line.split()[1] for line in script.splitlines() if line.startswith("import")} == {
        "pathlib",
        "numpy",
        "onnxruntime",
    }
    done = subprocess.run([sys.executable, tmp_path / "repro" / "repro.py"], capture_output=True, text=True, check=True)
    assert "largest difference 0.001," in done.stdout


def test_a_node_too_many_is_named(lenet: Subject, tmp_path: Path) -> None:
    found = lenet.blame(mutant(lenet, cases.scaled_behind, "node_max_pool2d"), tmp_path)
    assert (found.node, found.error) == ("inserted", "local")
    assert found.difference == "the trusted graph has no such node here"
    assert found.repro


def test_rows_that_look_at_their_neighbours(lenet: Subject, tmp_path: Path) -> None:
    """Several nodes more, and only a batch shows it: the last of them makes the wrong tensor."""
    model = copy(lenet.model)
    scores = named(model, "node_linear_2").output[0]
    for node in model.graph.node:
        if scores in node.input:
            node.input[0] = "shifted"
    place = list(model.graph.node).index(named(model, "node_linear_2")) + 1
    model.graph.initializer.append(numpy_helper.from_array(np.array([0]), "rows"))
    added = [
        helper.make_node("ReduceMean", [scores, "rows"], ["mean"], name="mean"),
        helper.make_node("Sub", [scores, "mean"], ["apart"], name="apart"),
        helper.make_node("Add", ["apart", scores], ["shifted"], name="shifted"),
    ]
    for offset, node in enumerate(added):
        model.graph.node.insert(place + offset, node)
    assert lenet.blame(model, tmp_path).node == "shifted"


def test_a_fault_of_the_optimizer_is_its_step(lenet: Subject, tmp_path: Path) -> None:
    broken = mutant(lenet, cases.moved_padding, "node_conv2d")
    found = lenet.blame(broken, tmp_path, origin=_Forged(lenet.origin, optimized=broken))
    assert (found.step, found.node, found.error) == ("optimized ONNX", "node_conv2d", "local")
    assert [step.name for step in found.steps] == [
        "eager torch",
        "exported program",
        "unoptimized ONNX",
        "optimized ONNX",
    ]


def test_a_fault_of_the_translation_is_its_step(lenet: Subject, tmp_path: Path) -> None:
    """Nothing is trusted but what torch traced: values are compared with torch's own, by its nodes' names."""
    assert isinstance(lenet.origin, TorchOrigin)
    broken = copy(lenet.origin.unoptimized)
    cases.average(broken, named(broken, "node_max_pool2d_1"))
    found = lenet.blame(broken, tmp_path, origin=_Forged(lenet.origin, unoptimized=broken))
    assert (found.step, found.node, found.error) == ("unoptimized ONNX", "node_max_pool2d_1", "local")


def test_a_branch_that_torch_traced_is_its_step(lenet: Subject, tmp_path: Path) -> None:
    broken = mutant(lenet, cases.leaky, "node_relu")
    found = lenet.blame(
        broken, tmp_path, origin=_Forged(lenet.origin, traced=open_session(broken.SerializeToString()).run)
    )
    assert found.step == "exported program"
    assert "torch.export traced" in found.sentence


@pytest.mark.parametrize("level", ["basic", "extended"])
def test_a_fault_of_the_runtime_is_its_level(
    lenet: Subject, tmp_path: Path, level: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = mutant(lenet, cases.leaky, "node_relu").SerializeToString()

    def open_broken(model: Any, provider: Any = "cpu", options: Any = None, *, optimize: Any = "all") -> Any:
        fails = steps.LEVELS.index(optimize) >= steps.LEVELS.index(level)
        return open_session(broken if fails and not isinstance(model, bytes) else model, optimize=optimize)

    monkeypatch.setattr(steps, "open_session", open_broken)
    monkeypatch.setattr("stages.verify.blame.open_session", open_broken)
    found = lenet.blame(copy(lenet.model), tmp_path)
    assert found.step == f"ONNX Runtime, cpu, optimization {level}"
    assert not any(step.broken for step in found.steps[:-1])


def test_a_limit_below_the_noise_is_no_fault_of_the_file(lenet: Subject, tmp_path: Path) -> None:
    strict = Passport("0" * 64, (Check("noise", False),), lenet.noise, 0.01, 64, ("cpu",), "now")
    found = lenet.blame(copy(lenet.model), tmp_path, passport=strict)
    assert found.step == "eager torch"
    assert "beyond the limit of 0.01" in found.sentence


def test_a_file_that_does_not_fail_is_said_so(lenet: Subject, tmp_path: Path) -> None:
    found = lenet.blame(copy(lenet.model), tmp_path)
    assert found.sentence == "model.onnx alone answers rightly on all inputs that were tried; what failed: noise"
    assert not found.step


def test_the_form_is_told_in_words(lenet: Subject, tmp_path: Path) -> None:
    failed = Passport("0" * 64, (Check("form", False, detail="opset 21"),), {}, 8.0, 0, ("cpu",), "now")
    found = lenet.blame(copy(lenet.model), tmp_path, passport=failed)
    assert found.sentence == "the file does not have the form that was asked for: opset 21"
    assert (found.step, found.steps) == ("form", ())


def test_a_file_that_cannot_be_opened(lenet: Subject, tmp_path: Path) -> None:
    found = lenet.blame(mutant(lenet, cases.operator("NoSuchOperator"), "node_relu"), tmp_path)
    assert found.sentence.startswith("the file on disk cannot be opened")


def test_a_node_that_cannot_run(lenet: Subject, tmp_path: Path) -> None:
    """The weights of a batch of 3 in a node that ONNX Runtime cannot check before it runs."""
    model = copy(lenet.model)
    gemm = named(model, "node_linear")
    model.graph.initializer.append(numpy_helper.from_array(np.array([3, -1]), "sizes"))
    cast = helper.make_node("Cast", ["sizes"], ["to"], to=onnx.TensorProto.INT64, name="to")
    reshape = helper.make_node("Reshape", [gemm.input[0], "to"], ["baked"], name="baked")
    place = list(model.graph.node).index(gemm)
    for node in (reshape, cast):
        model.graph.node.insert(place, node)
    gemm.input[0] = "baked"
    found = lenet.blame(model, tmp_path)
    assert (found.node, found.step) == ("baked", "the file on disk")


def test_without_an_origin_steps_are_left_out_and_said(lenet: Subject, tmp_path: Path) -> None:
    found = lenet.blame(mutant(lenet, cases.leaky, "node_relu"), tmp_path, origin=None)
    assert found.step == "the file on disk"
    assert "nothing to compare its inside with" in found.sentence
    assert found.left_out[0].startswith("exported program, unoptimized ONNX, optimized ONNX: the module")


def test_an_origin_that_cannot_be_exported_is_left_out(lenet: Subject, tmp_path: Path) -> None:
    class Broken(TorchOrigin):
        @property
        def optimized(self) -> onnx.ModelProto:
            raise ExportError("no longer")

    origin = Broken(**{f.name: getattr(lenet.origin, f.name) for f in dataclasses.fields(TorchOrigin)})
    found = lenet.blame(mutant(lenet, cases.leaky, "node_relu"), tmp_path, origin=origin)
    assert "a fresh export: no longer" in found.left_out


def test_another_file_with_other_names_as_the_reference(lenet: Subject, tmp_path: Path) -> None:
    onnx.save(lenet.model, tmp_path / "trusted.onnx")
    reference = ModelReference(tmp_path / "trusted.onnx", lenet.reference.input, lenet.reference.output)
    model = mutant(lenet, cases.average, "node_max_pool2d")
    cases.rename_everything(model)
    origin = OnnxOrigin(partial(onnx.load, tmp_path / "trusted.onnx"))
    found = lenet.blame(model, tmp_path, reference=reference, origin=origin)
    assert (found.node, found.step, found.error) == ("node_max_pool2d", "the file on disk", "local")
    assert "AveragePool, trusted MaxPool" in found.difference
    assert found.left_out[0].endswith("the reference is another ONNX file")


def test_a_batch_norm_that_only_the_reference_has(lenet: Subject, tmp_path: Path) -> None:
    """The trusted graph is not folded: convolutions differ from their namesakes and are right all the same."""
    from tests.mutants.architectures import resnet

    network = cases.subject(resnet)
    assert isinstance(network.origin, TorchOrigin)
    onnx.save(network.origin.unoptimized, tmp_path / "trusted.onnx")
    reference = ModelReference(tmp_path / "trusted.onnx", network.reference.input, network.reference.output)
    model = mutant(network, cases.leaky, "node_relu_3")
    cases.rename_everything(model)
    origin = OnnxOrigin(partial(onnx.load, tmp_path / "trusted.onnx"))
    found = network.blame(model, tmp_path, reference=reference, origin=origin)
    assert found.node in ("node_relu_3", "node_Conv_200")  # the node, or the only one that reads it
    assert "the place is approximate" in found.sentence


def test_time_is_bounded(lenet: Subject, tmp_path: Path) -> None:
    found = lenet.blame(mutant(lenet, cases.leaky, "node_relu"), tmp_path, seconds=0.0)
    assert found.sentence == "where the answers first differ was not found within 0 s"
    assert found.seconds < 5


def test_blame_never_raises(lenet: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("out of luck")

    monkeypatch.setattr("stages.verify.blame.trace.inside", fail)
    found = lenet.blame(mutant(lenet, cases.leaky, "node_relu"), tmp_path)
    assert found.sentence == "where the answers first differ could not be traced: RuntimeError: out of luck"
    assert (tmp_path / "blame.json").exists()


def test_a_passing_verdict_removes_old_blame(lenet: Subject, tmp_path: Path) -> None:
    said: list[str] = []

    class Listener(Observer):
        def say(self, line: str) -> None:
            said.append(line)

    broken = mutant(lenet, cases.leaky, "node_relu")
    (tmp_path / "model.onnx").write_bytes(broken.SerializeToString())
    case = lenet.case(tmp_path / "model.onnx")
    found = record(case, tmp_path, Listener())
    assert found is not None
    assert said[-1] == found.sentence
    assert (tmp_path / "repro" / "repro.py").exists()
    assert record(dataclasses.replace(case, config=VerifyConfig(blame_s=0)), tmp_path, Listener()) is None
    assert not (tmp_path / "blame.json").exists()
    assert not (tmp_path / "repro").exists()


def test_errors_of_the_session_are_no_crash(lenet: Subject, tmp_path: Path) -> None:
    found = blame(lenet.case(tmp_path / "gone.onnx"), tmp_path)
    assert "gone.onnx" in found.sentence
    with pytest.raises(OnnxwayError):
        open_session(tmp_path / "gone.onnx")


class _Forged(TorchOrigin):
    """An origin of which some forms are others than torch makes."""

    def __init__(self, origin: Any, **forms: Any) -> None:
        super().__init__(**{f.name: getattr(origin, f.name) for f in dataclasses.fields(TorchOrigin)})
        object.__setattr__(self, "_parts", (origin, forms))

    def __getattribute__(self, name: str) -> Any:
        if name in ("optimized", "unoptimized", "traced", "program"):
            origin, forms = object.__getattribute__(self, "_parts")
            return forms[name] if name in forms else getattr(origin, name)
        return object.__getattribute__(self, name)

"""The proof of placement, and the rehearsal of CUDA's on machines without a GPU."""

from pathlib import Path
from typing import Any

import onnx
import pytest

from deploy.placement import CPU, CUDA, Node, Placement
from deploy.providers import open_session
from stages.verify.checks.placement import describe, judge
from tests.rehearsal.plugin import Rehearsal

IMAGE = {"image": (1, 32, 24, 3)}


def placed(session_like: Any) -> Placement:
    return Placement(tuple(Node("", operator, provider) for operator, provider in session_like))


def on_the_cpu(model: Path) -> Placement:
    return open_session(model).placement


def test_the_passport_says_where_the_work_is_done(colour_run: Any) -> None:
    check = next(check for check in colour_run.passport.checks if check.name == "placement")
    assert check
    assert "100.0 % on CPUExecutionProvider" in check.detail
    assert "0 copies between the devices" in check.detail


def test_work_is_shared_out_by_nodes(colour_run: Any) -> None:
    """The same session with its first convolution moved elsewhere: its share is what the convolution computes."""
    model = onnx.load(colour_run.exported.model)
    nodes = on_the_cpu(colour_run.exported.model).nodes
    first = next(node for node in nodes if node.operator == "Conv")
    moved = Placement(tuple(Node(n.name, n.operator, CUDA if n is first else n.provider) for n in nodes), copies=2)
    figures = describe(moved, model, IMAGE)
    assert sum(figures["share"].values()) == pytest.approx(1)
    assert figures["share"][CUDA] == 2 * 20 * 16 * 6 * 3 * 25 / figures["flops"]
    assert figures["nodes"] == {CPU: len(nodes) - 1, CUDA: 1}
    assert figures["operators"][CUDA] == {"Conv": 1}
    assert figures["copies"] == 2
    assert figures["uncounted"] == 0


def test_a_convolution_on_the_cpu_is_a_failure_where_cuda_was_asked_for(colour_run: Any) -> None:
    model = onnx.load(colour_run.exported.model)
    nodes = on_the_cpu(colour_run.exported.model).nodes
    mixed = Placement(tuple(Node(n.name, n.operator, CPU if n.operator == "Conv" else CUDA) for n in nodes))
    check = judge(mixed, CUDA, describe(mixed, model, IMAGE))
    assert not check
    assert f"{CUDA}: 2 of {len(nodes)} nodes would run on {CPU}: Conv" in check.detail


def test_copies_are_a_failure(colour_run: Any) -> None:
    model = onnx.load(colour_run.exported.model)
    nodes = on_the_cpu(colour_run.exported.model).nodes
    copied = Placement(tuple(Node(n.name, n.operator, CUDA) for n in nodes), copies=3)
    check = judge(copied, CUDA, describe(copied, model, IMAGE))
    assert not check
    assert "copies tensors between the devices in 3 places" in check.detail


def test_nothing_recorded_is_no_proof() -> None:
    empty = onnx.parser.parse_model(
        '<ir_version: 10, opset_import: ["": 20]> g (float[1] x) => (float[1] y) { y = Sin(x) }'
    )
    assert not judge(Placement(()), CPU, describe(Placement(()), empty, {"x": (1,)}))


def test_fused_nodes_are_where_their_like_are() -> None:
    """A session's fused nodes have names of their own; where all of them are in one place there is no doubt."""
    model = onnx.parser.parse_model("""<ir_version: 10, opset_import: ["": 20]>
        g (float[n, 4] x, float[4, 4] w) => (float[n, 4] y) { y = MatMul(x, w) }""")
    shapes = {"x": (1, 4), "w": (4, 4)}
    assert describe(placed([("FusedMatMul", CUDA), ("Relu", CPU)]), model, shapes)["share"] == {CUDA: 1.0}
    assert describe(placed([("Gemm", CUDA), ("Gemm", CPU)]), model, shapes)["share"] == {"unknown": 1.0}


def test_rehearsal_on_cuda_all_of_the_work_is_there(cuda_rehearsal: Rehearsal, colour_run: Any) -> None:
    answer = cuda_rehearsal.open(colour_run.exported.model, warm_up=False)
    model = onnx.load(colour_run.exported.model)
    nodes = tuple(Node(label.partition("'")[2].rstrip("'"), op, where) for label, op, where in answer["nodes"])
    placement = Placement(nodes, answer["copies"])
    figures = describe(placement, model, IMAGE)
    check = judge(placement, CUDA, figures)
    assert check, check.detail
    assert figures["share"] == {CUDA: 1.0}
    assert f"100.0 % on {CUDA}" in check.detail
    assert figures["copies"] == 0


def test_rehearsal_a_layer_that_cuda_lacks_is_refused_in_the_same_words(
    cuda_rehearsal: Rehearsal, tmp_path: Path
) -> None:
    """LpPool has no CUDA kernel: `open_session` refuses in the words of this check."""
    text = """<ir_version: 10, opset_import: ["": 20]> g (float[n, 1, h, w] x) => (float[n, 1, p, q] y) {
        a = Sin(x) b = LpPool<kernel_shape = [2, 2]>(a) y = Cos(b) }"""
    onnx.save(onnx.parser.parse_model(text), tmp_path / "model.onnx")
    answer = cuda_rehearsal.open(tmp_path / "model.onnx", warm_up=False)
    assert answer["error"] == "ProviderError"
    mixed = placed([("Sin", CUDA), ("LpPool", CPU), ("Cos", CUDA)])
    check = judge(mixed, CUDA, describe(mixed, onnx.load(tmp_path / "model.onnx"), {"x": (1, 1, 8, 8)}))
    assert check.detail == answer["words"]

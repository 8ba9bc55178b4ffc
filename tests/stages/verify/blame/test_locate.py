"""Where an error is made, and where it only shows."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from stages.dataset import Array
from stages.verify.blame.deadline import Deadline
from stages.verify.blame.flow import Flow
from stages.verify.blame.locate import locate
from stages.verify.blame.match import match
from stages.verify.blame.probe import Meter, Probe
from stages.verify.blame.steps import Step
from stages.verify.blame.trusted import TrustedGraph

FEEDS = {"x": np.random.default_rng(0).uniform(0.5, 1.5, (1, 4096)).astype(np.float32)}


def graph(factor: float) -> onnx.ModelProto:
    """x times a factor, less x, in the mean: that averages rounding away, and no offset."""
    nodes = [
        helper.make_node("Mul", ["x", "factor"], ["scaled"], name="mul"),
        helper.make_node("Sub", ["scaled", "x"], ["apart"], name="sub"),
        helper.make_node("ReduceMean", ["apart", "axes"], ["mean"], name="mean"),
    ]
    value = helper.make_tensor_value_info
    weights = [
        numpy_helper.from_array(np.float32(factor), "factor"),
        numpy_helper.from_array(np.array([1]), "axes"),
    ]
    inputs, outputs = [value("x", TensorProto.FLOAT, [1, 4096])], [value("mean", TensorProto.FLOAT, [1, 1])]
    made = helper.make_graph(nodes, "small", inputs, outputs, weights)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def meter(suspect: onnx.ModelProto, trusted: onnx.ModelProto, probe: type[Probe] = Probe, limit: float = 8.0) -> Meter:
    flow, deadline = Flow(suspect), Deadline(60)
    step = Step("here", lambda: lambda feeds: feeds)
    against = TrustedGraph(trusted, FEEDS, deadline)
    assert against.flow is not None
    return Meter(probe(flow, FEEDS, step, deadline), against, match(flow, against.flow), limit, 0.0)


def test_an_error_that_shows_later_is_found_where_it_is_made() -> None:
    """Below the limit at the product, beyond it behind that: there, nodes are right on right inputs."""
    found = locate(meter(graph(1.1 + 2.4e-7), graph(1.1)), ["apart", "mean"])
    assert found is not None
    assert (found.number, found.error) == (0, "local")
    assert found.ratio is not None
    assert found.ratio < 8


def test_an_error_that_no_node_makes_is_inherited() -> None:
    """The product is a little off, and no node does it: the difference is beyond the limit, and its inputs are not."""

    class Shifted(Probe):
        def value(self, name: str) -> Array | None:
            found = super().value(name)
            return found if found is None or name == "x" else found + np.float32(2.4e-7)

    found = locate(meter(graph(1.1), graph(1.1), Shifted), ["apart", "mean"])
    assert found is not None
    assert (found.number, found.error) == (1, "inherited")
    assert found.local_ratio is not None
    assert found.local_ratio < 8 < (found.ratio or 0)


def test_a_node_that_is_wrong_only_among_others_is_combined() -> None:
    class Fused(Probe):
        def value(self, name: str) -> Array | None:
            found = super().value(name)
            return found if found is None or name not in ("apart", "mean") else found + np.float32(1e-3)

    found = locate(meter(graph(1.1), graph(1.1), Fused), ["apart", "mean"])
    assert found is not None
    assert (found.number, found.error) == (1, "combined")
    assert found.local_ratio is not None
    assert found.local_ratio < 8


def test_cut_points_are_what_every_path_crosses(tmp_path: Path) -> None:
    """In a residual block that is its ends, not its branches; the trunk of two outputs ends where they part."""
    nodes = [
        helper.make_node("Relu", ["x"], ["a"]),
        helper.make_node("Sqrt", ["a"], ["left"]),
        helper.make_node("Exp", ["a"], ["right"]),
        helper.make_node("Add", ["left", "right"], ["sum"]),
        helper.make_node("Neg", ["sum"], ["first"]),
        helper.make_node("Abs", ["sum"], ["second"]),
        helper.make_node("Sin", ["x"], ["unused"]),
    ]
    value = helper.make_tensor_value_info
    outputs = [value(name, TensorProto.FLOAT, [1]) for name in ("first", "second")]
    made = helper.make_graph(nodes, "block", [value("x", TensorProto.FLOAT, [1])], outputs)
    flow = Flow(helper.make_model(made))
    assert flow.cuts() == ["a", "sum"]
    assert "unused" not in flow.tensors
    assert Flow(helper.make_model(made), ["first"]).cuts() == ["a", "sum", "first"]
    assert sorted(flow.before(3)) == [0, 1, 2]

"""Small exported networks, verdicts about them, and single-node mutants of any graph."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import NodeProto, helper, numpy_helper
from torch import nn

from deploy.passport import Check, Passport
from stages.dataset import DataInfo
from stages.graph import Graph
from stages.inputs.image import ImagePreprocess
from stages.recipe import VerifyConfig
from stages.tasks.classify.task import classify
from stages.verify.blame import Blame, Case, Origin, TorchOrigin, blame
from stages.verify.compare import Comparison
from stages.verify.material import Material
from stages.verify.reference import Reference
from stages.verify.twin import Twin

Model = onnx.ModelProto
Change = Callable[[Model, NodeProto], None]
OPSET = 20


@dataclass
class Subject:
    """A network with random weights, its export, and the noise that its verdict would have."""

    model: Model
    reference: Reference
    origin: Origin
    material: Material
    noise: dict[str, float]

    def blame(self, model: Model, folder: Path, seconds: float = 60.0, **changes: Any) -> Blame:
        """Put a model on disk, let its verdict fail, and ask why."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "model.onnx"
        path.write_bytes(model.SerializeToString())
        return blame(self.case(path, **changes), folder, seconds)

    def case(self, path: Path, **changes: Any) -> Case:
        config = VerifyConfig()
        passport = Passport("0" * 64, (Check("noise", False),), self.noise, config.limit, 64, ("cpu",), "now")
        given = {"reference": self.reference, "material": self.material, "origin": self.origin, "passport": passport}
        return Case(path, config=config, **(given | changes))


def subject(net: Callable[[tuple[int, int, int]], nn.Module]) -> Subject:
    """Export a network for 20 x 16 pictures, whose batch norms have statistics unlike those of a new one."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        pre = ImagePreprocess(3, 20, 16, (0.3, 0.4, 0.5), (0.2, 0.25, 0.3))
        info = DataInfo("generated", ("height", "width", 3), tuple("abcd"), "0" * 64, "generated", {})
        graph = Graph(pre, net(pre.preprocessed_shape), classify(info)).eval()
        for norm in (module for module in graph.modules() if isinstance(module, nn.BatchNorm2d)):
            for tensor, low, high in (
                (norm.running_mean, -0.3, 0.3),
                (norm.running_var, 0.5, 1.5),
                (norm.bias, -0.3, 0.3),
            ):
                nn.init.uniform_(tensor, low, high)  # type: ignore[arg-type]
    twin, origin = Twin(graph), TorchOrigin.of(graph, OPSET)
    rows = {"image": np.random.default_rng(0).integers(0, 256, (64, 32, 24, 3), dtype=np.uint8)}
    compared = Comparison(twin)
    compared.add(rows, twin.rounded(rows), "noise")
    return Subject(origin.optimized, twin, origin, Material(twin.input, rows), compared.noise())


def copy(model: Model) -> Model:
    other = Model()
    other.CopyFrom(model)
    del other.graph.value_info[:]  # shapes noted before a change would be wrong after it
    return other


def named(model: Model, name: str) -> NodeProto:
    return next(node for node in model.graph.node if node.name == name)


def set_attribute(node: NodeProto, name: str, value: Any) -> None:
    kept = [a for a in node.attribute if a.name != name]
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute(name, value)])


def get_attribute(node: NodeProto, name: str) -> Any:
    return next((helper.get_attribute_value(a) for a in node.attribute if a.name == name), None)


def set_weight(model: Model, name: str, new: Callable[[Any], Any]) -> None:
    tensor = next(t for t in model.graph.initializer if t.name == name)
    array = numpy_helper.to_array(tensor).copy()
    tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(new(array)).astype(array.dtype), name))


def rename_everything(model: Model) -> None:
    """Take all names of tensors and nodes, and what the exporter noted: a file of another tool."""
    kept = {value.name for value in (*model.graph.input, *model.graph.output)}
    for node in model.graph.node:
        del node.metadata_props[:]
        for names in (node.input, node.output):
            for i, name in enumerate(names):
                if name and name not in kept:
                    names[i] = f"renamed_{name}"
    for tensor in model.graph.initializer:
        tensor.name = f"renamed_{tensor.name}"


# --- mutants: a change of one node, by operator ---------------------------------------------------------------------


def _largest_by_a_hundredth(weight: Any) -> Any:
    flat = weight.reshape(-1)
    flat[np.abs(flat).argmax()] *= 1.01
    return weight


def one_weight(model: Model, node: NodeProto) -> None:
    set_weight(model, node.input[1], _largest_by_a_hundredth)


def one_bias(model: Model, node: NodeProto) -> None:
    set_weight(model, node.input[2], lambda bias: bias + 1e-3 * (np.arange(bias.size) == bias.size // 2))


def flipped_kernels(model: Model, node: NodeProto) -> None:
    set_weight(model, node.input[1], lambda weight: weight[:, :, ::-1])


def moved_padding(model: Model, node: NodeProto) -> None:
    top, left, bottom, right = get_attribute(node, "pads")
    set_attribute(node, "pads", [top + 1, left + 1, bottom - 1, right - 1])


def leaky(model: Model, node: NodeProto) -> None:
    node.op_type = "LeakyRelu"
    set_attribute(node, "alpha", 1e-3)


def average(model: Model, node: NodeProto) -> None:
    node.op_type = "AveragePool"
    kept = [a for a in node.attribute if a.name not in ("dilations", "storage_order", "ceil_mode")]
    del node.attribute[:]
    node.attribute.extend(kept)


def steeper(model: Model, node: NodeProto) -> None:
    set_attribute(node, "alpha", 0.16)


def operator(name: str) -> Change:
    def become(model: Model, node: NodeProto) -> None:
        node.op_type = name

    become.__name__ = f"as_{name}"
    return become


def scaled_behind(model: Model, node: NodeProto) -> None:
    """A node too many: what reads this one reads a hundredth less."""
    old, new = node.output[0], f"{node.output[0]}_scaled"
    for reader in model.graph.node:
        for i, name in enumerate(reader.input):
            if name == old:
                reader.input[i] = new
    model.graph.initializer.append(numpy_helper.from_array(np.float32(0.99), "factor"))
    place = list(model.graph.node).index(node) + 1
    model.graph.node.insert(place, helper.make_node("Mul", [old, "factor"], [new], name="inserted"))


CHANGES: dict[str, list[Change]] = {
    "Conv": [one_weight, one_bias, flipped_kernels, moved_padding, scaled_behind],
    "Gemm": [one_weight, one_bias],
    "Relu": [leaky, operator("Identity")],
    "MaxPool": [average, scaled_behind],
    "Add": [operator("Sub"), scaled_behind],
    "Mul": [operator("Add")],
    "HardSwish": [operator("Relu")],
    "HardSigmoid": [steeper],
    "ReduceMean": [operator("ReduceMax")],
    "Sub": [operator("Add")],
    "ArgMax": [operator("ArgMin")],
}


def mutants(model: Model, seed: int) -> Iterator[tuple[str, Model, str]]:
    """Yield (what was done, the changed model, the node to be named), each change at one node drawn by the seed."""
    generator = np.random.default_rng(seed)
    for op_type, changes in CHANGES.items():
        names = [node.name for node in model.graph.node if node.op_type == op_type]
        for change in changes if names else []:
            fits = [name for name in names if _fits(change, model, named(model, name))]
            if fits:
                name = str(generator.choice(fits))
                changed = copy(model)
                change(changed, named(changed, name))
                yield f"{change.__name__} {name}", changed, "inserted" if change is scaled_behind else name


def _fits(change: Change, model: Model, node: NodeProto) -> bool:
    if change is one_bias:
        return len(node.input) > 2
    if change is moved_padding:
        return max(get_attribute(node, "pads")) > 0
    if change is flipped_kernels:
        return next(t for t in model.graph.initializer if t.name == node.input[1]).dims[2] > 1
    return True

"""The networks that are mutated: trained for a few steps on generated data, and exported as every model is."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
import torch.nn.functional as F  # noqa: N812
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from deploy.bundle import Signature, TensorSpec
from stages.dataset import DataInfo
from stages.export import cut
from stages.export.convert import convert
from stages.graph import Graph
from stages.inputs.image import ImagePreprocess
from stages.recipe import ExportConfig
from stages.tasks.classify.task import classify
from stages.verify.material import Material
from stages.verify.reference import Feeds, Outputs
from stages.verify.twin import Twin
from tests.mutants import architectures, data, tasks

_MEAN, _STD = (0.3, 0.4, 0.5), (0.2, 0.25, 0.3)
_LABELS = ("red top", "blue top", "red bottom", "blue bottom")


@dataclass(frozen=True)
class Subject:
    """One trained network: its file, the reference it is held against, and rows to try it on."""

    name: str
    seed: int
    model: Path
    twin: Twin
    material: Material


class Remembering(Twin):
    """A twin that computes nothing twice: the mutants of one network are tried on the same rows."""

    def __init__(self, graph: Graph) -> None:
        super().__init__(graph)
        self._kept: dict[Any, Outputs] = {}

    def truth(self, feeds: Feeds) -> Outputs:
        return self._once("truth", super().truth, feeds)

    def rounded(self, feeds: Feeds) -> Outputs:
        return self._once(self.precision, super().rounded, feeds)

    def _once(self, what: str, compute: Callable[[Feeds], Outputs], feeds: Feeds) -> Outputs:
        content = [(name, array.shape, hashlib.sha256(array.tobytes()).digest()) for name, array in feeds.items()]
        key = (what, *content)
        if key not in self._kept:
            self._kept[key] = compute(feeds)
        return self._kept[key]


class CroppedPreprocess(ImagePreprocess):
    """Resized to 24 x 20 px, then the 20 x 16 px in the middle."""

    def resize(self, image_NHWC: torch.Tensor) -> torch.Tensor:
        pixels = image_NHWC.permute(0, 3, 1, 2).to(self.mean.dtype)  # type: ignore[arg-type]
        return F.interpolate(pixels, (24, 20), mode="bilinear", antialias=True)[:, :, 2:22, 2:18]


class SeriesPreprocess(nn.Module):
    """float (N, time, 3) in [-3, 3] -> the same, scaled."""

    def __init__(self) -> None:
        super().__init__()
        shape = ("batch", "time", 3)
        self.signature = Signature("series", (TensorSpec("series", "float32", shape, (-3.0, 3.0), "volt"),))
        self.register_buffer("scale", torch.tensor([1.0, 2.0, 0.5]), persistent=False)

    def forward(self, series: torch.Tensor) -> torch.Tensor:
        return series.to(self.scale.dtype) * self.scale  # type: ignore[operator, arg-type]


def _image(net: Callable[[architectures.Shape], nn.Module], task: Any = None) -> Graph:
    pre = ImagePreprocess(3, tasks.HEIGHT, tasks.WIDTH, _MEAN, _STD)
    return Graph(pre, net(pre.preprocessed_shape), task or _classes())


def _cropped() -> Graph:
    pre = CroppedPreprocess(3, tasks.HEIGHT, tasks.WIDTH, _MEAN, _STD)
    return Graph(pre, architectures.resnet(pre.preprocessed_shape), _classes())


def _classes() -> Any:
    return classify(DataInfo("generated", (32, 24, 3), _LABELS, "0" * 64, "generated", {}))


IMAGES: dict[str, Callable[[], Graph]] = {
    "lenet5": lambda: _image(architectures.lenet),
    "saturated": lambda: _image(architectures.lenet),
    "resnet_small": _cropped,
    "alexnet": lambda: _image(architectures.AlexNet),
    "inception": lambda: _image(architectures.Inception),
    "densenet": lambda: _image(architectures.densenet),
    "mobilenet": lambda: _image(architectures.mobilenet),
    "shufflenet": lambda: _image(architectures.shufflenet),
    "dilated": lambda: _image(architectures.Dilated, tasks.Masks()),
    "detector": lambda: _image(architectures.Grid, tasks.Boxes(suppress=True)),
}
SERIES: dict[str, Callable[[], Graph]] = {
    "lstm": lambda: Graph(SeriesPreprocess(), architectures.Lstm(3), _classes()),
    "gru": lambda: Graph(SeriesPreprocess(), architectures.Gru(3), _classes()),
}
NAMES = (*IMAGES, *SERIES)
EPOCHS = {"saturated": 24, "mobilenet": 6, "inception": 5, "lstm": 8, "gru": 8}  # where two are too few


def build(name: str, seed: int, folder: Path) -> Subject:
    """Train a network with this seed, export it to `folder`/model.onnx, and return it with its twin."""
    generator = np.random.default_rng(seed)
    make = data.colours if name in IMAGES else data.series
    (inputs, targets), (others, _), (test, test_targets) = (
        make(600, generator),
        make(600, generator),
        make(400, generator),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        graph = (IMAGES | SERIES)[name]()
        _train(graph, torch.from_numpy(inputs), torch.from_numpy(targets), EPOCHS.get(name, 2))
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(exported(graph), folder / "model.onnx")
    tensor = graph.input.tensors[0].name
    material = Material(graph.input, {tensor: test}, [{tensor: others}], test_targets)
    return Subject(name, seed, folder / "model.onnx", Remembering(graph), material)


def exported(graph: Graph) -> onnx.ModelProto:
    """Return the graph as the export stage makes it; suppression of boxes is written in ONNX's own operator."""
    suppressed = isinstance(graph.task, tasks.Boxes) and graph.task.suppress
    if suppressed:
        whole, graph = graph, Graph.__new__(Graph)
        nn.Module.__init__(graph)
        graph.input, graph.task = whole.input, tasks.Boxes(suppress=False)  # type: ignore[assignment]
        graph.pre, graph.net, graph.head, graph.post = whole.pre, whole.net, whole.head, graph.task.postprocess()
    names = [tensor.name for tensor in graph.task.output.tensors]
    model = cut.whole(convert(graph, ExportConfig.opset), names)
    if suppressed:
        _append_suppression(model)
    return model


def _train(graph: Graph, inputs: torch.Tensor, targets: torch.Tensor, epochs: int) -> None:
    optimizer = torch.optim.AdamW(graph.parameters(), lr=4e-3)
    graph.train()
    for _ in range(epochs):
        for rows in torch.randperm(len(inputs)).split(32):
            optimizer.zero_grad()
            graph.task.loss(graph.scores(inputs[rows]), targets[rows]).backward()
            optimizer.step()
    graph.eval()


def _append_suppression(model: onnx.ModelProto) -> None:
    """Add kept (N, 2, 20): 1 at what NonMaxSuppression selects."""
    constants = {
        "most": np.array([tasks.CELLS], np.int64),
        "overlap": np.array([tasks.OVERLAP], np.float32),
        "least": np.array([tasks.SCORE], np.float32),
    }
    for name, value in constants.items():
        model.graph.initializer.append(numpy_helper.from_array(value, name))
    zero = helper.make_tensor("nothing", TensorProto.INT64, [1], [0])
    model.graph.node.extend([
        helper.make_node("NonMaxSuppression", ["boxes", "scores", *constants], ["selected"], name="suppress"),
        helper.make_node("Shape", ["scores"], ["kept_shape"], name="kept_shape"),
        helper.make_node("ConstantOfShape", ["kept_shape"], ["none_kept"], name="none_kept", value=zero),
        helper.make_node("Shape", ["selected"], ["selected_shape"], name="selected_shape", end=1),
        helper.make_node(
            "ConstantOfShape", ["selected_shape"], ["ones"], name="ones",
            value=helper.make_tensor("one", TensorProto.INT64, [1], [1]),
        ),
        helper.make_node("ScatterND", ["none_kept", "selected", "ones"], ["kept"], name="keep"),
    ])  # fmt: skip
    shape = ["batch", tasks.KINDS, tasks.CELLS]
    model.graph.output.append(helper.make_tensor_value_info("kept", TensorProto.INT64, shape))

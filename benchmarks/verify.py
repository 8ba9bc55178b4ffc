"""What verifying costs: its time over the time of the forward passes that it makes, and its peak memory.

    python -m benchmarks.verify                 LeNet-5 on 10,000 pictures, ResNet-18 at 224 px; one core
    python -m benchmarks.verify lenet5          one of them

The forward passes are the float64 twin's, the float32 twin's and the model's. The aim is a ratio of 1.5 at most.
"""

import argparse
import os
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import nn
from torchvision.models import resnet18

from deploy import providers
from stages.data.mnist import mnist
from stages.dataset import DataInfo
from stages.export import cut
from stages.export.convert import convert
from stages.graph import Graph
from stages.inputs.image import image
from stages.models.lenet import lenet5
from stages.recipe import ExportConfig, VerifyConfig
from stages.tasks.classify.task import classify
from stages.verify.certify import certify
from stages.verify.material import Material
from stages.verify.twin import Twin

_DATA = Path(os.environ.get("ONNXWAY_DATA", Path(__file__).parents[2] / "shared" / "data"))


class Clock:
    """Seconds spent in functions that it was put around, by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def around(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function with its time added up under a name."""

        def timed(*args: Any, **kwargs: Any) -> Any:
            begun = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - begun

        return timed


class Untrained(nn.Module):
    """torchvision's ResNet-18 without its last layer."""

    out_features = 512

    def __init__(self) -> None:
        super().__init__()
        net = resnet18(weights=None)
        net.fc = nn.Identity()  # type: ignore[assignment]
        self.net = net

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return features."""
        return self.net(x)  # type: ignore[no-any-return]


def lenet_case() -> tuple[Graph, np.ndarray]:
    if (_DATA / "mnist").is_dir():
        pictures = np.asarray(mnist(_DATA).test.inputs)
    else:
        pictures = np.random.default_rng(0).integers(0, 256, (10_000, 28, 28, 1), np.uint8)
    return _graph(1, 28, lenet5((1, 28, 28)), 10), pictures


def resnet_case() -> tuple[Graph, np.ndarray]:
    pictures = np.random.default_rng(0).integers(0, 256, (1000, 240, 240, 3), np.uint8)
    return _graph(3, 224, Untrained(), 100), pictures


CASES = {"lenet5": lenet_case, "resnet18": resnet_case}


def _graph(channels: int, size: int, net: nn.Module, classes: int) -> Graph:
    labels = tuple(str(number) for number in range(classes))
    info = DataInfo("pictures", ("height", "width", channels), labels, "0" * 64, "generated", {})
    return Graph(image(info, height=size, width=size), net, classify(info)).eval()


def measure(name: str, budget_s: float) -> str:
    """Verify one case and return a line of the table."""
    torch.manual_seed(0)
    graph, pictures = CASES[name]()
    names = [tensor.name for tensor in graph.task.output.tensors]
    twin, clock = Twin(graph), Clock()
    twin.truth = clock.around("float64", twin.truth)  # type: ignore[method-assign]
    twin.rounded = clock.around("float32", twin.rounded)  # type: ignore[method-assign]
    before = providers.Session.run
    providers.Session.run = clock.around("model", before)  # type: ignore[method-assign]
    config = VerifyConfig(budget_s=budget_s, rows=min(1000, len(pictures)))
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.onnx"
            onnx.save(cut.whole(convert(graph, ExportConfig.opset), names), path)
            start, held = time.perf_counter(), _peak_mb()
            verdict = certify(path, twin, Material(graph.input, {"image": pictures}), config)
            total = time.perf_counter() - start
    finally:
        providers.Session.run = before  # type: ignore[method-assign]
    passes = sum(clock.seconds.values())
    parts = ", ".join(f"{part} {seconds:.1f}" for part, seconds in clock.seconds.items())
    verdict_word = "passes" if verdict.passport else f"fails {[check.name for check in verdict.passport.failures()]}"
    return (
        f"| {name}, {len(pictures)} pictures | {verdict_word} | {total:.1f} s | {passes:.1f} s ({parts}) | "
        f"{total / passes:.2f} | {held:.0f} -> {_peak_mb():.0f} MB |"
    )


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("case", nargs="*", default=list(CASES), choices=list(CASES))
    parser.add_argument("--budget", type=float, default=0.0, help="seconds of the hunt, whose own passes are not timed")
    options = parser.parse_args()
    print("| case | verdict | verify | forward passes | ratio | peak memory before -> after |")
    print("| --- | --- | ---: | ---: | ---: | ---: |")
    for name in options.case:
        print(measure(name, options.budget), flush=True)


if __name__ == "__main__":
    main()

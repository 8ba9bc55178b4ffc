"""The models that `benchmarks/serving.py` serves: random weights, exported as a run's are, raw uint8 in, softmax out.

    python benchmarks/serving_models.py FOLDER NAME...

Needs the extra `pipeline`.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from deploy import bundle, files, samples
from deploy.bundle import Manifest, Variant
from deploy.passport import Check, Passport
from deploy.providers import open_session
from stages import export
from stages.dataset import DataInfo
from stages.graph import Graph
from stages.inputs.image import image
from stages.models.lenet import lenet5
from stages.tasks.classify.task import classify

SIDES = {"lenet": (28, 1), "mobilenet_v3_small": (224, 3), "resnet18": (224, 3)}
"""Side in pixels and channels."""

LIMIT = 1e-5
CLASSES = {"lenet": 10, "mobilenet_v3_small": 1000, "resnet18": 1000}


def network(name: str) -> nn.Module:
    """Return a network up to its features."""
    if name == "lenet":
        return lenet5((1, 28, 28))
    import torchvision

    whole: Any = getattr(torchvision.models, name)(weights=None)
    if name == "resnet18":
        whole.fc = nn.Identity()
        whole.out_features = 512
        return whole  # type: ignore[no-any-return]
    net: Any = nn.Sequential(whole.features, whole.avgpool, nn.Flatten(), *whole.classifier[:2])
    net.out_features = 1024
    return net  # type: ignore[no-any-return]


def write(name: str, out: Path) -> None:
    """Write `out/name`, a bundle."""
    torch.manual_seed(0)
    side, channels = SIDES[name]
    info = DataInfo(name, ("height", "width", channels), tuple(map(str, range(CLASSES[name]))), "", "")
    graph = Graph(image(info, height=side, width=side), network(name), classify(info))
    row = {"image": np.random.default_rng(0).integers(0, 256, (1, side, side, channels), np.uint8)}
    variants: dict[str, Variant] = {}
    manifest = Manifest(name, "1", graph.input, graph.task.output, variants, files={}, cut=export.CUT)
    with bundle.writing(out / name, manifest) as folder:
        export.write(graph, folder, 20, {})
        model = folder / "model.onnx"
        sample = samples.Sample(row, open_session(model).run(row))
        samples.save(folder / bundle.SAMPLES, [sample])
        variants["fp32"] = Variant(model.name, _passport(graph, sample, files.sha256_file(model)))


def _passport(graph: Graph, sample: samples.Sample, sha256: str) -> Passport:
    """Return what one row shows: enough to measure speed with, and for nothing else."""
    with torch.no_grad():
        expected = graph.eval()(torch.from_numpy(sample.inputs["image"]))[0].numpy()
    difference = float(np.abs(sample.outputs["probabilities"] - expected).max())
    return Passport(
        model_sha256=sha256,
        checks=(Check("one row as torch has it", difference <= LIMIT, difference, LIMIT),),
        noise={"probabilities": LIMIT},
        limit=8.0,
        rows=1,
        providers=("cpu",),
        created="",
    )


if __name__ == "__main__":
    for wanted in sys.argv[2:]:
        write(wanted, Path(sys.argv[1]))

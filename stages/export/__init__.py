"""Export: one self-contained ONNX file from raw input to decision, and the same graph in two halves."""

import json
from collections.abc import Mapping
from pathlib import Path

import onnx

from deploy import files
from deploy.bundle import Cut, Signature
from stages import result
from stages.deployed import Deployed, deployed
from stages.environment import environment
from stages.export import convert, cut
from stages.export.require import require, tensor_spec
from stages.graph import PREPROCESSED
from stages.observer import Observer
from stages.recipe import ExportConfig
from stages.result import ExportResult, TrainResult
from stages.train.weights import load_graph

CUT = Cut(PREPROCESSED, "pre.onnx", "net.onnx")


def run(config: ExportConfig, trained: TrainResult, out: Path, observer: Observer | None = None) -> ExportResult:
    """Write `model.onnx` and, where it can be cut, `pre.onnx` and `net.onnx`; assert on the files that they are right.

    Raises `ExportError` when the graph cannot be exported, or when a file differs from what was asked for (opset, IR
    version, names, dtypes, free sizes, self-contained).
    """
    observer = observer or Observer()
    graph = deployed(load_graph(trained))
    opset, ir_version, nodes = write(graph, out, config.opset, metadata(graph, trained))
    sha256 = files.sha256_file(out / "model.onnx")
    observer.say(f"model.onnx: {nodes} nodes, opset {opset}, {(out / 'model.onnx').stat().st_size / 1e6:.2f} MB")
    return result.save(
        ExportResult(
            folder=out,
            trained=trained,
            sha256=sha256,
            input=graph.input,
            output=graph.task.output,
            cut=CUT if graph.inner else None,
            opset=opset,
            ir_version=ir_version,
            nodes=nodes,
            environment=environment(),
        )
    )


def write(graph: Deployed, out: Path, opset: int, properties: Mapping[str, str]) -> tuple[int, int, int]:
    """Write the whole graph, and its halves; return opset, IR version and number of nodes of the whole."""
    out.mkdir(parents=True, exist_ok=True)
    output = graph.task.output
    names = [tensor.name for tensor in output.tensors]
    proto = convert.convert(graph, opset)
    _save(cut.whole(proto, names), out / "model.onnx", properties)
    model = require(out / "model.onnx", graph.input, output, opset)
    if graph.inner:
        pre, net = cut.at(proto, PREPROCESSED, names)
        middle = Signature("tensor", (tensor_spec(pre.graph.output[0]),))
        _save(pre, out / CUT.pre, properties)
        _save(net, out / CUT.net, properties)
        require(out / CUT.pre, graph.input, middle, opset)
        require(out / CUT.net, middle, output, opset)
    return opset, model.ir_version, len(model.graph.node)


def metadata(graph: Deployed, trained: TrainResult) -> dict[str, str]:
    """Return what the model carries inside itself, so that a file without its bundle still says what it is."""
    return {
        "onnxway.name": trained.recipe.name,
        "onnxway.version": trained.recipe.package.version,
        "onnxway.input_kind": graph.input.kind,
        "onnxway.output_kind": graph.task.output.kind,
        "onnxway.labels": json.dumps(graph.task.output.labels, ensure_ascii=False),
        "onnxway.weights_sha256": trained.weights_sha256,
        "onnxway.data_sha256": trained.data.digest,
    }


def _save(proto: onnx.ModelProto, path: Path, properties: Mapping[str, str]) -> None:
    onnx.helper.set_model_props(proto, dict(properties))
    files.write_bytes(path, proto.SerializeToString(deterministic=True))

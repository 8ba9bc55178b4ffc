"""The exported files are what was asked for, as they lie on disk."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from deploy import files
from deploy.bundle import TensorSpec
from stages import export
from stages.errors import ExportError
from stages.export import convert, cut
from stages.export.require import require
from stages.graph import Graph
from stages.recipe import ExportConfig
from stages.result import ExportResult
from stages.train.weights import load_graph


@pytest.fixture(scope="module")
def exported(colour_run: Any) -> ExportResult:
    result: ExportResult = colour_run.exported
    return result


@pytest.fixture(scope="module")
def graph(exported: ExportResult) -> Graph:
    return load_graph(exported.trained)


@pytest.fixture(scope="module")
def model(exported: ExportResult) -> onnx.ModelProto:
    return onnx.load(exported.model)


def test_every_size_that_should_be_free_is(model: onnx.ModelProto) -> None:
    shapes = {
        value.name: [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.output)
    }
    assert shapes == {
        "image": ["batch", "height", "width", 3],
        "probabilities": ["batch", 4],
        "class_index": ["batch"],
    }


def test_opset_and_ir_version(exported: ExportResult, model: onnx.ModelProto) -> None:
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 20)]
    assert (exported.opset, exported.ir_version, model.ir_version) == (20, 10, 10)


def test_the_model_says_what_it_is(exported: ExportResult, model: onnx.ModelProto) -> None:
    inside = {entry.key: entry.value for entry in model.metadata_props}
    assert inside["onnxway.name"] == "colours"
    assert json.loads(inside["onnxway.labels"]) == ["red top", "blue top", "red bottom", "blue bottom"]
    assert inside["onnxway.input_kind"] == "image"
    assert inside["onnxway.weights_sha256"] == files.sha256_file(exported.trained.weights)
    assert inside["onnxway.data_sha256"] == exported.trained.data.digest


def test_the_preprocessed_tensor_keeps_its_name(exported: ExportResult, model: onnx.ModelProto) -> None:
    assert any("preprocessed" in node.output for node in model.graph.node)
    assert [value.name for value in onnx.load(exported.folder / "pre.onnx").graph.output] == ["preprocessed"]
    assert [value.name for value in onnx.load(exported.folder / "net.onnx").graph.input] == ["preprocessed"]


def test_initializers_are_named_as_the_weights(model: onnx.ModelProto, graph: Graph) -> None:
    assert set(graph.state_dict()) <= {tensor.name for tensor in model.graph.initializer}


def test_nodes_name_source_lines_without_folders_of_this_machine(model: onnx.ModelProto) -> None:
    traces = [entry.value for node in model.graph.node for entry in node.metadata_props]
    assert any('File "stages/inputs/image.py"' in trace for trace in traces)
    assert str(Path(export.__file__).parents[2]) not in "".join(traces)


def test_exporting_again_gives_the_same_bytes(exported: ExportResult, tmp_path: Path) -> None:
    again = export.run(ExportConfig(), exported.trained, tmp_path)
    assert again.sha256 == exported.sha256


def test_any_size_of_picture_and_batch(exported: ExportResult, graph: Graph) -> None:
    session = onnxruntime.InferenceSession(exported.model, providers=["CPUExecutionProvider"])
    generator = np.random.default_rng(0)
    for shape in ((1, 1, 1, 3), (5, 17, 91, 3), (2, 200, 3, 3)):
        picture = generator.integers(0, 256, shape, dtype=np.uint8)
        probabilities, _ = session.run(None, {"image": picture})
        with torch.inference_mode():
            expected = graph(torch.from_numpy(picture))[0].numpy()
        np.testing.assert_allclose(probabilities, expected, atol=1e-6)


class Specialised(nn.Module):
    """A network whose code looks at the batch size: exporters bake one answer in."""

    out_features = 84

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x).reshape(3, 84)  # type: ignore[no-any-return]


def test_a_network_that_needs_one_batch_size_is_refused(graph: Graph, tmp_path: Path) -> None:
    broken = Graph(graph.pre, Specialised(graph.net), graph.task)
    with pytest.raises(ExportError, match=r"batch|torch could not export"):
        export.write(broken.eval(), tmp_path, 20, {})


class Untraceable(nn.Module):
    out_features = 84

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise ValueError("needs a colour profile")


def test_the_reason_of_a_failed_export_is_told(graph: Graph, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="needs a colour profile"):
        export.write(Graph(graph.pre, Untraceable(), graph.task).eval(), tmp_path, 20, {})
    assert not list(tmp_path.iterdir())


def test_another_opset_than_asked_for_is_refused(exported: ExportResult) -> None:
    with pytest.raises(ExportError, match=r"has opsets .*20.*, expected only ai.onnx 21"):
        require(exported.model, exported.input, exported.output, 21)


def test_another_ir_version_is_refused(exported: ExportResult, model: onnx.ModelProto, tmp_path: Path) -> None:
    other = onnx.ModelProto.FromString(model.SerializeToString())
    other.ir_version = 9
    onnx.save(other, tmp_path / "model.onnx")
    with pytest.raises(ExportError, match="IR version 9, expected 10"):
        require(tmp_path / "model.onnx", exported.input, exported.output, 20)


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x08\x0a"])
def test_a_file_that_is_no_model_is_refused(exported: ExportResult, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.onnx").write_bytes(content)
    with pytest.raises(ExportError, match="not a valid ONNX model"):
        require(tmp_path / "model.onnx", exported.input, exported.output, 20)


def test_missing_weights_name_the_command_that_makes_them(exported: ExportResult, tmp_path: Path) -> None:
    shutil.copytree(exported.trained.folder, tmp_path / "train")
    (tmp_path / "train" / "weights.safetensors").unlink()
    trained = dataclasses.replace(exported.trained, folder=tmp_path / "train")
    with pytest.raises(Exception, match=r"no weights there; train again: pipeline train colours"):
        export.run(ExportConfig(), trained, tmp_path / "export")


def test_examples_have_sizes_unlike_each_other() -> None:
    example = convert.example(TensorSpec("x", "uint8", ("batch", "height", "width", 3), (0, 255)))
    assert tuple(example.shape) == (3, 37, 41, 3)
    assert example.dtype == torch.uint8
    assert (int(example.min()), int(example.max())) == (0, 255)


def test_whole_keeps_the_type_of_the_inner_tensor(graph: Graph) -> None:
    proto = convert.convert(graph, 20)
    model = cut.whole(proto, ["probabilities", "class_index"])
    assert [value.name for value in model.graph.output] == ["probabilities", "class_index"]
    assert any(value.name == "preprocessed" for value in model.graph.value_info)

"""What a kind of input knows about itself: its own edges, and forms of a sample that must be answered alike."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from deploy.inputs.text import encode_text
from stages.dataset import TEXT, DataInfo
from stages.errors import ExportError
from stages.export import write
from stages.graph import Graph
from stages.inputs.series import series
from stages.inputs.text import text
from stages.recipe import VerifyConfig
from stages.tasks.classify.task import classify
from stages.verify.cases import all_edges
from stages.verify.certify import certify
from stages.verify.material import Material
from stages.verify.twin import Twin

INFO = DataInfo("texts", TEXT, ("a", "b"), "0" * 64, "none", alphabet="abcdef ")
WAVES = DataInfo("waves", (2, "length"), ("a", "b"), "0" * 64, "none")
CONFIG = VerifyConfig(rows=60, max_batch=8, budget_s=0, witness=0)


class MeanWord(nn.Module):
    """The mean embedding of the tokens; or of all places, padding too, which is the fault looked for."""

    out_features = 8

    def __init__(self, vocabulary: int, *, heeds_padding: bool) -> None:
        super().__init__()
        self.heeds_padding = heeds_padding
        self.embedding = nn.Embedding(vocabulary, 8, padding_idx=0)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        real = (tokens != 0)[:, :, None]
        places = torch.arange(tokens.shape[1]) + 1  # it asks for the length
        count = places[-1] if self.heeds_padding else real.sum(1).clamp(min=1)
        return (self.embedding(tokens) * real).sum(1) / count


class PastTheTokens(nn.Module):
    """A module that reaches past the tokens to the raw text."""

    out_features = 1

    def __init__(self, raw: nn.Module) -> None:
        super().__init__()
        self.raw = raw

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return tokens.float().sum(1, keepdim=True) + self.raw.seen.float().sum(1, keepdim=True)


class Leaking(nn.Module):
    """An input module that lets the network see what it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = text(INFO)
        self.signature, self.preprocessed_shape = self.inner.signature, self.inner.preprocessed_shape

    def forward(self, raw: torch.Tensor) -> torch.Tensor:
        self.seen = raw
        return self.inner(raw)


class Mean(nn.Module):
    out_features = 2

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return values.mean(2)


def graph_of(*, heeds_padding: bool) -> Graph:
    torch.manual_seed(0)
    pre = text(INFO)
    return Graph(pre, MeanWord(pre.preprocessed_shape[1], heeds_padding=heeds_padding), classify(INFO)).eval()


def texts() -> Material:
    generator = np.random.default_rng(0)
    rows = ["".join(generator.choice(list("abcdef "), generator.integers(1, 30))) for _ in range(60)]
    graph = graph_of(heeds_padding=False)
    return Material(graph.input, {"text": encode_text(rows)})


@pytest.mark.parametrize("heeds_padding", [False, True])
def test_a_network_that_heeds_padding_is_refused(tmp_path: Path, heeds_padding: bool) -> None:
    graph = graph_of(heeds_padding=heeds_padding)
    write(graph, tmp_path, 20, {})
    verdict = certify(tmp_path / "model.onnx", Twin(graph), texts(), CONFIG)
    checks = {check.name: check for check in verdict.passport.checks}
    assert bool(checks["other forms"]) is not heeds_padding
    assert "30 more padding" in checks["other forms"].detail
    if not heeds_padding:
        assert verdict.passport, verdict.passport.failures()


def test_edges_of_texts_and_of_series_are_tried() -> None:
    twin = Twin(graph_of(heeds_padding=False))
    found = dict(all_edges(twin, texts().row(0)))
    assert {"all smallest", "size 1", "no text", "unknown characters", "one long word"} <= set(found)
    assert not found["no text"]["text"].any()
    like = {"series": np.ones((1, 2, 9), np.float32)}
    normal, plain = (
        Twin(Graph(pre, Mean(), classify(WAVES)).eval()) for pre in (series(WAVES, znorm=True), series(WAVES))
    )
    assert {"constant", "huge", "tiny", "length 2"} <= set(dict(all_edges(normal, like)))
    assert "huge" not in dict(all_edges(plain, like))


def test_sizes_behind_the_cut_are_taken_from_its_tensor(tmp_path: Path) -> None:
    write(graph_of(heeds_padding=True), tmp_path, 20, {})
    net = onnx.load(tmp_path / "net.onnx")
    assert [value.name for value in net.graph.input] == ["preprocessed"]
    assert "preprocessed" in {name for node in net.graph.node if node.op_type == "Shape" for name in node.input}


def test_a_network_that_looks_past_the_input_module_is_refused(tmp_path: Path) -> None:
    pre = Leaking()
    graph = Graph(pre, PastTheTokens(pre), classify(INFO)).eval()
    with pytest.raises(ExportError, match="of the raw input 'text', past 'preprocessed'"):
        write(graph, tmp_path, 20, {})

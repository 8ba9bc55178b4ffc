"""Confusion matrix, figures by class, reliability, filters, augmentation: what they say."""

import re
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support
from torch import nn

from stages.dataset import DataInfo, Split
from stages.report import confusion, plots
from stages.report.filters import first_filters
from stages.report.reliability import reliability
from stages.report.samples import drawer
from stages.report.views import augmented

LABELS = ("ant", "bee", "cat <b>", "dog")


@given(arrays.arrays(np.int64, (2, 40), elements=st.integers(0, 3)))
def test_figures_by_class_are_those_of_scikit_learn(rows: Any) -> None:
    targets, decided = rows
    counts = confusion.matrix(targets, decided, 4)
    assert np.array_equal(counts, confusion_matrix(targets, decided, labels=range(4)))
    table = confusion.by_class(counts, LABELS)
    wanted = precision_recall_fscore_support(targets, decided, labels=range(4), zero_division=0)
    for row, *figures, support in zip(table.rows, *wanted, strict=False):
        shown = [0.0 if cell == "-" else float(cell.rstrip("%")) / 100 for cell in row[1:4]]
        assert shown == pytest.approx(figures, abs=6e-4)
        assert int(row[4]) == support
    present = wanted[3] > 0
    means = [float(cell.rstrip("%")) / 100 for cell in table.rows[-1][1:4]]
    assert means == pytest.approx([figure[present].mean() for figure in wanted[:3]], abs=6e-4)


@pytest.mark.parametrize("classes", [2, 20, 21, 100])
def test_the_matrix_names_every_class_and_every_mistake(classes: int) -> None:
    labels = [f"class {i}" for i in range(classes)]
    counts = np.diag(np.full(classes, 5))
    counts[0, 1] = 12
    svg = confusion.drawing(counts, labels)
    assert "class 0 as class 1: 12" in svg
    assert all(svg.count(f">{label}</text>") == 2 for label in labels)
    assert (">12</text>" in svg) == (classes <= 20)


def test_labels_are_escaped_and_shortened() -> None:
    svg = confusion.drawing(np.eye(2, dtype=np.int64), ["<script>", "a" * 50])
    assert "<script>" not in svg
    assert f">{'a' * 17}…</text>" in svg


def test_the_most_frequent_mistakes_come_first() -> None:
    counts = np.array([[8, 2, 0], [5, 15, 0], [0, 0, 9]])
    assert confusion.most_frequent(counts, LABELS[:3]).rows == (
        ("bee as ant", "5", "25.0%"),
        ("ant as bee", "2", "20.0%"),
    )


def test_reliability_of_one_who_is_always_as_sure_as_right() -> None:
    confidence = np.repeat([0.5, 0.9], [200, 1000])
    right = np.concatenate([np.arange(200) < 100, np.arange(1000) < 900])
    assert reliability(confidence, right).ece == pytest.approx(0)
    assert "<svg" in plots.reliability(reliability(confidence, right))


def test_reliability_by_hand() -> None:
    bins = reliability(np.array([1.0, 1.0, 0.6, 0.6]), np.array([True, False, True, True]))
    assert bins.ece == pytest.approx((2 * 0.5 + 2 * 0.4) / 4)
    assert bins.count.sum() == 4
    assert bins.count[-1] == 2  # a confidence of 1 belongs to the last bin


class Net(nn.Module):
    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.net = nn.Sequential(*layers)


@pytest.mark.parametrize(
    ("layer", "shown", "words"),
    [
        (nn.Conv2d(1, 6, 5), 6, "5 x 5 over 1 channel; black"),
        (nn.Conv2d(3, 40, 3), 32, "3 x 3 over 3 channels; in colour"),
        (nn.Conv2d(6, 4, 3), 4, "averaged over the channels"),
        (nn.Conv1d(2, 8, 9), 8, "a line for each channel"),
        (nn.Conv3d(1, 4, 3), 4, "the middle slice"),
    ],
)
def test_first_filters(layer: nn.Module, shown: int, words: str) -> None:
    net = Net(nn.BatchNorm2d(1, affine=False), layer, nn.Conv2d(8, 8, 3))
    gallery = first_filters(net, {name: tensor.numpy() for name, tensor in net.state_dict().items()})
    assert gallery is not None
    assert len(gallery.items) == shown
    assert words in gallery.caption
    assert all(re.search(r'(alt|aria-label)="filter \d+"', item.html) for item in gallery.items)


@pytest.mark.parametrize("layer", [nn.Embedding(5, 3), nn.Linear(4, 2), nn.Conv2d(3, 4, 1), nn.LSTM(4, 2)])
def test_layers_without_a_picture(layer: nn.Module) -> None:
    net = Net(layer, nn.Conv2d(3, 4, 3))
    assert first_filters(net, {name: tensor.numpy() for name, tensor in net.state_dict().items()}) is None


class Shifting:
    """A task that adds a number of its own to each sample."""

    def __init__(self, size: float, mixes: bool = False) -> None:
        self.size, self.mixes = size, mixes

    def augment(self, raw: torch.Tensor, targets: torch.Tensor, generator: torch.Generator) -> Any:
        varied = raw + self.size * torch.rand(len(raw), 1, 1, generator=generator)
        return varied, torch.stack([torch.tensor([0.25, 0.75])] * len(raw)) if self.mixes else targets


SERIES = DataInfo("series", (1, "time"), ("up", "down"), "0" * 64, "generated")


@pytest.mark.parametrize("ragged", [False, True])
def test_augmentation_is_shown_beside_the_sample(ragged: bool) -> None:
    rows: Any = [np.arange(float(8 + i), dtype=np.float32)[None] for i in range(6)]
    split = Split(rows if ragged else np.stack([row[:, :8] for row in rows]), np.array([0, 1] * 3))
    gallery = augmented(Shifting(1.0), split, SERIES, drawer("series"))
    assert gallery is not None
    assert [item.lines for item in gallery.items[:5]] == [
        ("up", "as it is"),
        *[("up", "varied")] * 3,
        ("down", "as it is"),
    ]
    assert len(gallery.items) == 16


def test_mixed_samples_say_of_what() -> None:
    split = Split(np.zeros((2, 1, 8), np.float32), np.array([0, 1]))
    gallery = augmented(Shifting(1.0, mixes=True), split, SERIES, drawer("series"))
    assert gallery is not None
    assert gallery.items[1].lines == ("75% down, 25% up", "varied")


def test_no_augmentation_no_gallery() -> None:
    split = Split(np.zeros((3, 1, 8), np.float32), np.array([0, 1, 0]))
    assert augmented(Shifting(0.0), split, SERIES, drawer("series")) is None

import numpy as np
import pytest
import torch
from torch import nn

from deploy.errors import UsageError
from stages import discover
from stages.dataset import DataInfo
from stages.recipe import use

IMAGES = DataInfo("pictures", ("height", "width", 3), ("cat", "dog", "eel"), "0" * 64, "none")
SERIES = DataInfo("series", (1, "time"), ("up", "down"), "0" * 64, "none")


def task(info=IMAGES, **options):
    return discover.call("tasks", use("classify", **options), info)


def test_the_decision_is_softmax_and_the_largest():
    scores = torch.tensor([[1.0, 3.0, 2.0], [0.0, 0.0, -5.0]])
    probabilities, index = task().postprocess()(scores)
    assert torch.allclose(probabilities, scores.exp() / scores.exp().sum(1, keepdim=True))
    assert index.tolist() == [1, 0]
    assert index.dtype == torch.int64
    assert [tensor.name for tensor in task().output.tensors] == ["probabilities", "class_index"]
    assert task().output.labels == IMAGES.labels


def test_metrics_against_hand_made_ones():
    outputs = {
        "probabilities": np.array([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8], [1.0, 0.0, 0.0]], np.float32),
        "class_index": np.array([0, 2, 0]),
    }
    metrics = task().metrics(outputs, np.array([0, 2, 1]))
    assert metrics["accuracy"] == pytest.approx(2 / 3)
    assert metrics["log_loss"] == pytest.approx(-(np.log(0.5) + np.log(0.8) + np.log(1e-12)) / 3, rel=1e-6)
    assert all(type(value) is float for value in metrics.values())
    assert task().primary in metrics


def test_the_margin_is_the_gap_to_the_next_class():
    decision, margin = task().decide(
        {"probabilities": np.array([[0.5, 0.2, 0.3], [0.4, 0.2, 0.4]]), "class_index": np.array([0, 0])}
    )
    assert decision.tolist() == [0, 0]
    assert margin == pytest.approx([0.2, 0.0])


def test_label_smoothing_is_torch_s():
    scores, targets = torch.randn(5, 3), torch.tensor([0, 1, 2, 0, 1])
    expected = nn.CrossEntropyLoss(label_smoothing=0.2)(scores, targets)
    assert torch.equal(task(label_smoothing=0.2).loss(scores, targets), expected)
    assert not torch.equal(task().loss(scores, targets), expected)


def test_the_head_is_drawn_as_the_text_does():
    torch.manual_seed(0)
    head = task(head_init="he_normal").head(256)
    assert head.weight.std().item() == pytest.approx((2 / 256) ** 0.5, rel=0.1)
    assert not head.bias.any()
    assert task().head(256).bias.any()


def test_augmentation_is_off_unless_asked_for_and_keeps_labels():
    raw, targets = torch.full((4, 6, 6, 3), 9, dtype=torch.uint8), torch.arange(4) % 3
    generator = torch.Generator().manual_seed(0)
    same, labels = task().augment(raw, targets, generator)
    assert same is raw
    assert labels is targets
    varied, labels = task(rotate_deg=10.0, translate=0.1, scale=0.1, flip=True, erase=0.5).augment(
        raw, targets, generator
    )
    assert not torch.equal(varied.float(), raw.float())
    assert labels is targets


def test_only_images_can_be_varied():
    task(SERIES)
    with pytest.raises(UsageError, match="varies images only, and data 'series' has none"):
        task(SERIES, rotate_deg=5.0)

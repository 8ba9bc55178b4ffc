import dataclasses
import warnings

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


def test_options_that_do_not_fit_the_samples_are_named():
    task(SERIES, noise=0.1, crop=0.1, mixup=0.2)
    with pytest.raises(UsageError, match="task option 'rotate_deg' does not fit data 'series'"):
        task(SERIES, rotate_deg=5.0)
    with pytest.raises(UsageError, match="task option 'noise' does not fit data 'pictures'"):
        task(noise=0.1)
    with pytest.raises(UsageError, match="'label_smoothing' is 1, expected in"):
        task(label_smoothing=1.0)


def test_mixed_targets_are_shares_and_their_loss_is_the_mean_of_both():
    raw, targets = torch.rand(8, 4, 4, 3), torch.arange(8) % 3
    mixed, shares = task(mixup=0.4, cutmix=1.0).augment(raw, targets, torch.Generator().manual_seed(0))
    assert mixed.shape == raw.shape
    assert shares.shape == (8, 3)
    scores = torch.randn(8, 3)
    for options in ({}, {"label_smoothing": 0.1}, {"class_weights": "balanced"}):
        made = task(dataclasses.replace(IMAGES, counts=(6, 1, 2)), **options)
        each = torch.stack(
            [made.loss(scores[row : row + 1], torch.tensor([label])) for row in range(8) for label in range(3)]
        )
        assert made.loss(scores, shares) == pytest.approx((each.view(8, 3) * shares).sum(1).mean().item(), rel=1e-5)


def test_balanced_weights_make_every_class_count_alike():
    counts = (60, 30, 10)
    made = task(dataclasses.replace(IMAGES, counts=counts), class_weights="balanced")
    assert made.primary == "balanced_accuracy"
    scores, targets = torch.randn(100, 3), torch.repeat_interleave(torch.arange(3), torch.tensor(counts))
    by_class = [nn.functional.cross_entropy(scores[targets == c], targets[targets == c]) for c in range(3)]
    assert made.loss(scores, targets) == pytest.approx(torch.stack(by_class).mean().item(), rel=1e-5)
    with pytest.raises(UsageError, match=r"training rows by class \(3, 0, 1\), expected 1 or more for each of 3"):
        task(dataclasses.replace(IMAGES, counts=(3, 0, 1)), class_weights="balanced")


def test_figures_by_class_are_scikit_learn_s():
    from sklearn.metrics import balanced_accuracy_score, f1_score, log_loss

    generator = np.random.default_rng(0)
    info = dataclasses.replace(IMAGES, labels=tuple("abcdef"))
    probabilities = generator.dirichlet(np.ones(6), 200).astype(np.float32)
    targets = generator.integers(0, 4, 200)  # two classes have no row
    outputs = {"probabilities": probabilities, "class_index": probabilities[:, :5].argmax(1)}  # one is never decided
    metrics = task(info).metrics(outputs, targets)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn says that there are such classes
        assert metrics["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(targets, outputs["class_index"]))
    assert metrics["macro_f1"] == pytest.approx(f1_score(targets, outputs["class_index"], average="macro"))
    exact = probabilities.astype(np.float64)
    exact /= exact.sum(axis=1, keepdims=True)
    assert metrics["log_loss"] == pytest.approx(log_loss(targets, exact, labels=range(6)), rel=1e-5)
    assert 0 < metrics["ece"] < 1

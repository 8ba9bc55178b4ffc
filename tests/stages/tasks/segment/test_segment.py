import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from deploy.errors import UsageError
from stages import discover, graph
from stages.dataset import UNKNOWN, DataInfo
from stages.recipe import Recipe, use
from stages.tasks.segment import overlap

LABELS = ("background", "Cell wall", "核")
PICTURES = DataInfo("cells", ("height", "width", 1), LABELS, "0" * 64, "none")
VOLUMES = DataInfo("brains", ("depth", "height", "width"), LABELS, "0" * 64, "none")
GENERATOR = np.random.default_rng(0)


def task(info: DataInfo = PICTURES, **options: Any) -> Any:
    return discover.call("tasks", use("segment", **options), info)


def masks(*shape: int) -> np.ndarray:
    return GENERATOR.integers(0, 3, shape, dtype=np.uint8)


def test_the_decision_is_softmax_and_the_largest() -> None:
    scores = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    probabilities, index = task().postprocess()(scores)
    assert torch.allclose(probabilities, scores.exp() / scores.exp().sum(1, keepdim=True))
    assert torch.equal(index.long(), scores.argmax(1))
    assert index.dtype == torch.uint8


@pytest.mark.parametrize("info", [PICTURES, VOLUMES])
def test_outputs_have_the_axes_of_the_samples(info: DataInfo) -> None:
    of = task(info)
    axes = ("depth", "height", "width")[-2 if info is PICTURES else 0 :]
    probabilities, index = of.output.tensors
    assert probabilities.shape == ("batch", 3, *axes)
    assert index.shape == ("batch", *axes)
    assert index.dtype == "uint8"
    assert of.output.kind == "mask"
    assert of.output.labels == LABELS
    features = torch.randn(1, 6, *[4] * len(axes))
    assert of.head(6)(features).shape == (1, 3, *[4] * len(axes))


def test_volumes_with_channels_are_volumes() -> None:
    with_channels = DataInfo("brains", ("depth", "height", "width", 2), LABELS, "0" * 64, "none")
    assert len(task(with_channels).output.tensors[0].shape) == 5
    with pytest.raises(UsageError, match="expected pictures"):
        task(DataInfo("waves", (1, "time"), LABELS, "0" * 64, "none"))


def test_metrics_equal_those_of_torchmetrics() -> None:
    segmentation = pytest.importorskip("torchmetrics.segmentation")
    truth, found = masks(4, 9, 7), masks(4, 9, 7)
    metrics = task().metrics({"class_index": found}, truth)
    options = {"num_classes": 3, "include_background": False, "input_format": "index"}
    whole = torch.from_numpy(found).long().view(1, -1, 7), torch.from_numpy(truth).long().view(1, -1, 7)
    assert metrics["dice"] == pytest.approx(segmentation.DiceScore(average="macro", **options)(*whole).item())
    assert metrics["iou"] == pytest.approx(segmentation.MeanIoU(**options)(*whole).item())
    assert metrics["pixel_accuracy"] == pytest.approx((truth == found).mean())
    assert set(metrics) == {"dice", "iou", "pixel_accuracy", "dice_cell_wall", "dice_2"}
    assert all(type(value) is float for value in metrics.values())


def test_metrics_of_hand_made_masks() -> None:
    truth = np.array([[[0, 0, 1, 1], [2, 2, UNKNOWN, UNKNOWN]]], np.uint8)
    found = np.array([[[0, 1, 1, 1], [2, 0, 1, 2]]], np.uint8)
    metrics = task().metrics({"class_index": found}, truth)
    assert metrics["dice_cell_wall"] == pytest.approx(4 / 5)
    assert metrics["dice_2"] == pytest.approx(2 / 3)
    assert metrics["dice"] == pytest.approx((4 / 5 + 2 / 3) / 2)
    assert metrics["iou"] == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert metrics["pixel_accuracy"] == pytest.approx(4 / 6)
    with_background = task(background=-1).metrics({"class_index": found}, truth)
    assert with_background["dice"] == pytest.approx((1 / 2 + 4 / 5 + 2 / 3) / 3)


@pytest.mark.parametrize(
    ("truth", "found", "dice"), [(0, 0, 1.0), (0, 1, 0.0), (1, 1, 1.0), (2, 0, 0.0), (UNKNOWN, 1, 1.0)]
)
def test_masks_of_one_pixel_and_of_nothing_have_finite_figures(truth: int, found: int, dice: float) -> None:
    metrics = task().metrics({"class_index": np.full((1, 1, 1), found)}, np.full((1, 1, 1), truth))
    assert metrics["dice"] == dice
    assert all(math.isfinite(value) for value in metrics.values())


def test_the_margin_is_the_gap_between_the_two_largest() -> None:
    probabilities = np.array([[0.5, 0.4], [0.2, 0.4], [0.3, 0.2]], np.float32).reshape(1, 3, 1, 2)
    decisions, margins = task().decide({"probabilities": probabilities, "class_index": np.array([[[0, 0]]], np.uint8)})
    assert decisions.shape == margins.shape == (1, 1, 2)
    assert margins.ravel() == pytest.approx([0.2, 0.0])


def test_the_loss_is_torch_s_cross_entropy_over_what_is_known() -> None:
    scores, truth = torch.randn(2, 3, 6, 5), torch.from_numpy(masks(2, 6, 5))
    truth[0, :2] = UNKNOWN
    expected = F.cross_entropy(scores, truth.long(), ignore_index=UNKNOWN)
    assert task(dice=0.0).loss(scores, truth) == pytest.approx(expected.item())
    weights = (1.0, 4.0, 0.5)
    weighted = F.cross_entropy(scores, truth.long(), torch.tensor(weights), ignore_index=UNKNOWN)
    assert task(dice=0.0, class_weights=weights).loss(scores, truth) == pytest.approx(weighted.item())


def test_soft_dice_is_dice_where_scores_are_sure() -> None:
    truth, found = masks(2, 8, 9), masks(2, 8, 9)
    truth[:, 0] = UNKNOWN
    scores = 100 * F.one_hot(torch.from_numpy(found).long(), 3).movedim(-1, 1).float()
    soft = task(dice=1.0).loss(scores, torch.from_numpy(truth)) - task(dice=0.0).loss(scores, torch.from_numpy(truth))
    dice = overlap.dice(overlap.matrix(truth, found, 3))[1:].mean()
    assert 1 - soft.item() == pytest.approx(dice, abs=0.02)  # soft Dice counts one place more


@pytest.mark.parametrize("truth", [0, 2, UNKNOWN])
def test_the_loss_is_finite_for_masks_of_one_kind(truth: int) -> None:
    scores = torch.zeros(1, 3, 1, 1, requires_grad=True)
    loss = task().loss(scores, torch.full((1, 1, 1), truth, dtype=torch.uint8))
    loss.backward()
    assert torch.isfinite(loss)
    assert scores.grad is not None
    assert torch.isfinite(scores.grad).all()
    assert scores.grad.any() == (truth != UNKNOWN)


def test_scores_of_another_size_are_refused_in_words() -> None:
    with pytest.raises(UsageError, match=r"input\.height=0"):
        task().loss(torch.zeros(1, 3, 4, 4), torch.zeros(1, 5, 5, dtype=torch.uint8))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"dice": -1.0}, "dice=-1"),
        ({"background": 3}, "background=3"),
        ({"class_weights": (1.0, 2.0)}, "expected 3 numbers"),
        ({"class_weights": (0.0, 0.0, 0.0)}, "expected 3 numbers"),
        ({"shift": 1.5}, "'shift' is 1.5"),
    ],
)
def test_options_that_do_not_fit_are_refused_in_words(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        task(**options)


def test_one_class_is_not_enough() -> None:
    with pytest.raises(UsageError, match="has 1 classes"):
        task(DataInfo("cells", ("height", "width", 1), ("cell",), "0" * 64, "none"))


def test_masks_are_as_large_as_the_network_s_input() -> None:
    def output(model: str, size: int) -> Any:
        recipe = Recipe("r", use("nuclei"), use("image", height=size, width=size), use(model), use("segment"))
        made = graph.build(recipe, PICTURES)
        found = made(torch.zeros(2, 5, 7, 1, dtype=torch.uint8))
        shapes = [tensor.shape for tensor in made.task.output.tensors]
        assert [len(shape) for shape in shapes] == [array.dim() for array in found]
        return shapes[1], tuple(found[1].shape)

    assert output("unet", 0) == (("batch", "height", "width"), (2, 5, 7))
    for model in ("unet", "deeplab", "fpn_fusion"):
        assert output(model, 12) == (("batch", 12, 12), (2, 12, 12))


def test_models_that_give_one_vector_are_refused_in_words() -> None:
    recipe = Recipe("r", use("nuclei"), use("image", height=0, width=0), use("unet"), use("segment"))
    graph.build(recipe, PICTURES)
    with pytest.raises(UsageError, match="lenet5"):
        graph.build(Recipe("r", use("nuclei"), recipe.input, use("lenet5"), recipe.task), PICTURES)
    with pytest.raises(UsageError, match="gives 'vector'"):
        graph.build(
            Recipe("r", use("nuclei"), use("image", height=8, width=8), use("resnet_small"), recipe.task), PICTURES
        )
    with pytest.raises(UsageError, match="unet takes pictures"):
        graph.build(
            Recipe("r", use("mni"), use("volume", depth=0, height=0, width=0), use("unet"), recipe.task), VOLUMES
        )

import dataclasses

import numpy as np
import pytest
import torch

from deploy.errors import UsageError
from stages.dataset import DataInfo
from stages.graph import build
from stages.recipe import Recipe, use
from stages.tasks.anomaly.defects import Defects
from stages.tasks.anomaly.recipes import anomaly_digits, anomaly_series, anomaly_textures
from stages.tasks.anomaly.task import anomaly

PICTURES = DataInfo("pictures", ("height", "width", 1), ("normal", "other"), "0" * 64, "generated")
SERIES = DataInfo("series", (1, "length"), ("normal", "other"), "0" * 64, "generated")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"false_alarms": 0.0}, "false_alarms"),
        ({"false_alarms": 1.0}, "between 0 and 1"),
        ({"window": 4}, "odd"),
        ({"window": 0}, "odd"),
        ({"vectors": 0}, "vectors=0"),
        ({"defect_size": 2.0}, "defect_size=2"),
        ({"rotate_deg": 400.0}, "rotate_deg"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, float], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        anomaly(PICTURES, **options)  # type: ignore[arg-type]


def test_what_has_no_maps_is_refused() -> None:
    with pytest.raises(UsageError, match="for method memory"):
        anomaly(SERIES, method="memory")
    with pytest.raises(UsageError, match="expected pictures"):
        anomaly(dataclasses.replace(SERIES, sample_shape=("length",)))
    with pytest.raises(UsageError, match="has labels"):
        anomaly(dataclasses.replace(PICTURES, labels=("normal",)))


def graph_of(recipe: Recipe, info: DataInfo):
    torch.manual_seed(0)
    return build(recipe, info)


def test_the_map_is_as_large_as_the_input_of_the_network() -> None:
    digits, textures, series = (
        graph_of(recipe(), info).task.output.tensors[2].shape
        for recipe, info in (
            (anomaly_digits, PICTURES),
            (anomaly_textures, PICTURES),
            (anomaly_series, SERIES),
        )
    )
    assert digits == ("batch", 28, 28)
    assert textures == ("batch", "height", "width")
    assert series == ("batch", 24)


def test_a_memory_takes_any_pyramid_and_nothing_else() -> None:
    recipe = dataclasses.replace(anomaly_textures(), model=use("pyramid_small"))
    graph = graph_of(recipe, PICTURES).eval()
    score, above, scores = graph(torch.zeros(2, 37, 50, 1, dtype=torch.uint8))
    assert (score.shape, above.dtype, scores.shape) == ((2,), torch.int64, (2, 37, 50))
    with pytest.raises(UsageError, match="takes features of the form 'pyramid'"):
        graph_of(dataclasses.replace(recipe, model=use("resnet_small"), input=anomaly_digits().input), PICTURES)


@pytest.mark.parametrize("targets", [torch.zeros(6, dtype=torch.int64), torch.zeros(6, 32, 32, dtype=torch.uint8)])
def test_the_loss_of_a_memory_falls_where_defects_are_large(targets: torch.Tensor) -> None:
    graph = graph_of(anomaly_textures(), PICTURES).train()
    raw = torch.randint(0, 255, (6, 32, 32, 1), dtype=torch.uint8)
    views, where = graph.task.augment(raw, targets, torch.Generator().manual_seed(1))
    assert views.shape == raw.shape
    assert where.shape == (6, 32, 32)
    sizes = graph.scores(views)
    assert sizes.min() >= 0
    share = torch.nn.functional.adaptive_avg_pool2d(where[:, None], sizes.shape[1:])[:, 0]
    assert graph.task.loss(5 * share, where) < graph.task.loss(5 * (1 - share), where)
    assert graph.task.loss(0 * sizes, where).isfinite()
    assert graph.task.loss(sizes, targets).isfinite()  # a batch without made-up defects


def test_the_loss_of_an_auto_encoder_is_what_it_does_not_make_again() -> None:
    graph = graph_of(anomaly_digits(), PICTURES).train()
    raw = torch.randint(0, 255, (6, 28, 28, 1), dtype=torch.uint8)
    given, made = torch.rand(2, 6, 1, 28, 28)
    loss = graph.task.loss(graph.head((given, made)), torch.zeros(6))
    assert loss == pytest.approx(float((given - made).square().mean()))
    same, targets = graph.task.augment(raw, torch.zeros(6), torch.Generator())
    assert same is raw
    assert not targets.any()


def test_the_margin_is_how_far_the_score_is_from_the_threshold() -> None:
    outputs = {"score": np.array([0.25, 3.0], np.float32), "is_anomaly": np.array([0, 1])}
    decided, margins = anomaly(PICTURES).decide(outputs)
    assert decided.tolist() == [0, 1]
    assert margins.tolist() == [0.75, 2.0]


def test_targets_are_named_where_there_is_one_kind_of_others() -> None:
    assert anomaly(PICTURES).names_targets
    assert not anomaly(dataclasses.replace(PICTURES, labels=("normal", "scratch", "hole"))).names_targets


@pytest.mark.parametrize("shape", [(3, 1, 1, 3), (40, 30, 50, 1)])
def test_defects_change_pictures_where_they_say(shape: tuple[int, ...]) -> None:
    raw = torch.randint(60, 200, shape, dtype=torch.uint8)
    changed, where = Defects()(raw, torch.Generator().manual_seed(0))
    again, _ = Defects()(raw, torch.Generator().manual_seed(0))
    assert torch.equal(changed, again)
    assert changed.shape == shape
    assert changed.isfinite().all()
    assert 0 <= changed.min() <= changed.max() <= 255
    assert where.shape == shape[:3]
    around = torch.nn.functional.max_pool2d(where[:, None], 3, stride=1, padding=1)[:, 0] > 0
    assert torch.equal(changed[~around], raw.float()[~around])
    if shape[0] == 40:
        assert 0.4 < where.flatten(1).amax(dim=1).mean() < 0.95
        assert (changed - raw.float()).abs().mean(dim=3)[where > 0].mean() > 10


def test_no_share_is_no_defect() -> None:
    raw = torch.randint(0, 255, (8, 20, 20, 1), dtype=torch.uint8)
    changed, where = Defects(share=0.0)(raw, torch.Generator().manual_seed(0))
    assert torch.equal(changed, raw.float())
    assert not where.any()

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.errors import DataError
from stages.tasks.anomaly.maps import Errors, Threshold, smoothed
from stages.tasks.anomaly.rates import figures, kinds


def pair(seed: int = 0, sides: tuple[int, ...] = (5, 6)) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    given, made = (torch.randn(4, 2, *sides, generator=generator) for _ in range(2))
    return given, made


@pytest.mark.parametrize("sides", [(5, 6), (7,)])
def test_errors_are_means_over_channels_of_squares(sides: tuple[int, ...]) -> None:
    given, made = pair(sides=sides)
    expected = (given - made).square().sum(dim=1) / 2
    assert torch.allclose(Errors(1, relative=False).eval()((given, made)), expected)
    assert torch.allclose(Errors(5, relative=True).train()((given, made)), expected)  # what the loss is the mean of


def test_relative_errors_are_smaller_for_more_ink() -> None:
    errors = Errors(1, relative=True).eval()
    ink = torch.zeros(2, 1, 4, 4)
    ink[0, 0, 0], ink[1, 0] = 1, 1
    found = errors((ink, ink - 0.5))
    assert found[0, 0, 0] == pytest.approx(2 * float(found[1, 0, 0]), rel=2e-3)
    assert errors((0 * ink, 0 * ink + 1)).isfinite().all()  # nothing at all


@pytest.mark.parametrize("sides", [(1,), (6,), (1, 1), (5, 7), (1, 20)])
@pytest.mark.parametrize("window", [1, 3, 9])
def test_windows_are_smaller_at_the_borders(sides: tuple[int, ...], window: int) -> None:
    scores = torch.rand(3, *sides, dtype=torch.float64)
    found = smoothed(scores, window)
    assert found.shape == scores.shape
    assert torch.allclose(smoothed(torch.ones_like(scores), window), torch.ones_like(scores))
    corner = scores[(slice(None), *(slice(window // 2 + 1) for _ in sides))]
    assert torch.allclose(found.flatten(1)[:, 0], corner.flatten(1).mean(dim=1))


@settings(deadline=None)
@given(st.integers(1, 60), st.sampled_from([0.01, 0.05, 0.2, 0.5, 0.9]), st.integers(0, 99))
def test_the_threshold_lets_through_no_more_than_was_asked(rows: int, false_alarms: float, seed: int) -> None:
    scores = torch.rand(rows, 3, 2, generator=torch.Generator().manual_seed(seed)) + 0.1
    post = Threshold(false_alarms)
    said = post.fit(scores, np.zeros(rows, np.int64))
    above = post(scores)[1].sum()
    assert above <= false_alarms * (rows + 1)
    if (rows + 1) * false_alarms >= 1:
        assert said["expected_false_alarms"] <= false_alarms + 1e-9
        assert above + 1 > false_alarms * (rows + 1) - 1  # and about as many as may
    else:  # too few to tell: the largest one
        assert above == 0
        assert said["expected_false_alarms"] == pytest.approx(1 / (rows + 1))


def test_the_threshold_is_the_unit_of_scores_and_of_maps() -> None:
    post = Threshold(0.5)
    post.fit(torch.tensor([[1.0], [2.0], [3.0]]), np.zeros(3, np.int64))
    score, above, units = post(torch.tensor([[2.0, 1.0], [0.0, 2.2]]))
    assert score.tolist() == pytest.approx([1, 1.1])
    assert above.tolist() == [0, 1]
    assert units.flatten().tolist() == pytest.approx([1, 0.5, 0, 1.1])
    assert torch.equal(Threshold(0.5)(units)[2], units)  # 1 until it is fitted


def test_anomalies_in_validation_do_not_count() -> None:
    scores = torch.tensor([[1.0], [99.0], [2.0]])
    post = Threshold(0.1)
    assert post.fit(scores, np.array([0, 1, 0]))["threshold"] == 2
    masks = np.zeros((3, 2, 2), np.uint8)
    masks[1, 0, 1] = 3
    assert post.fit(scores, masks)["threshold"] == 2
    with pytest.raises(DataError, match="no normal sample"):
        post.fit(scores, np.ones(3, np.int64))


def test_all_scores_0_give_a_threshold_that_can_be_divided_by() -> None:
    post = Threshold(0.1)
    post.fit(torch.zeros(20, 4), np.zeros(20, np.int64))
    assert post(torch.tensor([[0.0], [1e3]]))[0].isfinite().all()


def answers(score: list[float], scores: np.ndarray | None = None) -> dict[str, np.ndarray]:
    values = np.array(score, np.float32)
    maps = values[:, None, None] if scores is None else scores
    return {"score": values, "is_anomaly": (values > 1).astype(np.int64), "score_map": maps}


def test_figures_of_classes() -> None:
    found = figures(answers([0.2, 1.2, 0.9, 3.0]), np.array([0, 0, 1, 1]), ("normal", "other"))
    assert found == pytest.approx({"typicality": -0.7, "auroc": 0.75, "false_alarm_rate": 0.5, "detection_rate": 0.5})


def test_figures_by_kind_and_by_place() -> None:
    targets = np.zeros((3, 2, 2), np.uint8)
    targets[1, 0, 0], targets[2] = 1, 2
    maps = np.where(targets > 0, 2.0, 0.5).astype(np.float32)
    maps[2] = 0.1
    found = figures(answers([0.5, 2.0, 0.1], maps), targets, ("normal", "deep scratch", "hole"))
    assert kinds(targets).tolist() == [0, 1, 2]
    assert found["auroc_deep_scratch"] == 1
    assert found["auroc_hole"] == 0
    assert found["auroc"] == 0.5
    assert found["pixel_auroc"] == pytest.approx(1 / 5)  # one place of five is above all normal ones, four below


@pytest.mark.parametrize("target", [0, 1])
def test_where_all_are_of_one_sort_there_is_typicality_alone(target: int) -> None:
    assert figures(answers([1, 3]), np.full(2, target), ("a", "b")) == {"typicality": -2}

import math

import numpy as np
import pytest
import torch

from stages.tasks.keypoints.heads import Coordinates, HeatMaps, Places, distances, located, loss


def bells(points: torch.Tensor, height: int, width: int, sides: float = 1.0) -> torch.Tensor:
    """Scores (N, K, H, W) of normal distributions, `sides` cells wide, around points."""
    x = (torch.arange(width) + 0.5) / width - points[..., :1]
    y = (torch.arange(height) + 0.5) / height - points[..., 1:]
    return -((x * width).square()[..., None, :] + (y * height).square()[..., None]) / (2 * sides**2)


def numbers(points: torch.Tensor, deviation: float) -> torch.Tensor:
    """Scores (N, K, 3) of a regression that says these points."""
    logs = torch.full((*points.shape[:2], 1), 2 * math.log(deviation) + 4)
    return torch.cat([points - 0.5, logs], dim=2)


POINTS = torch.tensor([[[0.3, 0.4], [0.62, 0.51]], [[0.5, 0.5], [0.41, 0.77]]])


def test_a_map_s_point_is_the_mean_of_its_heat_between_cells_too() -> None:
    middle, variance = located("heatmap", bells(POINTS, 24, 32))
    torch.testing.assert_close(middle, POINTS, atol=1e-4, rtol=0)
    cell = (1 / 24**2 + 1 / 32**2) / 2
    torch.testing.assert_close(variance, torch.full((2, 2), cell / 12), atol=1e-6, rtol=0)
    _, wider = located("heatmap", bells(POINTS, 24, 32, sides=2))
    torch.testing.assert_close(wider, torch.full((2, 2), 3 * cell), rtol=0.05, atol=0)


def test_a_flat_map_is_as_unsure_as_can_be() -> None:
    middle, variance = located("heatmap", torch.zeros(1, 1, 24, 24))
    assert middle.flatten().tolist() == pytest.approx([0.5, 0.5])
    assert variance.item() == pytest.approx(1 / 12, rel=0.05)
    _, confidence, found = Places("heatmap", 0.5)(torch.zeros(1, 1, 24, 24))
    assert confidence.item() < 0.02
    assert not found.item()


def test_confidence_is_the_share_of_a_normal_distribution_within_the_tolerance() -> None:
    points, confidence, found = Places("regression", 0.5)(numbers(POINTS, 0.04))
    torch.testing.assert_close(points, POINTS)
    drawn = np.random.default_rng(0).normal(0, 0.04, (100_000, 2))
    share = (np.hypot(*drawn.T) <= 0.05).mean()
    assert confidence.flatten().tolist() == pytest.approx([share] * 4, abs=0.01)
    assert found.dtype == torch.bool
    assert found.all()
    assert not Places("regression", 0.6)(numbers(POINTS, 0.04))[2].any()


def test_points_never_leave_the_picture() -> None:
    points, _, _ = Places("regression", 0.5)(numbers(torch.tensor([[[-3.0, 9.0]]]), 0.1))
    assert points.tolist() == [[[0.0, 1.0]]]


@pytest.mark.parametrize("kind", ["heatmap", "regression"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [0.0, 1e4, 1e30])
def test_any_scores_have_a_finite_answer(kind: str, dtype: torch.dtype, size: float) -> None:
    shape = (3, 2, 1, 9) if kind == "heatmap" else (3, 2, 3)
    scores = size * torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(0))
    for output in Places(kind, 0.5)(scores)[:2]:  # type: ignore[arg-type]
        assert output.isfinite().all()
        assert output.min() >= 0
        assert output.max() <= 1


@pytest.mark.parametrize("kind", ["heatmap", "regression"])
def test_what_is_not_known_does_not_count(kind: str) -> None:
    head = HeatMaps(3, 2) if kind == "heatmap" else Coordinates(3, 2)
    scores = head(torch.randn(2, 3, *((6, 6) if kind == "heatmap" else ())))
    targets = POINTS.clone()
    targets[1, 0] = math.nan
    targets[0, 1, 0] = math.nan  # half of a point is none
    some = loss(kind, scores, targets, blank=False)  # type: ignore[arg-type]
    moved = torch.where(targets.isnan().any(dim=2, keepdim=True), scores.new_tensor(math.nan), targets)
    assert torch.equal(some, loss(kind, scores, moved, blank=False))  # type: ignore[arg-type]
    assert torch.equal(some, loss(kind, scores, targets, blank=True))  # type: ignore[arg-type]
    none = loss(kind, scores, torch.full_like(targets, math.nan), blank=False)  # type: ignore[arg-type]
    assert none.item() == 0
    none.backward()
    assert all(parameter.grad.isfinite().all() for parameter in head.parameters())


@pytest.mark.parametrize("kind", ["heatmap", "regression"])
def test_the_loss_is_least_where_the_points_are(kind: str) -> None:
    def of(points: torch.Tensor, wide: float) -> float:
        scores = bells(points, 24, 24, 24 * wide) if kind == "heatmap" else numbers(points, wide)
        return loss(kind, scores, POINTS, blank=False).item()  # type: ignore[arg-type]

    right = of(POINTS, 1 / 24)
    assert right < of(POINTS + 0.02, 1 / 24) < of(POINTS + 0.1, 1 / 24)
    assert right < of(POINTS, 0.2)
    assert of(POINTS + 0.3, 0.2) < of(POINTS + 0.3, 1 / 24)  # who is wrong had better be unsure


@pytest.mark.parametrize("kind", ["heatmap", "regression"])
def test_pictures_that_show_nothing_teach_to_be_unsure(kind: str) -> None:
    scores = (torch.zeros(2, 1, 8, 8) if kind == "heatmap" else torch.zeros(2, 1, 3)).requires_grad_()
    with torch.no_grad():
        scores += torch.randn(scores.shape, generator=torch.Generator().manual_seed(1))
    optimizer = torch.optim.Adam([scores], lr=0.1)
    for _ in range(200):
        optimizer.zero_grad()
        loss(kind, scores, torch.full((2, 1, 2), math.nan), blank=True).backward()  # type: ignore[arg-type]
        optimizer.step()
    assert Places(kind, 0.5)(scores)[1].max().item() < 0.03  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["heatmap", "regression"])
def test_confidence_is_fitted_to_how_far_points_are_off(kind: str) -> None:
    generator = torch.Generator().manual_seed(0)
    truth = torch.rand(400, 3, 2, generator=generator) * 0.6 + 0.2
    said = truth + 0.03 * torch.randn(truth.shape, generator=generator)
    wide = math.sqrt(0.02**2 + 1 / 24**2) * 24  # a map is wider by a cell
    scores = bells(said, 24, 24, wide) if kind == "heatmap" else numbers(said, 0.02)
    targets = truth.numpy().copy()
    targets[0] = np.nan
    places = Places(kind, 0.5)  # type: ignore[arg-type]
    before = places(scores)[1].mean().item()
    power = math.log(12 * 0.03**2) / math.log(12 * 0.02**2)
    assert places.fit(scores, targets)["sharpness"] == pytest.approx(power, rel=0.03)
    right = (distances(said.numpy(), truth.numpy()) <= 0.05).mean()
    assert abs(places(scores)[1].mean().item() - right) < 0.03 < abs(before - right)
    nothing = torch.zeros(1, 1, 24, 24) if kind == "heatmap" else torch.full((1, 1, 3), 9.0)
    assert places(nothing)[1].item() < 0.02
    unknown = Places(kind, 0.5)  # type: ignore[arg-type]
    assert unknown.fit(scores, np.full_like(targets, np.nan)) == {"sharpness": 1.0}


@pytest.mark.parametrize("scale", [0.0, 1e9])
def test_points_that_are_all_right_or_all_wrong_have_a_sharpness(scale: float) -> None:
    places = Places("regression", 0.5)
    found = places.fit(numbers(POINTS, 0.04), POINTS.numpy() + np.float32(scale))["sharpness"]
    assert 0.1 <= found <= 10

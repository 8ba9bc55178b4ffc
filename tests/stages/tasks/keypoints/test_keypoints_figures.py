import numpy as np
import pytest

from stages import discover
from stages.recipe import use
from stages.report.answers import Answers
from stages.report.figure import Figure, Gallery
from stages.report.samples.image import draw
from stages.tasks.keypoints.figures import figures, overlay


@pytest.fixture(scope="module")
def answers() -> Answers:
    from pathlib import Path

    options = use("drawn_faces", side=32, train=2, validation=0, test=24, without=0.2)
    data = discover.call("data", options, Path("nowhere"))
    generator = np.random.default_rng(0)
    said = np.nan_to_num(data.test.targets, nan=0.5) + generator.normal(0, 0.02, data.test.targets.shape)
    points = np.clip(said, 0, 1).astype(np.float32)
    confidence = generator.random(points.shape[:2]).astype(np.float32)
    outputs = {"points": points, "confidence": confidence, "found": confidence >= 0.5}
    return Answers(outputs=outputs, dataset=data, metrics={}, draw=draw)


def test_the_report_shows_points_errors_and_the_worst_pictures(answers: Answers) -> None:
    parts = {part.title: part for part in figures(answers)}
    assert list(parts) == [
        "Points", "Error by point", "Points within a distance", "Worst pictures", "Pictures without a known point",
    ]  # fmt: skip
    worst, best = parts["Worst pictures"], parts["Points"]
    assert isinstance(worst, Gallery)
    assert isinstance(best, Gallery)
    errors = [float(item.lines[0].split()[1].rstrip("%")) for item in worst.items]
    assert errors == sorted(errors, reverse=True)
    assert best.items[-1] == worst.items[0]
    assert all('src="data:image/png;base64,' in item.html for item in worst.items)
    by_point = parts["Error by point"]
    assert isinstance(by_point, Figure)
    assert "left eye center" in by_point.svg


@pytest.mark.parametrize("shape", [(8, 8, 1), (5, 400, 3), (1, 1, 1), (4, 4, 2)])
def test_any_picture_is_shown_with_rings_where_points_are(shape: tuple[int, int, int]) -> None:
    truth = np.array([[0.25, 0.5], [np.nan, np.nan]])
    shown = overlay(np.zeros(shape, np.uint8), truth, np.array([[0.75, 0.5], [0.5, 0.5]]), np.array([True, False]))
    assert max(shown.shape[:2]) == 240
    assert shown.shape[2] == 3
    middle = shown[shown.shape[0] // 2]
    assert (middle[:120] == (0, 220, 90)).all(axis=1).any()
    assert (middle[170:190] == (255, 120, 0)).all(axis=1).any()

import numpy as np
import pytest

from stages.dataset import DataInfo, Dataset, Split
from stages.report.answers import Answers
from stages.report.figure import Figure, Gallery
from stages.report.samples import drawer
from stages.tasks.embed.figures import figures


def answers(targets: np.ndarray, vectors: np.ndarray) -> Answers:
    pictures = np.random.default_rng(0).integers(0, 256, (len(vectors), 6, 6, 1)).astype(np.uint8)
    info = DataInfo("pictures", ("height", "width", 1), ("<a>", "b"), "0" * 64, "generated")
    split = Split(pictures, targets)
    return Answers({"embedding": vectors}, Dataset(info, split, split, split), {}, drawer("image"))


def test_rows_show_what_is_nearest_and_which_are_wrong() -> None:
    angles = np.array([0.0, 0.1, 0.2, 3.0, 3.1, 0.25])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    gallery, histogram, curve = figures(answers(np.array([0, 0, 0, 1, 1, 1]), vectors))
    assert isinstance(gallery, Gallery)
    assert "First 2 of 2 whose nearest is wrong" in gallery.caption  # 2 and 5 have each other
    assert {item.lines[0] for item in gallery.items[:2]} == {"test sample 2: <a>", "test sample 5: b"}
    assert gallery.items[0].html.count("<img") == 6
    others = {item.lines[0]: item.html.count('class="wrong"') for item in gallery.items}
    assert others["test sample 2: <a>"] == others["test sample 0: <a>"] == 3
    for figure in (histogram, curve):
        assert isinstance(figure, Figure)
        assert figure.svg.startswith("<svg")


@pytest.mark.parametrize("targets", [np.zeros((5, 6, 6), np.uint8), np.zeros(5, np.float32)])
def test_targets_that_are_no_classes_leave_the_rows(targets: np.ndarray) -> None:
    (gallery,) = figures(answers(targets, np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)))
    assert isinstance(gallery, Gallery)
    assert len(gallery.items) == 4
    assert 'class="wrong"' not in gallery.items[0].html


def test_a_network_that_always_answers_the_same_finds_nothing() -> None:
    gallery, *_ = figures(answers(np.array([0, 1, 0, 1]), np.ones((4, 3), np.float32)))
    assert isinstance(gallery, Gallery)
    assert gallery.items == ()

import numpy as np

from stages.dataset import UNKNOWN, Split
from stages.report.answers import Answers
from stages.report.figure import Figure, Gallery, Table
from stages.split import dataset
from stages.tasks.segment.figures import drawings, figures

GENERATOR = np.random.default_rng(0)


def answers(shape: tuple[int, ...], classes: int, channels: int = 1) -> Answers:
    targets = GENERATOR.integers(0, classes, (20, *shape), dtype=np.uint8)
    found = np.where(GENERATOR.random(targets.shape) < 0.1, 0, targets).astype(np.uint8)
    targets[:, 0] = UNKNOWN
    inputs = GENERATOR.integers(0, 255, (*targets.shape, channels) if channels else targets.shape, dtype=np.uint8)
    split = Split(inputs, targets)
    labels = tuple(f"class <{number}>" for number in range(classes))
    form = ("height", "width", channels) if len(shape) == 2 else ("depth", "height", "width")
    data = dataset("made", form, labels, "generated", (split, split, split))
    return Answers({"class_index": found}, data, {}, lambda sample, words: words)


def test_pictures_are_shown_from_the_worst_to_the_best() -> None:
    table, gallery = figures(answers((9, 7), 2))
    assert isinstance(table, Table)
    assert [row[0] for row in table.rows] == ["class <0>", "class <1>"]
    assert all(0 <= float(row[1]) <= 1 for row in table.rows)
    assert isinstance(gallery, Gallery)
    shares = [float(item.lines[1].split("%")[0]) for item in gallery.items]
    assert shares == sorted(shares, reverse=True)
    assert all(item.html.count("<img") == 4 for item in gallery.items)


def test_several_classes_have_a_confusion_matrix_and_volumes_a_slice() -> None:
    _, gallery, confusion = figures(answers((6, 4, 8), 3, channels=0))
    assert isinstance(confusion, Figure)
    assert "class &lt;2&gt; as class &lt;0&gt;" in confusion.svg
    assert isinstance(gallery, Gallery)
    assert len(gallery.items) == 8


def test_mistakes_are_red_and_unknown_places_are_none() -> None:
    truth = np.array([[0, 1, UNKNOWN], [0, 1, 1]], np.uint8)
    found = np.array([[1, 1, 0], [0, 1, 1]], np.uint8)
    for sample in (np.zeros((2, 3, 1), np.uint8), np.zeros((2, 3, 3), np.uint8), np.zeros((2, 3, 2), np.uint8)):
        picture, true, answer, mistakes = drawings(sample, truth, found)
        assert not picture.any()
        assert true[0, 1].any()
        assert not true[0, 2].any()
        assert answer[0, 0].any()
        red = (mistakes != 0).any(axis=2)
        assert red.tolist() == [[True, False, False], [False, False, False]]


def test_a_volume_shows_its_worst_slice_across_the_shortest_side() -> None:
    truth, found = np.zeros((5, 3, 6), np.uint8), np.zeros((5, 3, 6), np.uint8)
    found[2:4, 2, 1] = 1
    volume = np.arange(90, dtype=np.uint8).reshape(5, 3, 6)
    picture, _, _, mistakes = drawings(volume, truth, found)
    assert picture.shape == (5, 6, 3)
    assert np.array_equal(picture[..., 0], volume[:, 2])
    assert (mistakes[..., 0] > mistakes[..., 1]).sum() == 2


def test_one_sample_without_an_object_is_enough() -> None:
    split = Split(np.zeros((1, 1, 1, 1), np.uint8), np.zeros((1, 1, 1), np.uint8))
    data = dataset("one", ("height", "width", 1), ("ground", "thing"), "generated", (split, split, split))
    table, gallery = figures(
        Answers({"class_index": np.zeros((1, 1, 1), np.uint8)}, data, {}, lambda sample, words: words)
    )
    assert isinstance(table, Table)
    assert table.rows[1][1] == "-"
    assert isinstance(gallery, Gallery)
    assert len(gallery.items) == 1

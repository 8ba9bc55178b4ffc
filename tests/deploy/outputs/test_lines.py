import numpy as np

from deploy.outputs.boxes import Box, Boxes
from deploy.outputs.mask import Mask
from deploy.outputs.picture import Picture
from deploy.outputs.poem import Poem
from deploy.outputs.points import Point, Points
from deploy.outputs.ranking import Catalogue, Item, Ranking


def test_boxes_are_counted_and_the_best_named() -> None:
    box = Box("7", 7, 0.981, 1, 2, 3, 4)
    assert Boxes((), 10, 10).line() == "0 found"
    assert Boxes((box,), 10, 10).line() == "1 found: 7 98%"
    assert Boxes((box,) * 7, 10, 10).line() == f"7 found: {', '.join(['7 98%'] * 6)}, ..."


def test_points_are_counted_and_the_surest_placed() -> None:
    nose, ear = Point("nose", 5.25, 6, 0.9, True), Point("ear", 1, 1, 0.2, False)
    assert Points((nose, ear), 10, 10).line() == "1 of 2 points found, surest nose at 5.2, 6.0"
    assert Points((ear,), 10, 10).line() == "0 of 1 points found"


def test_a_mask_tells_the_share_of_each_class_that_is_there() -> None:
    mask = np.array([[0, 0, 0, 2]], np.uint8)
    assert Mask(mask, np.zeros((3, 1, 4)), ("ground", "cell", "wall")).line() == "ground 75.0%  wall 25.0%"


def test_a_list_tells_titles() -> None:
    catalogue = Catalogue(("Alien",), (3,), {3: 0})
    assert Ranking((Item(3, "Alien", 1.0),), np.zeros(1), catalogue).line() == "Alien"
    assert Ranking((), np.zeros(1), catalogue).line() == "nothing is left to recommend"


def test_a_poem_stands_in_one_line() -> None:
    assert Poem("静夜思", ("床前明月光", "疑是地上霜"), 3).line() == "静夜思  床前明月光  疑是地上霜"


def test_of_other_results_what_is_short() -> None:
    assert Picture(np.zeros((2, 3, 1), np.uint8), np.zeros((2, 3, 1))).line() == "height 2  width 3"

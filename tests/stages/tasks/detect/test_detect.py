from typing import Any

import numpy as np
import pytest
import torch

from deploy.errors import UsageError
from stages import discover
from stages.data.read.boxes import NOTHING, targets
from stages.dataset import DataInfo
from stages.graph import Graph, build
from stages.recipe import Recipe, replace, use
from stages.tasks.detect import loss
from stages.tasks.detect.head import Head, Seen
from stages.tasks.detect.recipes import detector_digits

INFO = DataInfo("things", ("height", "width", 1), ("cat", "dog"), "0" * 64, "none")


def graph(height: int = 0, width: int = 0, info: DataInfo = INFO, **options: Any) -> Graph:
    recipe = replace(
        detector_digits(),
        input=use("image", height=height, width=width),
        model=use("pyramid_small", width=4, features=8),
        task=use("detect", **{"candidates": 40, "max_detections": 5, **options}),
    )
    torch.manual_seed(0)
    return build(recipe, info).eval()


def things(*boxes: tuple[float, float, float, float, int], frame: tuple[int, int] = (64, 48)) -> torch.Tensor:
    return torch.from_numpy(targets([frame], [np.array(boxes, np.float32).reshape(-1, 5)]))


def places(frame: tuple[int, int] = (64, 48), strides: tuple[int, ...] = (4, 8, 16)) -> torch.Tensor:
    """As `Head` numbers them."""
    net = Head(4, 2, strides)
    maps = [torch.zeros(1, 4, -(-frame[1] // stride), -(-frame[0] // stride)) for stride in strides]
    seen: Seen = net((torch.zeros(1, 1, frame[1], frame[0]), *maps))
    return seen.places


def test_a_head_sees_every_place_inside_of_the_picture() -> None:
    head = Head(4, 3, (4, 8))
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter)
    seen = head((torch.zeros(2, 1, 9, 21), torch.randn(2, 4, 3, 6), torch.randn(2, 4, 2, 3)))
    assert seen.logits.shape == (2, 3 * 6 + 2 * 3, 3)
    assert seen.boxes.shape == (2, 24, 4)
    assert seen.frame.tolist() == [21, 9]
    assert seen.places[:7].tolist() == [*([4 * x + 2.0, 2.0, 4.0] for x in range(6)), [2.0, 6.0, 4.0]]
    assert seen.places[18].tolist() == [4, 4, 8]
    corners = seen.boxes.unflatten(2, (2, 2))
    assert (corners >= 0).all()
    assert (corners <= seen.frame).all()
    assert (seen.boxes[..., 2:] >= seen.boxes[..., :2]).all()


def test_things_are_seen_by_the_places_around_their_middle_on_the_map_of_their_size() -> None:
    seats = places()
    rows, seen, which = loss.assigned(things((20, 20, 32, 28, 1), (2, 2, 24, 24, 0), (0, 0, 64, 48, 1))[:, 1:], seats)
    assert set(rows.tolist()) == {0}
    for thing, stride, middle in ((0, 4, (26, 24)), (1, 8, (13, 13)), (2, 16, (32, 24))):
        mine = seats[seen[which == thing]]
        assert set(mine[:, 2].tolist()) == {stride}
        assert 1 <= len(mine) <= 4
        assert ((mine[:, :2] - torch.tensor(middle)).abs() < stride).all()


def test_a_thing_between_two_maps_is_seen_by_both() -> None:
    seats = places()
    _, seen, _ = loss.assigned(things((20, 20, 36, 30, 1))[:, 1:], seats)
    assert set(seats[seen, 2].tolist()) == {4, 8}


def test_of_two_things_a_place_sees_the_smaller_one() -> None:
    _, _, which = loss.assigned(things((20, 20, 30, 30, 1), (21, 21, 29, 29, 0))[:, 1:], places())
    assert set(which.tolist()) == {1}


def test_a_thing_of_one_px_at_the_border_is_seen() -> None:
    rows, _, _ = loss.assigned(things((63, 47, 64, 48, 1))[:, 1:], places())
    assert len(rows) >= 1


def perfect(target: torch.Tensor, sure: float = 12.0) -> Seen:
    seats, inside = places(), target[:, 1:]
    rows, seen, which = loss.assigned(inside, seats)
    logits = torch.full((1, len(seats), 2), -sure)
    boxes = torch.cat([seats[:, :2] - 1, seats[:, :2] + 1], 1)[None].clone()
    boxes[rows, seen] = inside[rows, which, :4]
    logits[rows, seen, inside[rows, which, 4].long()] = sure
    return Seen(logits, boxes, seats, torch.tensor([64.0, 48.0]))


def test_the_loss_is_none_when_all_is_seen_and_grows_with_what_is_wrong() -> None:
    target = things((20, 20, 32, 28, 1), (2, 2, 32, 32, 0))
    right = perfect(target)
    assert loss.loss(right, target) < 1e-3
    other = right._replace(logits=right.logits.flip(2))
    moved = right._replace(boxes=right.boxes + 3)
    assert loss.loss(other, target) > 1
    assert loss.loss(moved, target) > 0.1


def test_pictures_without_things_have_a_finite_loss() -> None:
    value = loss.loss(perfect(things())._replace(logits=torch.zeros(1, len(places()), 2)), things())
    assert torch.isfinite(value)
    assert value > 0


def test_padding_is_no_thing() -> None:
    padded = torch.cat([things((20, 20, 32, 28, 1)), torch.tensor([[[0.0, 0, 0, 0, NOTHING]] * 3])], dim=1)
    seen = perfect(things((20, 20, 32, 28, 1)))
    assert loss.loss(seen, padded) == loss.loss(seen, things((20, 20, 32, 28, 1)))


def test_targets_are_scaled_to_the_picture_that_the_network_sees() -> None:
    scaled = loss.fitted(things((10, 12, 30, 36, 1), frame=(40, 48)), torch.tensor([80.0, 24.0]))
    assert scaled.tolist() == [[[20, 6, 60, 18, 1]]]


def test_a_network_for_one_size_answers_parts_of_the_picture() -> None:
    free, fixed = graph(score_threshold=0.0), graph(32, 48, score_threshold=0.0)
    assert not free.task.output.options["relative"]
    assert fixed.task.output.options["relative"]
    picture = torch.randint(0, 256, (2, 32, 48, 1), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    with torch.inference_mode():
        px, parts = free(picture)[0], fixed(picture)[0]
    assert torch.allclose(parts * torch.tensor([48, 32, 48, 32]), px, atol=1e-4)


@pytest.mark.parametrize("size", [(1, 1), (1, 200), (3, 5), (37, 64)])
def test_pictures_of_any_size_are_answered_with_finite_numbers(size: tuple[int, int]) -> None:
    made = graph(score_threshold=0.0)
    for level in (0, 255):
        with torch.inference_mode():
            answers = made(torch.full((2, *size, 1), level, dtype=torch.uint8))
            exact = made.double()(torch.full((2, *size, 1), level, dtype=torch.uint8))
        made.float()
        for spec, answer, other in zip(made.task.output.tensors, answers, exact, strict=True):
            assert answer.isfinite().all()
            assert other.isfinite().all()
            assert str(answer.dtype).removeprefix("torch.") == spec.dtype
            assert answer.shape == (2, *spec.shape[1:])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"score_threshold": 1.0}, "'score_threshold' is 1, expected in"),
        ({"iou_threshold": -0.1}, "'iou_threshold' is -0.1"),
        ({"max_detections": 0}, "'max_detections' and 'candidates' are 0 and 40"),
        ({"max_detections": 50}, "no more detections than candidates"),
    ],
)
def test_options_out_of_range_are_refused_in_words(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        graph(**options)


def test_data_without_labels_and_nets_without_maps_are_refused() -> None:
    with pytest.raises(UsageError, match="has no labels"):
        graph(info=DataInfo("plain", ("height", "width", 1), (), "0" * 64, "none"))
    recipe: Recipe = replace(detector_digits(), model=use("unet"))
    with pytest.raises(UsageError, match="takes features of the form 'pyramid', model unet gives 'map'"):
        build(recipe, INFO)


def test_the_recipe_is_there() -> None:
    assert discover.recipe("detector_digits").task.name == "detect"

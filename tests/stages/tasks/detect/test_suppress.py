import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.ops import batched_nms, box_iou

from stages.tasks.detect.head import Seen
from stages.tasks.detect.suppress import ROUNDS, Suppress

SIDE = 64
FRAME = torch.tensor([SIDE, SIDE], dtype=torch.float32)


def seen(boxes: torch.Tensor, scores: torch.Tensor, classes: int = 3) -> Seen:
    """Pictures (N, P, 4) and scores (N, P, classes) as a head would see them."""
    return Seen(torch.logit(scores.double()).float(), boxes, torch.zeros(boxes.shape[1], 3), FRAME)


def some(rows: int, places: int, seed: int, classes: int = 3) -> Seen:
    generator = torch.Generator().manual_seed(seed)
    corners = torch.rand(rows, places, 2, generator=generator) * 40
    sizes = 4 + torch.rand(rows, places, 2, generator=generator) * 20
    scores = 0.01 + 0.98 * torch.rand(rows, places, classes, generator=generator)
    return seen(torch.cat([corners, corners + sizes], 2), scores)


def by_torchvision(one: Seen, row: int, threshold: float, overlap: float, most: int) -> list[tuple[int, int]]:
    scores = one.logits[row].sigmoid()
    places, labels = (scores > threshold).nonzero(as_tuple=True)
    kept = batched_nms(one.boxes[row, places], scores[places, labels], labels, overlap)[:most]
    return [(int(places[k]), int(labels[k])) for k in kept]


def listed(answer: tuple[torch.Tensor, ...], row: int) -> list[tuple[int, int]]:
    _, _, classes, counts, places = answer
    count = int(counts[row])
    return list(zip(places[row, :count].tolist(), classes[row, :count].tolist(), strict=True))


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 10**6), st.integers(1, 4), st.integers(1, 30), st.sampled_from([0.05, 0.5, 0.9]),
    st.sampled_from([0.1, 0.5, 0.7]), st.integers(1, 20),
)  # fmt: skip
def test_it_keeps_what_torchvision_keeps_picture_by_picture(
    seed: int, rows: int, places: int, threshold: float, overlap: float, most: int
) -> None:
    one = some(rows, places, seed)
    answer = Suppress(threshold, overlap, 90, most, relative=False)(one)
    for row in range(rows):
        assert listed(answer, row) == by_torchvision(one, row, threshold, overlap, most)


def test_rows_after_the_last_box_are_zero_and_the_best_is_first() -> None:
    boxes, scores, classes, counts, places = Suppress(0.6, 0.5, 50, 20, relative=False)(some(3, 9, 1))
    for row, count in enumerate(counts.tolist()):
        assert 0 < count < 20
        assert (scores[row, :count].diff() <= 0).all()
        assert (scores[row, :count] > 0.6).all()
        for values in (boxes, scores, classes, places):
            assert not values[row, count:].any()


def test_nothing_above_the_threshold_is_an_empty_list() -> None:
    one = seen(torch.rand(2, 5, 4), torch.full((2, 5, 3), 0.2))
    for values in Suppress(0.3, 0.5, 10, 4, relative=False)(one):
        assert not values.any()


def test_no_more_than_the_most_are_answered() -> None:
    corners = torch.tensor([[x, y, x + 4, y + 4] for x, y in itertools.product(range(0, 60, 6), repeat=2)]).float()
    one = seen(corners[None], torch.full((1, 100, 3), 0.9))
    answer = Suppress(0.3, 0.5, 300, 7, relative=False)(one)
    assert answer[3].tolist() == [7]
    assert answer[0].shape == (1, 7, 4)


def test_things_of_other_classes_do_not_suppress() -> None:
    one = seen(torch.tensor([[[5.0, 5, 20, 20]]]), torch.tensor([[[0.9, 0.8, 0.1]]]))
    assert listed(Suppress(0.3, 0.5, 10, 5, relative=False)(one), 0) == [(0, 0), (0, 1)]


def test_boxes_can_be_parts_of_the_picture() -> None:
    one = some(2, 9, 3)
    px, parts = (Suppress(0.3, 0.5, 50, 12, relative=relative)(one)[0] for relative in (False, True))
    assert torch.allclose(parts * SIDE, px)
    assert parts.max() <= 1


@pytest.mark.parametrize("links", [ROUNDS, ROUNDS + 3])
def test_chains_are_followed_to_a_stated_length_and_never_leave_two_that_overlap(links: int) -> None:
    """Each box overlaps the next one only, and would suppress it."""
    x = 4.0 * torch.arange(links)
    boxes = torch.stack([x, torch.zeros(links), x + 16, torch.full((links,), 16.0)], 1)[None]
    scores = torch.linspace(0.9, 0.5, links)[None, :, None]
    one = seen(boxes, scores)
    overlap = 0.5
    kept = [place for place, _ in listed(Suppress(0.3, overlap, 60, 40, relative=False)(one), 0)]
    expected = list(range(0, links, 2))
    assert kept == expected if links <= ROUNDS else set(kept) <= set(expected)
    pairs = box_iou(boxes[0, kept], boxes[0, kept]).fill_diagonal_(0)
    assert (pairs <= overlap).all()


def test_float64_answers_float64() -> None:
    one = Seen(*(part.double() for part in some(2, 9, 4)))
    boxes, scores, classes, counts, places = Suppress(0.3, 0.5, 50, 12, relative=False).double()(one)
    assert boxes.dtype == scores.dtype == torch.float64
    assert classes.dtype == counts.dtype == places.dtype == torch.int64

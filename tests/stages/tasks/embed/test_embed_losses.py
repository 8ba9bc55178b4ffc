import math

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from stages.tasks.embed.losses import Centres, arcface, triplet

TARGETS = torch.tensor([0, 1, 2, 0, 1, 2, 2])


def unit(rows: int = 7, size: int = 5) -> torch.Tensor:
    return F.normalize(torch.randn(rows, size, generator=torch.Generator().manual_seed(0)))


def test_centres_give_cosines() -> None:
    centres = Centres(3, 5)
    vectors = 3 * unit()
    expected = F.cosine_similarity(vectors[:, None], centres.centres[None], dim=2)
    assert torch.allclose(centres(vectors), expected, atol=1e-6)
    with torch.autocast("cpu", torch.bfloat16):
        assert centres(vectors.bfloat16()).dtype == torch.float32


def test_arcface_is_the_papers_equation() -> None:
    cosines = Centres(3, 5)(unit()).detach()
    losses = []
    for row, target in zip(cosines, TARGETS.tolist(), strict=True):
        logits = [math.cos(math.acos(c) + (0.4 if i == target else 0)) for i, c in enumerate(row.tolist())]
        own = math.exp(10 * logits[target])
        losses.append(-math.log(own / sum(math.exp(10 * value) for value in logits)))
    assert arcface(cosines, TARGETS, 0.4, 10).item() == pytest.approx(sum(losses) / 7, rel=1e-5)
    plain = F.cross_entropy(10 * cosines, TARGETS)
    assert arcface(cosines, TARGETS, 0.0, 10).item() == pytest.approx(plain.item(), rel=1e-4)


def test_arcface_has_finite_slopes_at_the_ends() -> None:
    cosines = torch.tensor([[1.0, -1.0], [-1.0, 1.0]], requires_grad=True)
    arcface(cosines, torch.tensor([0, 0]), 0.5, 30).backward()
    assert cosines.grad is not None
    assert cosines.grad.isfinite().all()


def test_the_triplets_are_the_hardest_ones_of_the_batch() -> None:
    vectors = unit()
    losses = []
    for anchor in range(7):
        apart = [(vectors[anchor] - vectors[other]).norm().item() for other in range(7)]
        same = [apart[i] for i in range(7) if TARGETS[i] == TARGETS[anchor] and i != anchor]
        others = [apart[i] for i in range(7) if TARGETS[i] != TARGETS[anchor]]
        losses.append(max(0.0, 0.3 + max(same) - min(others)))
    assert triplet(vectors, TARGETS, 0.3).item() == pytest.approx(sum(losses) / 7, rel=1e-5)


def test_rows_without_a_triplet_have_no_loss() -> None:
    vectors = unit().requires_grad_()
    assert triplet(vectors, torch.arange(7), 0.3) == 0
    assert triplet(vectors, torch.zeros(7, dtype=torch.long), 0.3) == 0
    lonely = torch.tensor([0, 0, 1, 1, 1, 1, 5])
    assert triplet(vectors, lonely, 2.0) > 2
    triplet(vectors, lonely, 0.3).backward()
    assert vectors.grad is not None
    assert vectors.grad.isfinite().all()


def test_rows_that_are_equal_have_finite_slopes() -> None:
    vectors = unit()[[0, 0, 1, 1]].clone().requires_grad_()
    triplet(vectors, torch.tensor([0, 0, 1, 0]), 0.3).backward()
    assert vectors.grad is not None
    assert vectors.grad.isfinite().all()

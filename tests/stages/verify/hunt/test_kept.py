"""Which of the rows that a search found become samples for other machines."""

import numpy as np
import pytest

from stages.task import Matched
from stages.verify.checks import hunt, pooled
from stages.verify.examination import Examination
from stages.verify.hunt.found import Found
from stages.verify.hunt.judge import Judged
from stages.verify.reference import Outputs
from tests.stages.verify.identity import Identity, examination, faithful

ROWS = np.random.default_rng(0).uniform(size=(50, 3))
PLACES = 100


class Mask(Identity):
    """In a row are 100 places; as many of them are ties as its first score says in per cent."""

    def decide(self, outputs: Outputs) -> tuple[np.ndarray, np.ndarray]:
        ties = np.arange(PLACES) < PLACES * outputs["scores"][:, :1] - 0.5
        return np.zeros(ties.shape, np.int64), np.where(ties, 0.0, 1.0)


class Things(Mask):
    def match(self, found: Outputs, truth: Outputs) -> Matched:
        decisions, margins = self.decide(truth)
        return Matched(found, decisions, decisions, margins, np.ones(len(decisions)))


def kept(reference: Identity, ties: float) -> list[str]:
    """What is kept of one row with this part of its places near a tie."""
    exam: Examination = examination(faithful, ROWS, reference=reference)
    list(pooled.check(exam))
    feeds = {"x": np.array([[ties, 0.5, 0.5]], np.float32)}
    found = Found("margins", feeds, ("least margin",), np.zeros(1), np.ones(1), 1)
    group = exam.compare([(feeds, faithful(feeds), "hunted")])
    margin = float(group.decisions().margins[0])
    return [batch.where for batch in hunt._best(exam, [Judged(found, 0, group, margin)])]


@pytest.mark.parametrize(("ties", "is_kept"), [(0.0, True), (0.01, True), (0.05, True), (0.06, False), (1.0, False)])
def test_a_mask_with_a_few_unsure_places_is_kept(ties: float, is_kept: bool) -> None:
    """Those places are marked in the sample."""
    assert kept(Mask(), ties) == ["hunted for margins (least margin)"] * is_kept


@pytest.mark.parametrize(("ties", "is_kept"), [(0.0, True), (0.01, False)])
def test_of_a_list_no_place_can_be_marked(ties: float, is_kept: bool) -> None:
    assert len(kept(Things(), ties)) == is_kept

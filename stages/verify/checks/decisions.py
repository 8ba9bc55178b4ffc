"""The decision certificate: how often the file decides otherwise than the network, and how sure that is."""

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from deploy.passport import Check
from stages.dataset import Array
from stages.verify.compare import Decisions
from stages.verify.examination import Examination, limited
from stages.verify.statistics import CONFIDENCE, mcnemar, paired_interval, rate_bound, rows_needed

_LISTED = 100  # flipped rows in the findings, those of the largest margins; all of them are counted
_DECADES = 4  # bins of the margin beyond the noise: up to 10, 100, 1,000 and 10,000 times, and more


def check(exam: Examination) -> Iterator[Check]:
    """Yield a check that no test row is decided otherwise, and one of the rate that this shows where it was asked for.

    A row whose margin is within the noise is a tie, which rounding alone may decide; ties are no faults, yet they count
    for the rate: whoever reads "below 0.03 %" means every decision.
    """
    if exam.test is None or not exam.test.decided:
        return
    decisions = exam.test.decisions()
    flips, ties = exam.test.flips(exam.tie_margin)
    rows = len(decisions.rows)
    bound = rate_bound(flips + ties, rows)
    exam.findings["decisions"] = {
        "rows": rows,
        "flips": flips,
        "ties": ties,
        "rate_bound": bound,
        "confidence": CONFIDENCE,
        "tie_margin": exam.tie_margin,
        "margins": _by_margin(decisions, exam.tie_margin),
        "flipped": _flipped(decisions, exam.tie_margin),
    }
    accuracy = _accuracy(decisions, exam.material.targets)
    detail = f"{flips} of {rows} test rows decided otherwise, {ties} more were ties; rate {_below(bound)}"
    if accuracy:
        exam.findings["decisions"]["accuracy"] = accuracy
        low, high = accuracy["interval"]
        points = (f"{100 * value:+.2f} %" for value in (accuracy["difference"], low, high))
        detail += "; accuracy differs by {} ({} to {})".format(*points)
    yield limited("decisions", flips, 0, detail)
    if exam.config.max_flip_rate:
        yield _rate(exam.config.max_flip_rate, flips + ties, rows, bound)


def _rate(wanted: float, otherwise: int, rows: int, bound: float) -> Check:
    """Check that the rows rule out a rate; where they are too few for any model, say how many it takes."""
    detail = f"{otherwise} of {rows} rows decided otherwise, ties included: rate {_below(bound)}"
    if bound > wanted:
        needed = rows_needed(wanted, otherwise)
        detail += f"; to show {wanted:.3g} it takes {needed:,} test rows with no more than {otherwise} of them"
    return limited("flip rate", bound, wanted, detail)


def _below(bound: float) -> str:
    """Return a bound in percent, rounded up to two figures: never less than what was shown."""
    percent = 100 * bound
    unit = 10.0 ** (math.floor(math.log10(percent)) - 1)
    return f"below {math.ceil(percent / unit - 1e-9) * unit:.4g} % at {CONFIDENCE * 100:.0f} %"


def _by_margin(decisions: Decisions, tie_margin: float) -> list[dict[str, Any]]:
    """Return rows and flips by margin: within the noise, then in decades beyond it."""
    decades = range(_DECADES + 1) if tie_margin else ()
    edges = [0.0, *(tie_margin * 10.0**decade for decade in decades), math.inf]
    margins, flipped = decisions.margins, decisions.flipped
    found = []
    for low, high in itertools.pairwise(edges):
        inside = (margins > low) & (margins <= high) if low else margins <= high
        upper = None if math.isinf(high) else high
        found.append({"above": low, "to": upper, "rows": int(inside.sum()), "flips": int((inside & flipped).sum())})
    return found


def _flipped(decisions: Decisions, tie_margin: float) -> list[dict[str, Any]]:
    """Return the flipped rows with the largest margins, largest first."""
    flipped = decisions.where(decisions.flipped)
    worst = flipped.where(np.argsort(-flipped.margins, kind="stable")[:_LISTED])
    columns = (worst.rows, worst.margins, worst.expected, worst.found)
    return [
        {
            "row": row,
            "margin": margin if math.isfinite(margin) else None,
            "tie": margin <= tie_margin,
            "expected": expected,
            "found": found,
        }
        for row, margin, expected, found in zip(*(column.tolist() for column in columns), strict=True)
    ]


def _accuracy(decisions: Decisions, targets: Array | None) -> dict[str, Any]:
    """Return how the accuracies of file and network differ; empty where decisions are not compared with targets."""
    if targets is None:
        return {}
    wanted = targets[decisions.rows]
    right, was_right = decisions.found == wanted, decisions.expected == wanted
    gained, lost = int((right & ~was_right).sum()), int((~right & was_right).sum())
    return {
        "model": float(right.mean()),
        "reference": float(was_right.mean()),
        "difference": (gained - lost) / len(wanted),
        "gained": gained,
        "lost": lost,
        "interval": list(paired_interval(gained, lost, len(wanted))),
        "p_value": mcnemar(gained, lost),
    }

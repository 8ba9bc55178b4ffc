"""Inputs made or sought to break the model: nasty ones from a list, values that are no numbers, and hunted ones."""

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from deploy import onnxfile
from deploy.errors import OnnxwayError
from deploy.passport import Check
from stages.dataset import Array
from stages.task import Matching
from stages.verify.cases import empty, nasty, unfinite
from stages.verify.checks.shapes import compared
from stages.verify.compare import Comparison
from stages.verify.examination import Examination
from stages.verify.hunt.budget import Budget
from stages.verify.hunt.found import Found, neighbours
from stages.verify.hunt.judge import GROUP, Judged, judge
from stages.verify.hunt.search import Effort, Quarry, search
from stages.verify.material import count, row
from stages.verify.reference import Outputs, Transparent
from stages.verify.worst import Batch

_SEARCHING = 0.7  # part of the budget; the rest is for judging what was found
_CROWD = 8  # rows in whose noise a nasty input is judged: of one row alone it is now and then small by luck
_KEPT = 2  # rows of each search that become regression samples
_UNSURE = 0.05  # share of the places of such a row at which rounding may turn what is decided

# ONNX Runtime's CPU kernels of these may drop a NaN, where torch passes it on: a faithful graph then hides it.
_DROP_NAN = frozenset({"MaxPool", "GlobalMaxPool", "ReduceMax", "ReduceMin", "Max", "Min", "LSTM", "GRU", "RNN"})
_ENDS_ON_NO_ROWS = frozenset({"LSTM", "GRU", "RNN"})  # 1.31.1, on the CPU: std::terminate, not an exception


def check(exam: Examination) -> Iterator[Check]:
    """Yield the checks of nasty inputs, of hunted ones, of NaN and infinity where they can be fed, and of no rows.

    Nothing is hunted on a model that the test rows refused already, nor without a budget.
    """
    findings = exam.findings["hunt"] = {}
    yield _nasty(exam)
    if any(spec.dtype.startswith("float") for spec in exam.reference.input.tensors):
        yield _unfinite(exam, findings)
    if exam.config.budget_s > 0 and _passed_so_far(exam):
        yield from _hunted(exam, findings)
    yield _empty(exam)  # last, because a provider that trips over it may not run again


def _nasty(exam: Examination) -> Check:
    own = exam.reference.own if isinstance(exam.reference, Transparent) else {}
    generator = np.random.default_rng(0)
    inputs = list(nasty(exam.reference.input, exam.sample(), own))
    crowds = ((name, neighbours(feeds, exam.reference.input, _CROWD - 1, generator)) for name, feeds in inputs)
    judged = [one for name, crowd in crowds if (one := compared(exam, crowd, name)) is not None]
    detail = f"{len(judged)} inputs: checkerboards, stripes, single pixels, denormals, sizes around the network's own"
    return exam.group("nasty inputs", judged, detail)


def _passed_so_far(exam: Examination) -> bool:
    ratios = exam.findings.get("ratios", {}).values()
    flips = exam.test.flips(exam.tie_margin)[0] if exam.test else 0
    return all(ratio <= exam.config.limit for ratio in ratios) and not flips


def _hunted(exam: Examination, findings: dict[str, Any]) -> Iterator[Check]:
    """Yield a check of what was sought in the reference, and one of what was sought in the model's own answers.

    The latter were chosen for their error: of many errors the largest is large on an honest model too. They are judged
    by the noise of those rows that the same search chose for the error of torch float32.
    """
    begun = time.monotonic()
    budget = Budget(exam.config.budget_s)
    quarry = Quarry(exam.reference, exam.answer, exam.sample(), exam.noise, 4 * exam.tie_margin)
    found = list(search(quarry, budget.part(_SEARCHING), Effort()))
    judged = list(judge(exam, found, budget))
    exam.hunted += _best(exam, judged)
    findings["searches"] = [_told(part) for part in found]
    findings["layers"] = sorted({layer for part in found for layer in part.layers})
    findings["kept"] = [batch.where for batch in exam.hunted]
    findings["seconds"] = round(time.monotonic() - begun, 2)
    sought = [one for one in judged if one.found.kind != "answers"]
    kinds = ", ".join(dict.fromkeys(one.found.kind for one in sought))
    yield exam.group("hunted inputs", _groups(exam, sought), f"{len(sought)} inputs sought for {kinds}")
    noise = _noise([one for one in sought if one.found.kind == "divergence"], exam.noise)
    chosen = [one for one in judged if one.found.kind == "answers"]
    detail = f"{len(chosen)} inputs sought for the model's largest error, by the noise of inputs sought for torch's"
    yield replace(exam, noise=noise).group("hunted answers", _groups(exam, chosen), detail)


def _groups(exam: Examination, judged: list[Judged]) -> list[Comparison]:
    """Return the groups of these rows, those that time kept too small as one."""
    groups = list({id(one.group): one.group for one in judged}.values())
    small = [group for group in groups if group.rows < GROUP]
    together = Comparison(exam.reference)
    for group in small:
        together.merge(group)
    return [group for group in groups if group.rows >= GROUP] + [together] * bool(small)


def _noise(judged: list[Judged], pooled: dict[str, float]) -> dict[str, float]:
    """Return the largest noise of all groups and the pooled one, by output."""
    return {name: max([noise, *(one.group.noise().get(name, 0.0) for one in judged)]) for name, noise in pooled.items()}


def _told(found: Found) -> dict[str, Any]:
    """Return what a search reached, as JSON values."""
    best = int(np.argmax(found.after))
    return {
        "kind": found.kind,
        "rows": count(found.feeds),
        "steps": found.steps,
        "before": _number(found.before.max()),
        "after": _number(found.after.max()),
        "best": found.what[best],
    }


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _best(exam: Examination, judged: list[Judged]) -> list[Batch]:
    """Return the best rows of each search that another machine can repeat.

    That is: no tie within the noise that the row itself has (of many decisions in a row, as in a mask, a few may be),
    and no noise so large that it would hide all others'.
    """
    kept: dict[str, list[Batch]] = {}
    for one in sorted(judged, key=lambda one: -one.found.after[one.number]):
        quiet = all(noise <= exam.config.limit / 2 * exam.noise[name] for name, noise in one.group.noise().items())
        rows = kept.setdefault(one.found.kind, [])
        if quiet and len(rows) < _KEPT and _settled(exam, one):
            where = f"hunted for {one.found.kind} ({one.found.what[one.number]})"
            rows.append(Batch(one.group.worst_ratio(exam.noise), row(one.found.feeds, one.number), where))
    return [batch for rows in kept.values() for batch in rows]


def _settled(exam: Examination, one: Judged) -> bool:
    """Tell whether a row is no tie, or can be marked at the few places where it is one."""
    margin = 2 * exam.tie_margin_of(one.group)
    if one.margin > margin:
        return True
    if isinstance(exam.reference, Matching):
        return False
    _, margins = exam.reference.decide(exam.reference.rounded(row(one.found.feeds, one.number)))
    return margins.ndim > 1 and float((margins <= margin).mean()) <= _UNSURE


def _unfinite(exam: Examination, findings: dict[str, Any]) -> Check:
    """Check that NaN and infinity stay in their own row, and come out where the twin lets them out."""
    lossy = sorted(_DROP_NAN & set(onnxfile.inspect(exam.model.read_bytes()).operators))
    wrong, hidden = [], 0
    for name, feeds in unfinite(exam.reference.input, exam.sample()):
        with np.errstate(all="ignore"):
            truth, found = exam.reference.truth(feeds), exam.answer(feeds)
        expected, seen = _finite_rows(truth), _finite_rows(found)
        if (expected & ~seen).any():
            wrong.append(f"{name}: a row that is finite in float64 is not")
        hidden += int((~expected & seen).sum())
        if (~expected & seen).any() and not lossy:
            wrong.append(f"{name}: the answer is finite where float64's is not")
    findings["hidden"] = hidden
    detail = (
        f"they stay in their row, as in the twin; {hidden} hidden by {', '.join(lossy)}"
        if hidden
        else ("they come out of the rows that hold them, as in the twin, and of no other")
    )
    return Check("NaN and infinity", not wrong, detail=wrong[0] if wrong else detail)


def _finite_rows(outputs: Outputs) -> Array:
    real = [array.reshape(len(array), -1) for array in outputs.values() if array.dtype.kind == "f"]
    finite: Array = np.all([np.isfinite(array).all(1) for array in real], axis=0)
    return finite


def _empty(exam: Examination) -> Check:
    """Check that a batch of no rows is answered with none, or refused in words; servers never send one."""
    deadly = sorted(_ENDS_ON_NO_ROWS & set(onnxfile.inspect(exam.model.read_bytes()).operators))
    if deadly:
        return Check("empty batch", True, detail=f"not tried: ONNX Runtime's {deadly[0]} ends the process on no rows")
    try:
        found = exam.answer(empty(exam.sample()))
    except OnnxwayError as error:
        return Check("empty batch", True, detail=f"refused: {error}")
    wrong = [f"{name} has shape {array.shape}" for name, array in found.items() if array.shape[:1] != (0,)]
    return Check("empty batch", not wrong, detail=wrong[0] if wrong else "no rows in, no rows out")

"""Blame: where a failing model first answers otherwise than the network it was made from."""

import shutil
from dataclasses import replace
from pathlib import Path

from deploy import files
from deploy.errors import BundleError, OnnxwayError
from deploy.providers import open_session
from deploy.rows import fixed_batch
from deploy.schema import to_plain
from stages.observer import Observer
from stages.verify.blame import trace
from stages.verify.blame.case import Case
from stages.verify.blame.deadline import Deadline, OutOfTimeError
from stages.verify.blame.feeds import candidates, exactly, fewer
from stages.verify.blame.found import Blame, StepFigure
from stages.verify.blame.origin import OnnxOrigin, Origin, TorchOrigin
from stages.verify.blame.steps import FILE as STEP
from stages.verify.blame.steps import Judge, Step, left_out, steps_of, walk
from stages.verify.material import count
from stages.verify.precision import provider_options
from stages.verify.reference import Answer
from stages.verify.worst import Batch

__all__ = ["FILE", "FOLDER", "Blame", "Case", "OnnxOrigin", "Origin", "TorchOrigin", "blame", "record"]

FILE = "blame.json"
FOLDER = "repro"

_LEAST = 3.5  # faithful graphs reach 3.4 on few rows: below, nothing is to be found
_SHARE = 0.6


def record(case: Case, out: Path, observer: Observer) -> Blame | None:
    """Blame a failing verdict and say it; after a passing one, remove what an earlier verdict left in `out`."""
    (out / FILE).unlink(missing_ok=True)
    shutil.rmtree(out / FOLDER, ignore_errors=True)
    if case.passport or case.config.blame_s <= 0:
        return None
    observer.say("looking for where the answers first differ")
    found = blame(case, out, case.config.blame_s)
    observer.say(found.sentence)
    return found


def blame(case: Case, out: Path, seconds: float = 60.0) -> Blame:
    """Name the first step and the first node that break; write `blame.json` and `repro/` into `out`.

    Never raises for what it finds or cannot find: a failing verdict stays one. Takes at most about `seconds` (what runs
    when they are over is ended first).
    """
    deadline = Deadline(seconds)
    found = Blame("")
    try:
        found = _blame(case, out, deadline)
    except OutOfTimeError:
        found = Blame(f"where the answers first differ was not found within {seconds:.0f} s")
    except Exception as error:  # whatever goes wrong here must not turn a verdict into a crash
        reason = f"{type(error).__name__}: {str(error).partition(chr(10))[0][:300]}"
        found = Blame(f"where the answers first differ could not be traced: {reason}")
    found = replace(found, seconds=round(deadline.elapsed(), 3))
    files.write_json(out / FILE, to_plain(found))
    return found


def _blame(case: Case, out: Path, deadline: Deadline) -> Blame:
    form = next((check for check in case.passport.failures() if check.name == "form"), None)
    if form is not None:
        return Blame(f"the file does not have the form that was asked for: {form.detail}", step="form")
    try:
        shown = _failing(case, deadline)
    except BundleError as error:
        return Blame(f"the file on disk cannot be opened: {error}", step=STEP)
    if shown is None:
        names = ", ".join(check.name for check in case.passport.failures())
        return Blame(f"{case.model.name} alone answers rightly on all inputs that were tried; what failed: {names}")
    batch, judge = shown
    case, not_made = _exportable(case)
    steps = steps_of(case)
    figures: list[StepFigure] = []
    broken: Step | None = None
    try:
        for step, figure in walk(steps, judge, deadline):
            figures.append(figure)
            broken = step if figure.broken else None
    except OutOfTimeError:
        not_made.append("later steps: out of time")
    found = Blame(
        sentence="",
        step=broken.name if broken else "",
        steps=tuple(figures),
        feeds=_words(batch),
        left_out=(*left_out(case.origin), *not_made),
    )
    if broken is None:
        return replace(found, sentence="the failure could not be repeated step by step; see the checks that failed")
    return trace.inside(case, broken, found, judge, out / FOLDER, deadline)


def _exportable(case: Case) -> tuple[Case, list[str]]:
    """Return the case without its origin, and why, where torch cannot export that again."""
    if isinstance(case.origin, TorchOrigin):
        try:
            _ = case.origin.optimized
        except OnnxwayError as error:
            return replace(case, origin=None), [f"a fresh export: {error}"]
    return case, []


def _failing(case: Case, deadline: Deadline) -> tuple[Batch, Judge] | None:
    """Return a small batch that the file answers wrongly on a provider that was verified.

    Where no batch alone is beyond the limit (a rare row, seen by its largest error), the worst one is followed, with a
    limit that it just exceeds.
    """
    worst: tuple[Batch, float] | None = None
    fixed = fixed_batch(case.reference.input.tensors, case.reference.output.tensors)
    for provider in case.config.providers:
        session = open_session(case.model, provider, provider_options(case.config.precision, provider))
        tries = candidates(case.worst, case.material, case.reference)
        for batch in exactly(tries, fixed) if fixed else tries:
            deadline.check()
            found = _judge(case, batch).figure("", lambda: session.run)  # noqa: B023
            if found.broken and fixed:
                return batch, _judge(case, batch)
            if found.broken:
                return _smallest(case, batch, session.run)
            if found.ratio is not None and found.ratio > (worst[1] if worst else _LEAST):
                worst = batch, found.ratio
    if worst is None:
        return None
    return worst[0], _judge(case, worst[0], _SHARE * worst[1])


def _smallest(case: Case, batch: Batch, answer: Answer) -> tuple[Batch, Judge]:
    for part in fewer(_judge(case, batch), batch, answer):
        judge = _judge(case, part)
        if judge.figure("", lambda: answer).broken:
            return part, judge
    return batch, _judge(case, batch)


def _judge(case: Case, batch: Batch, limit: float | None = None) -> Judge:
    return Judge(case.rounded, case.passport.noise, limit or case.passport.limit, batch.feeds)


def _words(batch: Batch) -> str:
    rows = count(batch.feeds)
    return f"{rows} row{'s' if rows > 1 else ''}: {batch.where}"

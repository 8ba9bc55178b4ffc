"""Looking into a suspect graph while it runs as it failed, and measuring how far its tensors are from trusted ones."""

import math
from collections.abc import Sequence

import numpy as np

from deploy.errors import OnnxwayError
from deploy.providers import Session, open_session
from stages.dataset import Array
from stages.verify.blame.deadline import Deadline
from stages.verify.blame.flow import Flow
from stages.verify.blame.steps import Step
from stages.verify.blame.trusted import Trusted, marked, run_alone
from stages.verify.noise import Pool
from stages.verify.reference import Feeds


class Probe:
    """A graph on one provider at one optimization level, and its inner tensors.

    Without optimization all are marked as outputs at once. With it, each one in a session of its own: a marked tensor
    cannot be fused away, and so many marks would mend what is to be found.
    """

    def __init__(self, flow: Flow, feeds: Feeds, step: Step, deadline: Deadline) -> None:
        self.flow, self.feeds, self.step = flow, feeds, step
        self._deadline = deadline
        self._values: dict[str, Array | None] = dict(feeds)
        if step.optimize == "none":
            self._session = self._open(flow.tensors)

    def value(self, name: str) -> Array | None:
        """Return a tensor's value; None when the graph cannot be run as far as that."""
        if name not in self._values:
            self._deadline.check()
            try:
                self._values[name] = self._run(name)
            except OnnxwayError:
                self._values[name] = None
        return self._values[name]

    def _run(self, name: str) -> Array:
        if self.step.optimize == "none":
            try:
                return self._session.run(self.feeds, [name])[name]
            except OnnxwayError:  # a later node may be what cannot run
                return run_alone(self.flow.up_to(name), self.feeds)[name]
        return self._open([name]).run(self.feeds)[name]

    def _open(self, names: list[str]) -> Session:
        data = marked(self.flow.proto, names).SerializeToString()
        step = self.step
        return open_session(data, step.provider, step.options, optimize=step.optimize, warmup=self.feeds)


class Meter:
    """How far tensors of a probe are from the trusted ones, in noise; unit: the least relative noise of a value."""

    def __init__(self, probe: Probe, trusted: Trusted, pairs: dict[str, str], limit: float, unit: float) -> None:
        self.probe, self.trusted, self.pairs, self.limit, self.unit = probe, trusted, pairs, limit, unit
        self._ratios: dict[str, float] = {}

    def ratio(self, name: str) -> float | None:
        """Return a tensor's noise ratio, infinity when it cannot be compared; None when it has no counterpart."""
        if name not in self.pairs:
            return None
        if name not in self._ratios:
            try:
                exact, rounded = self.trusted.exact(self.pairs[name]), self.trusted.rounded(self.pairs[name])
            except (KeyError, OnnxwayError):
                return None
            self._ratios[name] = ratio(self.probe.value(name), rounded, exact, self.unit)
        return self._ratios[name]

    def broken(self, name: str) -> bool | None:
        """Return whether a tensor is beyond the limit; None when that cannot be told."""
        found = self.ratio(name)
        return None if found is None else not found <= self.limit

    def known(self, names: Sequence[str]) -> list[str]:
        """Return those that have a counterpart."""
        return [name for name in names if name in self.pairs]


def ratio(found: Array | None, rounded: Array, exact: Array, unit: float = 0.0) -> float:
    """Return the noise ratio of one tensor; infinity for another shape, for NaN, and for whole numbers that differ."""
    if found is None or found.shape != exact.shape:
        return math.inf
    if exact.dtype.kind != "f":
        return 0.0 if np.array_equal(found, exact) else math.inf
    same = np.isfinite(exact) & np.isfinite(rounded)
    if not np.array_equal(found[~same], rounded[~same], equal_nan=True) or not np.isfinite(found[same]).all():
        return math.inf
    pool = Pool()
    pool.add(found[same], rounded[same], exact[same])
    value = pool.ratio(unit * math.sqrt(pool.truth / max(pool.count, 1)))
    return value if not math.isnan(value) else math.inf

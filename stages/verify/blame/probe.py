"""Looking into a suspect graph while it runs as it failed, and measuring how far its tensors are from trusted ones."""

import math
from collections.abc import Iterator, Sequence

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

_SLIDE = 3


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
    """How far tensors of a probe are from the trusted ones, in noise; unit: the least relative noise of a value.

    Where one graph does in two nodes what the other does in one (a batch norm folded into its convolution), a pair that
    differs slides along to the reader that only one of them has, if the values agree there.
    """

    def __init__(self, probe: Probe, trusted: Trusted, pairs: dict[str, str], limit: float, unit: float) -> None:
        self.probe, self.trusted, self.pairs, self.limit, self.unit = probe, trusted, dict(pairs), limit, unit
        self._ratios: dict[str, float | None] = {}

    def ratio(self, name: str) -> float | None:
        """Return a tensor's noise ratio, infinity when it cannot be compared; None when it has no counterpart."""
        if name not in self._ratios:
            theirs = self.pairs.get(name)
            found = self._compare(name, theirs) if theirs is not None else None
            if theirs is not None and found is not None and not found <= self.limit:
                found = self._slid(name, theirs, found)
                if self._guessed_wrong(name):
                    found = None
                    del self.pairs[name]
            self._ratios[name] = found
        return self._ratios[name]

    def broken(self, name: str) -> bool:
        """Return whether a tensor is known to be beyond the limit."""
        found = self.ratio(name)
        return found is not None and not found <= self.limit

    def known(self, names: Sequence[str]) -> list[str]:
        """Return those that have a counterpart."""
        return [name for name in names if name in self.pairs]

    def _compare(self, name: str, theirs: str) -> float | None:
        try:
            exact, rounded = self.trusted.exact(theirs), self.trusted.rounded(theirs)
        except (KeyError, OnnxwayError):
            return None
        return ratio(self.probe.value(name), rounded, exact, self.unit)

    def _guessed_wrong(self, name: str) -> bool:
        """Return whether a pair was made by order alone, of other operators, and does not even have one shape."""
        theirs, flow = self.pairs.get(name), self.trusted.flow
        if (
            theirs is None
            or theirs == name
            or flow is None
            or theirs not in flow.makers
            or name in self.probe.flow.outputs
        ):
            return False
        ours, other = self.probe.flow.nodes[self.probe.flow.makers[name]], flow.nodes[flow.makers[theirs]]
        value = self.probe.value(name)
        return ours.op_type != other.op_type and value is not None and value.shape != self.trusted.exact(theirs).shape

    def _slid(self, name: str, theirs: str, found: float) -> float:
        for later in _chain(self.trusted.flow, theirs):
            agreed = self._compare(name, later)
            if agreed is not None and agreed <= self.limit:
                self.pairs[name] = later
                return agreed
        for later in _chain(self.probe.flow, name):
            if later in self.pairs:
                break
            agreed = self._compare(later, theirs)
            if agreed is not None and agreed <= self.limit:
                self.pairs[later] = self.pairs.pop(name)
                return agreed
        return found


def _chain(flow: Flow | None, name: str) -> Iterator[str]:
    """Yield the few outputs behind a tensor, as long as a single node reads it."""
    for _ in range(_SLIDE):
        readers = flow.readers.get(name, []) if flow is not None else []
        if flow is None or len(readers) != 1 or name in flow.outputs:
            return
        name = flow.nodes[readers[0]].output[0]
        yield name


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

"""The first node of a suspect graph whose answers are wrong, and whether it is wrong by itself."""

from dataclasses import dataclass

from onnx import NodeProto

from deploy.errors import OnnxwayError
from stages.dataset import Array
from stages.verify.blame.alone import alone, narrow
from stages.verify.blame.deadline import OutOfTimeError
from stages.verify.blame.flow import Flow, inputs_of
from stages.verify.blame.found import Error
from stages.verify.blame.probe import Meter, ratio
from stages.verify.blame.trusted import compute, run_alone

_NOTABLE = 1.0  # alone and on equal inputs a faithful node gives its counterpart's very bits: any noise is the node's

_NEAR = 0.5  # of the limit: inputs so far off have brought the error along


@dataclass(frozen=True)
class Located:
    """The node, how its error came about, noise ratios of its output in the graph and alone, and its counterpart.

    inputs, expected    right inputs of the node, and what it should answer for them (for the reproduction)
    """

    number: int
    error: Error
    ratio: float | None = None
    local_ratio: float | None = None
    twin: NodeProto | None = None
    inputs: dict[str, Array] | None = None
    expected: dict[str, Array] | None = None


@dataclass(frozen=True)
class Replay:
    """One node alone on right inputs: its noise ratio to what it should answer, and how it was tried."""

    ratio: float
    inputs: dict[str, Array]
    expected: dict[str, Array]


def locate(meter: Meter, cuts: list[str]) -> Located | None:
    """Return the node at which the values first differ, or None when no inner tensor can be compared.

    Cut points are bisected: as every path crosses them, all that lies before a right one is right where it matters.
    Between the last right and the first wrong one, nodes are taken one by one. The node is then replayed alone on right
    inputs. If it is right there, its error came in with its inputs: each node before it is replayed in turn.
    """
    number = _first_wrong(meter, *_bisect(meter, cuts))
    if number is None:
        return None
    try:
        return _judge(meter, number)
    except OutOfTimeError:
        return Located(number, "", _ratio_of(meter, number))


def _bisect(meter: Meter, cuts: list[str]) -> tuple[int, int]:
    """Return (after, up to): numbers of the nodes that make the last right cut point and the first wrong one."""
    makers = meter.probe.flow.makers
    known = meter.known(cuts)
    low, high = -1, len(known)
    while high - low > 1:
        middle = (low + high) // 2
        if meter.broken(known[middle]):
            high = middle
        else:
            low = middle
    first = makers[known[low]] if low >= 0 else -1
    return first, makers[known[high]] if high < len(known) else len(meter.probe.flow.nodes) - 1


def _first_wrong(meter: Meter, after: int, up_to: int) -> int | None:
    """Return the first node in (after, up to] whose output is wrong, unless all who read it are right again."""
    flow = meter.probe.flow
    for number in range(after + 1, up_to + 1):
        for name in flow.nodes[number].output:
            if name and meter.broken(name):
                readers = flow.readers.get(name, [])
                mended = [not meter.broken(out) for r in readers for out in flow.nodes[r].output if out in meter.pairs]
                if number == up_to or name in flow.outputs or not mended or not all(mended):
                    return number
    return None


def _judge(meter: Meter, number: int) -> Located:
    located = _local(meter, number)
    if located is not None:
        return located
    flow = meter.probe.flow
    candidates = [_notable(meter, earlier) for earlier in flow.before(number)]
    found = max((c for c in candidates if c is not None), key=lambda c: c.local_ratio or 0.0, default=None)
    if found is not None:
        return found
    before = [meter.ratio(name) or 0.0 for name in inputs_of(flow.nodes[number])]
    error: Error = "inherited" if max(before, default=0.0) > _NEAR * meter.limit else "combined"
    replay = _replay(meter, number, by_position=False)
    twin = _twin(meter, number)
    if replay is None:
        return Located(number, "", _ratio_of(meter, number), None, twin)
    return Located(number, error, _ratio_of(meter, number), replay.ratio, twin, replay.inputs, replay.expected)


def _local(meter: Meter, number: int) -> Located | None:
    """Return where the error is made, if the node is wrong on right inputs: the node, or one that only this graph has.

    An input without a counterpart comes from such an extra node. When the node is right with its counterpart's input in
    the same place, the extra node is what is wrong.
    """
    replay = _replay(meter, number, by_position=False)
    if replay is None or replay.ratio <= meter.limit:
        return None
    flow = meter.probe.flow
    extra = [flow.makers[n] for n in inputs_of(flow.nodes[number]) if n in flow.makers and n not in meter.pairs]
    if extra:
        placed = _replay(meter, number, by_position=True)
        if placed is not None and placed.ratio <= meter.limit:
            return _extra(meter, extra[0], number, replay.ratio)
    ratio_here = _ratio_of(meter, number)
    twin = _twin(meter, number)
    return Located(number, "local", ratio_here, replay.ratio, twin, replay.inputs, replay.expected)


def _extra(meter: Meter, number: int, reader: int, local_ratio: float) -> Located:
    """Return a node that only this graph has: it should hand on what its reader's counterpart reads in that place."""
    flow, twin = meter.probe.flow, _twin(meter, reader)
    inputs = _right_inputs(meter, number, by_position=False)
    expected = {}
    for place, name in enumerate(inputs_of(flow.nodes[reader])):
        if twin is not None and place < len(twin.input) and name in flow.nodes[number].output:
            expected[name] = meter.trusted.exact(twin.input[place])
    return Located(number, "local", None, local_ratio, None, inputs, expected)


def _notable(meter: Meter, number: int) -> Located | None:
    """Return a node if, alone and on right inputs, it answers otherwise than its counterpart does."""
    twin = _twin(meter, number)
    trusted = meter.trusted.flow
    replay = _replay(meter, number, by_position=False)
    if replay is None:
        return None
    value = replay.ratio
    if twin is not None and trusted is not None and trusted is not meter.probe.flow:
        feeds = _twin_inputs(meter, twin)
        theirs = _run(trusted, twin, feeds) if feeds is not None else None
        ours = _run(meter.probe.flow, meter.probe.flow.nodes[number], replay.inputs)
        if theirs is None or ours is None:
            return None
        pairs = zip(ours.values(), theirs.values(), replay.expected.values(), strict=False)
        value = max(ratio(a, b.astype(c.dtype), b.astype(c.dtype)) for a, b, c in pairs)
    limit = _NOTABLE if twin is not None and trusted is not meter.probe.flow else meter.limit
    if value <= limit:
        return None
    return Located(number, "local", _ratio_of(meter, number), value, twin, replay.inputs, replay.expected)


def _replay(meter: Meter, number: int, *, by_position: bool) -> Replay | None:
    """Run a node alone on right inputs; None when they are not known, or when it cannot be run alone."""
    flow = meter.probe.flow
    node = flow.nodes[number]
    inputs = _right_inputs(meter, number, by_position=by_position)
    if inputs is None:
        return None
    found = _run(flow, node, inputs)
    expected = _expected(meter, number, inputs)
    if not expected:
        return None
    if found is None:
        return Replay(float("inf"), inputs, expected)
    worst = 0.0
    for name, exact in expected.items():
        rounded = narrow(exact)
        if exact.dtype.kind == "f" and (honest := meter.trusted.rounded(meter.pairs[name])).shape == exact.shape:
            rounded = honest
        worst = max(worst, ratio(found.get(name), rounded, exact, meter.unit))
    return Replay(worst, inputs, expected)


def _right_inputs(meter: Meter, number: int, *, by_position: bool) -> dict[str, Array] | None:
    """Return the trusted values of what a node reads, as the node takes them (float32).

    What has no counterpart is computed by the nodes that make it from what has one, or, by position, taken from the
    same input of the counterpart.
    """
    flow = meter.probe.flow
    node, twin = flow.nodes[number], _twin(meter, number)
    values: dict[str, Array] = {}
    for place, name in enumerate(inputs_of(node)):
        if name in flow.constants:
            continue
        meter.ratio(name)  # lets its pair slide to where the values agree
        theirs = meter.pairs.get(name)
        if theirs is None and by_position and twin is not None and place < len(twin.input):
            theirs = twin.input[place]
        try:
            value = narrow(meter.trusted.exact(theirs)) if theirs is not None else _made(meter, name)
        except (KeyError, OnnxwayError):
            value = None
        if value is None:
            return None
        values[name] = value
    return values


def _made(meter: Meter, name: str) -> Array | None:
    flow = meter.probe.flow
    number = flow.makers[name]
    inputs = _right_inputs(meter, number, by_position=False)
    made = None if inputs is None else _run(flow, flow.nodes[number], inputs)
    return None if made is None else made.get(name)


def _expected(meter: Meter, number: int, inputs: dict[str, Array]) -> dict[str, Array]:
    """Return the exact outputs of a node by name: its counterpart's on the same inputs, or else the trusted values."""
    flow, trusted = meter.probe.flow, meter.trusted.flow
    names = [name for name in flow.nodes[number].output if name in meter.pairs]
    twin = _twin(meter, number)
    if twin is not None and trusted is not None:
        feeds = _twin_inputs(meter, twin)
        try:
            exact = compute(trusted, twin, feeds) if feeds is not None else {}
            return {name: exact[meter.pairs[name]] for name in names if meter.pairs[name] in exact}
        except (KeyError, OnnxwayError):
            return {}
    try:
        return {name: meter.trusted.exact(meter.pairs[name]) for name in names}
    except (KeyError, OnnxwayError):
        return {}


def _twin_inputs(meter: Meter, twin: NodeProto) -> dict[str, Array] | None:
    trusted = meter.trusted.flow
    assert trusted is not None
    try:
        return {n: narrow(meter.trusted.exact(n)) for n in inputs_of(twin) if n not in trusted.constants}
    except KeyError:
        return None


def _twin(meter: Meter, number: int) -> NodeProto | None:
    """Return the trusted node that makes the counterpart of a node's first output."""
    trusted = meter.trusted.flow
    name = meter.pairs.get(meter.probe.flow.nodes[number].output[0], "")
    return trusted.nodes[trusted.makers[name]] if trusted is not None and name in trusted.makers else None


def _run(flow: Flow, node: NodeProto, inputs: dict[str, Array]) -> dict[str, Array] | None:
    try:
        return run_alone(alone(flow, [node], inputs), inputs)
    except OnnxwayError:
        return None


def _ratio_of(meter: Meter, number: int) -> float | None:
    found = [meter.ratio(name) for name in meter.probe.flow.nodes[number].output]
    return max((value for value in found if value is not None), default=None)

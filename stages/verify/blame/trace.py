"""From the step that breaks to the node, and to the words about it."""

from dataclasses import replace
from pathlib import Path

import onnx

from stages.recipe import Precision
from stages.verify.blame import describe, repro
from stages.verify.blame.alone import alone
from stages.verify.blame.case import Case
from stages.verify.blame.deadline import Deadline, OutOfTimeError
from stages.verify.blame.flow import Flow
from stages.verify.blame.found import Blame, LayerFigure, finite
from stages.verify.blame.locate import Located, locate
from stages.verify.blame.match import match, match_names
from stages.verify.blame.origin import OnnxOrigin, TorchOrigin
from stages.verify.blame.probe import Meter, Probe
from stages.verify.blame.steps import EAGER, EXPORTED, OPTIMIZED, UNOPTIMIZED, Judge, Step
from stages.verify.blame.trusted import Trusted, TrustedGraph, TrustedProgram
from stages.verify.precision import UNITS

_LAYERS = 48
_UNPAIRED = 0.25


def inside(case: Case, step: Step, found: Blame, judge: Judge, folder: Path, deadline: Deadline) -> Blame:
    """Return the blame with the node of the step's graph, where there is one, and write its reproduction."""
    if step.name == EAGER:
        return replace(found, sentence=f"torch's own float32 answers are beyond the limit of {judge.limit:g} already")
    if step.name == EXPORTED:
        words = "the answers first differ in what torch.export traced: look for code that depends on sizes or values"
        return replace(found, sentence=words)
    try:
        meter = _meter(case, step, judge, deadline)
        if meter is None:
            return replace(found, sentence=f"{_first(step, found)}; there is nothing to compare its inside with")
        located = locate(meter, meter.probe.flow.cuts())
    except OutOfTimeError:
        return replace(found, sentence=f"{_first(step, found)}; there was no time to look inside")
    if located is None:
        return replace(
            found,
            sentence=f"{_first(step, found)}; no inner tensor differs before its outputs do",
            layers=_layers(meter),
        )
    return _told(found, step, meter, located, folder)


def _meter(case: Case, step: Step, judge: Judge, deadline: Deadline) -> Meter | None:
    """Open the suspect graph and the trusted one that suits it best."""
    proto = step.proto() if step.proto is not None else onnx.load(case.model)
    outputs = [tensor.name for tensor in case.reference.output.tensors]
    flow = Flow(proto, outputs)
    trusted = _trusted(case, step, flow, judge, deadline)
    if trusted is None:
        return None
    pairs = match(flow, trusted.flow) if trusted.flow is not None else match_names(flow, trusted.tensors)
    probe = Probe(flow, judge.feeds, step, deadline)
    return Meter(probe, trusted, pairs, judge.limit, _unit(case.config.precision))


def _unit(precision: Precision) -> float:
    """Return the least relative noise of a value; in float32, the noise that the probe meets says enough."""
    return 0.0 if precision == "fp32" else UNITS[precision]


def _trusted(case: Case, step: Step, flow: Flow, judge: Judge, deadline: Deadline) -> Trusted | None:
    origin, feeds = case.origin, judge.feeds
    if step.proto is None:  # the runtime: the same file, not optimized, on the CPU
        return TrustedGraph(flow.proto, feeds, deadline)
    if isinstance(origin, OnnxOrigin):
        return TrustedGraph(origin.proto(), feeds, deadline)
    if not isinstance(origin, TorchOrigin):
        return None
    if step.name == UNOPTIMIZED:
        return TrustedProgram(origin.program, origin.in_order(feeds))
    if step.name == OPTIMIZED:
        return TrustedGraph(origin.unoptimized, feeds, deadline)
    forms = [origin.optimized, origin.unoptimized]
    return TrustedGraph(max(forms, key=lambda form: _likeness(flow, Flow(form))), feeds, deadline)


def _likeness(flow: Flow, other: Flow) -> float:
    """Return the share of equal operators: a file that was not optimized is held against what is not."""
    ours, theirs = ([node.op_type for node in each.nodes] for each in (flow, other))
    shared = sum(min(ours.count(name), theirs.count(name)) for name in set(ours))
    return shared / max(len(ours), len(theirs), 1)


def _told(found: Blame, step: Step, meter: Meter, located: Located, folder: Path) -> Blame:
    node = meter.probe.flow.nodes[located.number]
    trusted = meter.trusted.flow
    difference = ""
    if located.twin is not None and trusted is not None:
        difference = describe.difference(meter.probe.flow, node, trusted, located.twin)
    elif located.error == "local" and trusted is not None:
        difference = "the trusted graph has no such node here"
    told = replace(
        found,
        node=node.name or node.output[0],
        operator=node.op_type,
        module=describe.module(node),
        source=describe.source(node),
        error=located.error,
        ratio=None if located.ratio is None else finite(located.ratio),
        local_ratio=None if located.local_ratio is None else finite(located.local_ratio),
        difference=difference,
        layers=_layers(meter),
        repro=_reproduce(meter, located, folder, step),
    )
    sentence = _sentence(told, step, describe.title(node))
    if extra := _unpaired(meter):
        sentence += f"; the trusted graph is built differently ({extra}), so the place is approximate"
    return replace(told, sentence=sentence)


def _unpaired(meter: Meter) -> str:
    """Return how many nodes have no counterpart, in words; empty when they are few."""
    nodes = meter.probe.flow.nodes
    alone = sum(not any(name in meter.pairs for name in node.output) for node in nodes)
    other = len(meter.trusted.flow.nodes) if meter.trusted.flow is not None else len(nodes)
    much = alone > _UNPAIRED * len(nodes) or abs(other - len(nodes)) > _UNPAIRED * len(nodes)
    return f"{len(nodes)} nodes against {other}, {alone} without a counterpart" if much else ""


def _sentence(told: Blame, step: Step, title: str) -> str:
    alone = "" if told.local_ratio is None else f" {told.local_ratio:,.3g} times the noise away"
    errors = {
        "local": f"the error is local: on right inputs the node alone is{alone or ' wrong'}",
        "inherited": "the error is inherited: no node before it is wrong by itself, small errors add up",
        "combined": "the node is right alone: it goes wrong together with its neighbours",
        "": "it could not be tried alone",
    }
    words = f"the answers first differ at {title}, {step.name} ({told.feeds}); {errors[told.error]}"
    return f"{words}; {told.difference}" if told.difference else words


def _first(step: Step, found: Blame) -> str:
    detail = found.steps[-1].detail
    return f"the answers first differ in {step.name} ({found.feeds})" + (f": {detail}" if detail else "")


def _layers(meter: Meter) -> tuple[LayerFigure, ...]:
    """Return the divergence at the cut points, at most so many, evenly."""
    flow = meter.probe.flow
    names = meter.known(flow.cuts())
    if meter.probe.step.optimize != "none":
        names = []  # each costs a session
    figures = []
    try:
        for name in names[:: max(1, -(-len(names) // _LAYERS))]:
            node, ratio = flow.nodes[flow.makers[name]], meter.ratio(name)
            if ratio is not None:
                figures.append(LayerFigure(name, node.op_type, describe.module(node), finite(ratio)))
    except OutOfTimeError:
        pass
    return tuple(figures)


def _reproduce(meter: Meter, located: Located, folder: Path, step: Step) -> tuple[str, ...]:
    if located.error != "local" or not located.inputs or not located.expected:
        return ()  # alone, the node would show nothing
    flow = meter.probe.flow
    model = alone(flow, [flow.nodes[located.number]], located.inputs)
    try:
        repro.write(folder, model, located.inputs, located.expected, step.provider, step.optimize)
    except onnx.checker.ValidationError:  # the node itself is not valid: there is nothing to be run
        return ()
    return tuple(f"{folder.name}/{name}" for name in repro.NAMES)

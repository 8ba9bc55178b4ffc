"""The way from torch to the provider, step by step, until one breaks."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import get_args

import onnx

from deploy.errors import OnnxwayError
from deploy.providers import Optimization, Provider, open_session
from stages.verify.blame.alone import by_numpy
from stages.verify.blame.case import Case
from stages.verify.blame.deadline import Deadline
from stages.verify.blame.found import StepFigure, finite
from stages.verify.blame.origin import OnnxOrigin, Origin, TorchOrigin
from stages.verify.compare import Comparison
from stages.verify.precision import provider_options
from stages.verify.reference import Answer, Feeds, Outputs, Reference

EAGER = "eager torch"
EXPORTED = "exported program"
UNOPTIMIZED = "unoptimized ONNX"
OPTIMIZED = "optimized ONNX"
FILE = "the file on disk"
LEVELS: tuple[Optimization, ...] = tuple(reversed(get_args(Optimization)))  # none, basic, extended, all


@dataclass(frozen=True)
class Step:
    """One form of the network. `proto` is the graph of an ONNX form, which numpy must then answer wrongly too.

    provider, optimize, options    of ONNX Runtime, where it is what answers
    """

    name: str
    answer: Callable[[], Answer]
    proto: Callable[[], onnx.ModelProto] | None = None
    provider: Provider = "cpu"
    optimize: Optimization = "none"
    options: dict[str, str] = field(default_factory=dict)


@dataclass
class Judge:
    """Tells whether answers to one batch are broken: noise, decisions, form; or that there are none at all."""

    reference: Reference
    noise: dict[str, float]
    limit: float
    feeds: Feeds
    _noise: dict[str, float] = field(init=False)

    def __post_init__(self) -> None:
        own = Comparison(self.reference)
        own.add(self.feeds, self.reference.rounded(self.feeds), "the yardstick")
        own.redraw({})
        self._noise = {name: max(value, self.noise.get(name, 0.0)) for name, value in own.noise().items()}

    def figure(self, name: str, answer: Callable[[], Answer]) -> StepFigure:
        """Measure one step."""
        comparison = Comparison(self.reference)
        try:
            found = answer()(self.feeds)
            comparison.add(self.feeds, self._ordered(found), name)
        except OnnxwayError as error:
            return StepFigure(name, True, detail=str(error))
        except Exception as error:  # torch, onnx's evaluator: what they raise has no common base
            return StepFigure(name, True, detail=f"{type(error).__name__}: {str(error).partition(chr(10))[0][:300]}")
        if comparison.malformed:
            return StepFigure(name, True, detail=comparison.malformed[0])
        worst = comparison.worst_ratio(self._noise) if comparison.pools else 0.0
        flips, _ = comparison.flips(2 * self.limit * max(self._noise.values(), default=0.0))
        return StepFigure(name, not worst <= self.limit or flips > 0, finite(worst), flips)

    def _ordered(self, found: Outputs) -> Outputs:
        names = [tensor.name for tensor in self.reference.output.tensors]
        return {name: found[name] for name in names} if set(names) == set(found) else found


def walk(steps: list[Step], judge: Judge, deadline: Deadline) -> Iterator[tuple[Step, StepFigure]]:
    """Yield steps with their figures up to the first that breaks.

    A graph that ONNX Runtime answers wrongly and numpy rightly is itself right: the runtime breaks, a later step. Not
    so where the runtime has answered a fresh export rightly: then it is the file, whose difference numpy's evaluator
    cannot see (it does not know each attribute of each operator).
    """
    runtime_right = False
    for step in steps:
        deadline.check()
        figure = judge.figure(step.name, step.answer)
        runtime_right |= step.name == OPTIMIZED and not figure.broken
        if figure.broken and step.proto is not None and not runtime_right:
            numpy = judge.figure(step.name, partial(_numpy, step.proto))
            if not numpy.broken:
                figure = StepFigure(step.name, False, numpy.ratio, numpy.flips, "answered by onnx's numpy evaluator")
        yield step, figure
        if figure.broken:
            return


def steps_of(case: Case) -> list[Step]:
    """Return the steps that can be made, in order."""
    origin, steps = case.origin, []
    if not isinstance(origin, OnnxOrigin):
        steps.append(Step(EAGER, lambda: case.rounded.rounded))
    if isinstance(origin, TorchOrigin):
        steps += [
            Step(EXPORTED, lambda: origin.traced),
            _graph_step(UNOPTIMIZED, lambda: origin.unoptimized),
            _graph_step(OPTIMIZED, lambda: origin.optimized),
        ]
    steps.append(_graph_step(FILE, lambda: onnx.load(case.model)))
    for provider in dict.fromkeys(("cpu", *case.config.providers)):
        levels = LEVELS if provider == "cpu" else LEVELS[-1:]
        steps += [_runtime_step(case, provider, level) for level in levels]
    return steps


def left_out(origin: Origin) -> list[str]:
    """Return which steps are not there, and why."""
    if isinstance(origin, TorchOrigin):
        return []
    if isinstance(origin, OnnxOrigin):
        return [f"{EAGER}, {EXPORTED}, {UNOPTIMIZED}, {OPTIMIZED}: the reference is another ONNX file"]
    return [f"{EXPORTED}, {UNOPTIMIZED}, {OPTIMIZED}: the module that the file was exported from is not known"]


def _graph_step(name: str, proto: Callable[[], onnx.ModelProto]) -> Step:
    def answer() -> Answer:
        return open_session(proto().SerializeToString(), "cpu", optimize="none").run

    return Step(name, answer, proto)


def _runtime_step(case: Case, provider: Provider, level: Optimization) -> Step:
    options = provider_options(case.config.precision, provider)
    name = f"ONNX Runtime, {provider}, optimization {level}"
    return Step(
        name, lambda: open_session(case.model, provider, options, optimize=level).run, None, provider, level, options
    )


def _numpy(proto: Callable[[], onnx.ModelProto]) -> Answer:
    made = proto()
    return lambda feeds: by_numpy(made, feeds)

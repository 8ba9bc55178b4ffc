"""What was found out about a failing verdict, as frozen dataclasses with a JSON form."""

import math
from dataclasses import dataclass
from typing import Literal

Error = Literal["local", "inherited", "combined", ""]


@dataclass(frozen=True)
class StepFigure:
    """One step on the way from torch to the provider; ratio: worst noise ratio of all outputs, None when not finite."""

    name: str
    broken: bool
    ratio: float | None = None
    flips: int = 0
    detail: str = ""


@dataclass(frozen=True)
class LayerFigure:
    """Divergence at one tensor that all paths cross; ratio: to the trusted values, in noise; None when not finite."""

    tensor: str
    operator: str
    module: str
    ratio: float | None


@dataclass(frozen=True)
class Blame:
    """Where the answers first differ from the trusted ones, as far as that could be told.

    sentence      all of it in words
    step          the first step that breaks; steps: each one with its figures, in order
    feeds         which inputs showed the failure
    node, operator, module, source    the node, the path of its module and the source line, from the exporter's notes
    error         local: the node is wrong on right inputs; inherited: no single node is, the error grows through many;
                  combined: right alone and wrong among its neighbours (fusion); empty: not told
    ratio         noise ratio of the node's output inside the graph; local_ratio: alone, on right inputs
    difference    what distinguishes the node from its trusted counterpart
    layers        divergence along the graph
    left_out      what was not done, and why
    repro         files of the one-node reproduction, relative to the folder of the verdict
    """

    sentence: str
    step: str = ""
    steps: tuple[StepFigure, ...] = ()
    feeds: str = ""
    node: str = ""
    operator: str = ""
    module: str = ""
    source: str = ""
    error: Error = ""
    ratio: float | None = None
    local_ratio: float | None = None
    difference: str = ""
    layers: tuple[LayerFigure, ...] = ()
    left_out: tuple[str, ...] = ()
    repro: tuple[str, ...] = ()
    seconds: float = 0.0


def finite(value: float) -> float | None:
    """Return the value, or None for NaN and infinity, which JSON does not have."""
    return float(value) if math.isfinite(value) else None

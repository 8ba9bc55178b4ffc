"""The proof of placement: which nodes run where, what share of the work that is, and copies between the devices."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import onnx

from deploy.errors import ProviderError
from deploy.passport import Check
from deploy.placement import CPU, CUDA, Placement
from stages.verify.examination import Examination
from stages.verify.flops import COUNTED, Shapes, flops
from stages.verify.material import row

PROVIDERS = {"cpu": CPU, "cuda": CUDA}
_UNKNOWN = "unknown"


def check(exam: Examination) -> Iterator[Check]:
    """Yield a check that the provider that was asked for does the work, all but the arithmetic of shapes."""
    inputs = {name: array.shape for name, array in row(exam.sample(), 0).items()}
    figures = describe(exam.placement, onnx.load(exam.model), inputs)
    exam.findings["placement"] = figures
    yield judge(exam.placement, PROVIDERS[exam.provider], figures)


def judge(placement: Placement, provider: str, figures: dict[str, Any]) -> Check:
    """Return the check of a placement on a provider, in ONNX Runtime's name for it."""
    try:
        placement.prove(provider)
    except ProviderError as error:
        return Check("placement", False, detail=str(error))
    nodes = ", ".join(f"{count} nodes on {name}" for name, count in sorted(placement.counts.items()))
    shares = ", ".join(f"{100 * share:.1f} % on {name}" for name, share in figures["share"].items())
    work = f"; of {figures['flops'] / 1e6:.3g} MFLOP a row {shares}" if shares else ""
    return Check("placement", True, detail=f"{nodes}{work}; {placement.copies} copies between the devices")


def describe(placement: Placement, model: onnx.ModelProto, inputs: Shapes) -> dict[str, Any]:
    """Return a placement as JSON values.

    nodes, operators    counts by provider
    copies              between the devices, in one run
    flops, share        of convolutions and matrix products at these input shapes: in all, and as a part by provider
    uncounted           nodes of that kind whose shapes are known only at run time
    """
    operators = {name: Counter(n.operator for n in placement.nodes if n.provider == name) for name in placement.counts}
    work = flops(model, inputs)
    by_provider: Counter[str] = Counter()
    for (name, operator), amount in work.items():
        by_provider[_provider(placement, name, operator)] += amount or 0
    total = sum(by_provider.values())
    return {
        "nodes": placement.counts,
        "operators": {name: dict(counts) for name, counts in operators.items()},
        "copies": placement.copies,
        "flops": total,
        "share": {name: amount / total for name, amount in sorted(by_provider.items()) if total},
        "uncounted": sum(amount is None for amount in work.values()),
    }


def _provider(placement: Placement, name: str, operator: str) -> str:
    """Return where a node of the file runs: the session's node of its name, or one that took its place by fusion."""
    for node in placement.nodes:
        if node.name == name and node.operator == operator:
            return node.provider
    named = {node.provider for node in placement.nodes if _does_work(node.operator)}
    return named.pop() if len(named) == 1 else _UNKNOWN


def _does_work(operator: str) -> bool:
    """Whether a node of the session is one of the counted operators, or made of one: FusedConv, NhwcConv, FusedGemm."""
    return any(counted in operator for counted in COUNTED)

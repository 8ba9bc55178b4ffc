"""Prometheus' text format, version 0.0.4: https://prometheus.io/docs/instrumenting/exposition_formats/.

Written here and not by prometheus_client: the numbers are there already, as the protocol's statistics, so the library
would keep nothing, only write; loading it costs 1.5 MB and 10 ms at the first scrape. Tests read this with its parser.
"""

import math
from collections.abc import Mapping, Sequence

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Labels = Mapping[str, object]
Sample = tuple[Labels, float]


class Page:
    """Metric families, one after another."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def add(self, name: str, kind: str, words: str, samples: Sequence[Sample]) -> None:
        """Write a family of counters or gauges; none without samples."""
        if samples:
            self._head(name, kind, words)
            self._lines += [f"{name}{_labels(labels)} {_number(value)}" for labels, value in samples]

    def histogram(
        self, name: str, words: str, bounds: Sequence[float], samples: Sequence[tuple[Labels, Sequence[int], float]]
    ) -> None:
        """Write a family of histograms: labels, counts of each bucket (one more than `bounds`), sum of the values."""
        if not samples:
            return
        self._head(name, "histogram", words)
        edges = [_number(bound) for bound in (*bounds, math.inf)]
        for labels, counts, total in samples:
            below = 0
            for edge, count in zip(edges, counts, strict=True):
                below += count
                self._lines.append(f"{name}_bucket{_labels({**labels, 'le': edge})} {below}")
            self._lines.append(f"{name}_sum{_labels(labels)} {_number(total)}")
            self._lines.append(f"{name}_count{_labels(labels)} {below}")

    def text(self) -> str:
        """Return the whole page."""
        return "\n".join([*self._lines, ""])

    def _head(self, name: str, kind: str, words: str) -> None:
        self._lines += [f"# HELP {name} {words}", f"# TYPE {name} {kind}"]


def _labels(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join([f'{name}="{_escaped(str(value))}"' for name, value in labels.items()]) + "}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    if value == math.inf:
        return "+Inf"
    return str(int(value)) if value == int(value) else repr(float(value))

"""What verification found, made ready for a page: the verdict in a sentence, tables and plots from `findings.json`."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.passport import Passport
from stages.dataset import Dataset
from stages.report import plots
from stages.report.figure import Figure, Gallery, Item, Table
from stages.report.samples import Draw

_SHOWN = 16
_TABLES = (
    (
        "shapes",
        "Shapes that were tried",
        "Noise ratio by batch and size; the same rows must be decided alike in all of them.",
    ),
    ("hunt", "Inputs that were sought", "Searches for inputs that break the model: what they raised, and how far."),
    ("placement", "Where the nodes run", "Nodes and arithmetic by provider, and copies between devices."),
)


@dataclass(frozen=True)
class Samples:
    """The data that a verdict was reached on, and how its samples are shown."""

    dataset: Dataset
    draw: Draw


@dataclass(frozen=True)
class Verification:
    """A passport with the figures behind it; `blame` is empty for a passing verdict."""

    passport: Passport
    sentence: str
    figures: tuple[Figure | Gallery, ...]
    tables: tuple[Table, ...]
    blame: dict[str, Any]


def read(passport: Passport, folder: Path, samples: Samples | None = None) -> Verification:
    """Read what verify left in its folder; files that are not there are left out."""
    findings = _read(folder / "findings.json")
    blame = _read(folder / "blame.json")
    figures: list[Figure | Gallery] = []
    tables: list[Table] = []
    for provider, found in findings.items():
        suffix = f" ({provider})" if len(findings) > 1 else ""
        figures += _figures(found, suffix, samples)
        tables += _tables(found, suffix)
    if blame.get("layers"):
        caption = "Noise ratio at each tensor that every path crosses, from the input on; the fault is where it leaps."
        figures.append(Figure("Divergence by layer", caption, plots.layers(blame["layers"], passport.limit)))
    return Verification(passport, sentence(passport, findings), tuple(figures), tuple(tables), blame)


def sentence(passport: Passport, findings: dict[str, Any]) -> str:
    """Return the verdict in one sentence."""
    where = " and ".join(passport.providers)
    if not passport:
        failed = ", ".join(check.name for check in passport.failures()) or "no check was made"
        return f"Refused: on {where} this file does not answer as its reference does ({failed})."
    decisions = next((found["decisions"] for found in findings.values() if "decisions" in found), None)
    text = f"On {where} this file answers as its reference does, to within float32's own rounding"
    if decisions is None:
        return f"{text}."
    flips, rows = decisions["flips"], decisions["rows"]
    alike = f"all but {flips} of {rows:,} test rows" if flips else f"all {rows:,} test rows"
    percent = math.ceil(1e4 * decisions["rate_bound"]) / 100  # never less than what was shown
    rate = f"fewer than {percent:g} % of decisions differ, at {decisions['confidence']:.0%} confidence"
    return f"{text}, and decides alike in {alike}: {rate}."


def _read(path: Path) -> dict[str, Any]:
    try:
        plain = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return plain if isinstance(plain, dict) else {}


def _figures(found: dict[str, Any], suffix: str, samples: Samples | None) -> Iterator[Figure | Gallery]:
    for output, figures in found.get("noise", {}).items():
        caption = (
            f"Distance to the float64 truth in units of the last place, {figures['values']:,} values: the file beside "
            f"{found.get('yardstick', 'the yardstick')}. Noise ratio {figures['ratio']:.2f}, largest difference "
            f"{figures['largest']:.1e}, cosine 1 - {max(0.0, 1 - figures['cosine']):.0e}."
        )
        yield Figure(f"Errors of {output}{suffix}", caption, plots.ulps(figures["ulps"], figures["ulps_yardstick"]))
    flipped = found.get("decisions", {}).get("flipped", [])
    if flipped and samples is not None:
        yield _flips(flipped[:_SHOWN], len(flipped), suffix, samples)


def _flips(shown: list[dict[str, Any]], total: int, suffix: str, samples: Samples) -> Gallery:
    labels = samples.dataset.info.labels

    def name(decision: Any) -> str:
        return labels[decision] if isinstance(decision, int) and decision < len(labels) else str(decision)

    items = (
        Item(
            samples.draw(samples.dataset.test.inputs[flip["row"]], f"test row {flip['row']}"),
            (name(flip["expected"]), f"as {name(flip['found'])}", f"{flip['margin']:.1e}"),
        )
        for flip in shown
    )
    caption = f"{len(shown)} of {total}: what the network decides, what the file decides, and by what margin."
    return Gallery(f"Decisions that differ{suffix}", caption, tuple(items))


def _tables(found: dict[str, Any], suffix: str) -> Iterator[Table]:
    margins = found.get("decisions", {}).get("margins", [])
    if margins:
        caption = (
            "Test rows by the margin of their decision; the first bin is within the noise, where rounding decides."
        )
        yield Table.of(f"Decisions by margin{suffix}", caption, margins)
    for topic, title, caption in _TABLES:
        for part, rows in _parts(found.get(topic)):
            yield Table.of(f"{title}{': ' + part if part else ''}{suffix}", caption, rows)


def _parts(value: Any) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yield the tables in a topic: a list of rows, several of them by name, and all other figures as one row."""
    if isinstance(value, list) and value:
        yield "", value
    elif isinstance(value, dict):
        tables = {key: item for key, item in value.items() if _is_table(item)}
        yield from tables.items()
        if len(tables) < len(value):
            yield "", [{key: item for key, item in value.items() if key not in tables}]


def _is_table(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)

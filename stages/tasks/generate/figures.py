"""How well each place of a poem is foretold, and poems, for the report."""

import html
from collections.abc import Iterator

import numpy as np

from deploy.quatrain import FORMS, LINES, SEPARATOR, lines
from stages.dataset import Array
from stages.report import plots
from stages.report.answers import Answers
from stages.report.figure import Figure, Gallery, Item, Part

_SHOWN = 8
_COLOURS = (plots.ACCENT, plots.SECOND)


def figures(answers: Answers) -> Iterator[Part]:
    """Yield perplexity by the place in the poem, and poems made for titles of test poems at several temperatures."""
    targets = answers.dataset.test.targets
    nats = answers.outputs["nats"].astype(np.float64)
    caption = "The next character is as hard to tell as one of so many alike; between the rules are lines."
    yield Figure("Perplexity by place", caption, _by_place(nats, targets))
    yield from (_poems(answers, float(value)) for value in np.unique(answers.outputs["temperature"]))


def _by_place(nats: Array, targets: Array) -> str:
    from matplotlib.figure import Figure as Drawing

    there = [form for form in FORMS if (targets == LINES * form).any()]
    with plots.style():
        drawing = Drawing(figsize=(8, 2.4), layout="constrained")
        for axes, form, colour in zip(drawing.subplots(1, len(there), squeeze=False)[0], there, _COLOURS, strict=False):
            places = np.arange(1, LINES * form + 1)
            found = np.exp(nats[targets == LINES * form][:, : LINES * form].mean(axis=0))
            axes.plot(places, found, color=colour, marker=".")
            for line in range(1, LINES):
                axes.axvline(line * form + 0.5, color=plots.EDGE)
            axes.set_ylim(bottom=0)
            axes.set_title(f"{form} characters a line")
            axes.set_xlabel("place")
            axes.set_ylabel("perplexity")
        return plots.svg(drawing)


def _poems(answers: Answers, temperature: float) -> Gallery:
    """Return poems made at one temperature, each under the title of a test poem."""
    of_it = np.flatnonzero(answers.outputs["temperature"] == np.float32(temperature))
    chosen = of_it[np.linspace(0, len(of_it) - 1, min(_SHOWN, len(of_it))).astype(int)]
    items = []
    for row in chosen.tolist():
        points = answers.dataset.test.inputs[row].tolist()
        title = "".join(map(chr, points[1 : points.index(SEPARATOR)]))
        verse = "".join(chr(point) for point in answers.outputs["verse"][row].tolist() if point)
        poem = "<br>".join(map(html.escape, lines(verse, points[0])))
        items.append(Item(f'<span class="text">{poem}</span>', (title or "without a title",)))
    caption = "Made by the exported file, one character at a time, under titles of test poems that it has never seen."
    return Gallery(f"Poems at temperature {temperature:g}", caption, tuple(items))

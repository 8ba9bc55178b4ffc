"""What a recommender's answers on the test split look like, for the report."""

from collections.abc import Iterator

import numpy as np

from stages.dataset import Array
from stages.report import plots
from stages.report.answers import Answers
from stages.report.confusion import short
from stages.report.figure import Figure, Part, Table
from stages.tasks.recommend.measures import gains, listed, ranks, summary

_USERS = 6
_SHOWN = 5
_LETTERS = 40


def figures(answers: Answers) -> Iterator[Part]:
    """Yield hit rate and NDCG against popularity, hit rate by length of the list, and lists of some users."""
    test = answers.dataset.test
    counts = np.asarray(answers.dataset.info.counts)
    popular = np.broadcast_to(counts, answers.outputs["all_scores"].shape)
    yield _measures(answers, popular)
    drawn = {"recommended": answers.outputs["all_scores"], "most popular": popular}
    sampled = {name: ranks(scores, test.targets) for name, scores in drawn.items()}
    yield _hit_rates(sampled, test.targets.shape[1])
    yield _lists(answers)


def _measures(answers: Answers, popular: Array) -> Table:
    """Return a table of both rankings, among all items and among those drawn."""
    test, ids = answers.dataset.test, np.asarray(answers.dataset.info.ids["items"])
    shown = answers.outputs["items"]
    k, right = shown.shape[1], test.targets[:, 0]
    most = [_untaken(counts, ids, row, k) for counts, row in zip(popular, np.asarray(test.inputs), strict=True)]
    ranked = {
        "recommended": (listed(shown, ids[right]), ranks(answers.outputs["all_scores"], test.targets)),
        "most popular": (listed(np.array(most), ids[right]), ranks(popular, test.targets)),
    }
    rows = []
    for name, (among_all, among_drawn) in ranked.items():
        values = [*summary(among_all, k, "").values(), *summary(among_drawn, k, "").values()]
        error = gains(among_drawn, k).std() / np.sqrt(len(among_drawn))
        rows.append((name, *(f"{value:.4f}" for value in values), f"{error:.4f}"))
    head = ("", f"HR@{k}", f"NDCG@{k}", f"HR@{k} of sample", f"NDCG@{k} of sample", "its standard error")
    caption = (
        f"Where the item stands that a user took next, of {len(right):,} users: among all {len(ids):,} items that the "
        f"user had not taken, and among {test.targets.shape[1] - 1} of them drawn by chance. "
        f"{answers.metrics.get('coverage', 0):.1%} of all items are recommended to somebody."
    )
    return Table("Hit rate and NDCG", caption, head, tuple(rows), numbers=True)


def _untaken(counts: Array, ids: Array, history: Array, k: int) -> Array:
    """Return the ids (k,) that were taken most, without those in the history; 0 where none is left."""
    taken = np.isin(ids, history[1:])
    order = np.argsort(np.where(taken, 1, -counts), kind="stable")[:k]
    return np.where(taken[order], 0, ids[order])


def _hit_rates(sampled: dict[str, Array], size: int) -> Figure:
    lengths = np.arange(1, min(size, 50) + 1)
    with plots.style():
        from matplotlib.figure import Figure as Drawing

        drawing = Drawing(figsize=(5.2, 2.8))
        axes = drawing.subplots()
        for (name, rank), colour in zip(sampled.items(), (plots.ACCENT, plots.QUIET), strict=True):
            axes.plot(lengths, [(rank < length).mean() for length in lengths], color=colour, label=name)
        axes.plot(lengths, lengths / size, color=plots.EDGE, linestyle=":", label="by chance")
        axes.set(xlabel="length of the list", ylabel="hit rate", ylim=(0, 1))
        axes.legend(frameon=False)
        picture = plots.svg(drawing)
    caption = f"Share of users whose next item is in a list of this length, out of that item and {size - 1} others."
    return Figure("Hit rate by length of the list", caption, picture)


def _lists(answers: Answers) -> Table:
    """Return what some users took last, what was recommended and what came: first hits, then others."""
    info, test = answers.dataset.info, answers.dataset.test
    titles = dict(zip(info.ids["items"], info.labels, strict=True))
    shown, right = answers.outputs["items"], np.asarray(info.ids["items"])[test.targets[:, 0]]
    hits = (shown == right[:, None]).any(axis=1)
    rows = [*np.flatnonzero(hits)[: _USERS // 2], *np.flatnonzero(~hits)[: _USERS // 2]]

    def named(ids: Array) -> str:
        return "; ".join(short(titles[item], _LETTERS) for item in ids.tolist() if item in titles)

    lines = tuple(
        (
            f"user {test.inputs[row][0]}",
            named(test.inputs[row][1:][-_SHOWN:]),
            named(shown[row][:_SHOWN]),
            named(right[row : row + 1]),
            f"{int((shown[row] == right[row]).argmax()) + 1}" if hits[row] else "not listed",
        )
        for row in rows
    )
    caption = (
        f"The last {_SHOWN} items of some users, the first {_SHOWN} recommended, what they took next, and its rank."
    )
    return Table("Lists", caption, ("", "last taken", "recommended", "taken next", "rank"), lines)

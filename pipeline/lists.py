"""What there is: lines for `pipeline list`."""

from collections.abc import Iterator
from pathlib import Path

from pipeline.folder import RunFolder, all_runs
from stages import discover


def lines(kind: str, runs: Path) -> list[str]:
    """Return a line for each thing of a kind, in columns; a line that says so when there is nothing."""
    if kind == "runs":
        rows = list(_runs(runs))
    elif kind == "registered":
        rows = list(_registered())
    else:
        rows = [(entry.name, entry.summary) for entry in discover.found(kind).values()]
    if not rows:
        what = f"runs in {runs}" if kind == "runs" else "registered models"
        return [f"no {what} yet; make some: pipeline run"]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _runs(runs: Path) -> Iterator[tuple[str, ...]]:
    """Yield name, stages done, and what the last of them came to; the latest run first."""
    from pipeline.run import outcome

    for path in all_runs(runs):
        results = RunFolder(path).results()
        told = "; ".join(
            f"{stage}: {outcome(result)}" for stage, result in results.items() if stage in ("train", "verify")
        )
        yield path.name, " ".join(results) or "(nothing finished)", told


def _registered() -> Iterator[tuple[str, ...]]:
    from pipeline import tracking

    for name, versions in tracking.models().items():
        for version in versions:
            aliases = " ".join(f"@{alias}" for alias in version.aliases)
            digest = version.tags.get(f"{tracking.TAG}.bundle_sha256", "")[:12]
            yield f"models:/{name}/{version.version}", aliases, version.tags.get(f"{tracking.TAG}.verdict", ""), digest

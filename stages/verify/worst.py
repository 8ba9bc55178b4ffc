"""The batches on which a model answered worst: what blame starts from."""

from dataclasses import dataclass, field

from stages.verify.reference import Feeds

_KEPT = 6


@dataclass(frozen=True)
class Batch:
    """A batch, how bad the answers to it were (noise ratio; infinity: malformed), and its name for messages."""

    score: float
    feeds: Feeds
    where: str


@dataclass
class Worst:
    """The few worst batches of all that were seen, worst first; they are held, not copied."""

    batches: list[Batch] = field(default_factory=list)

    def add(self, score: float, feeds: Feeds, where: str) -> None:
        """Remember a batch if it is among the worst."""
        self._keep([Batch(score, feeds, where)])

    def merge(self, other: "Worst") -> None:
        """Add what another one remembers."""
        self._keep(other.batches)

    def _keep(self, more: list[Batch]) -> None:
        self.batches = sorted([*self.batches, *more], key=lambda batch: batch.score, reverse=True)[:_KEPT]

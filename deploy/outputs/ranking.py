"""Items in the order in which a user may want them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from deploy.arrays import Array
from deploy.bundle import Signature
from deploy.errors import UsageError
from deploy.outputs.kind import OutputKind, Result

_NAMED = 5  # items that a line names


@dataclass(frozen=True)
class Item:
    """One item: its id and title as they stand in the data, and its score; differences of scores are log odds."""

    id: int
    title: str
    score: float


@dataclass(frozen=True)
class Catalogue:
    """All items that a model knows: titles and ids by place, places by id."""

    titles: tuple[str, ...]
    ids: tuple[int, ...]
    places: Mapping[int, int]


@dataclass(frozen=True)
class Ranking(Result):
    """The best items that were not taken yet, best first; as many as the model lists, fewer where fewer are left."""

    items: tuple[Item, ...]
    all_scores: Array = field(repr=False, compare=False)
    catalogue: Catalogue = field(repr=False, compare=False)

    def rank(self, ids: Iterable[int]) -> tuple[Item, ...]:
        """Return items of one's own choice, best first, whether taken before or not; `UsageError` for an unknown id."""
        found = []
        for wanted in ids:
            place = self.catalogue.places.get(wanted)
            if place is None:
                raise UsageError(f"rank: item {wanted} is not among the {len(self.catalogue.ids):,} that are known")
            found.append(Item(wanted, self.catalogue.titles[place], float(self.all_scores[place])))
        return tuple(sorted(found, key=lambda item: -item.score))

    def line(self) -> str:
        """Return the titles of the best items."""
        return "; ".join(item.title for item in self.items[:_NAMED]) or "nothing is left to recommend"

    def to_dict(self) -> dict[str, Any]:
        """Return the best item's title and all of the list as JSON values."""
        return {"best": self.items[0].title if self.items else None, "items": [vars(item) for item in self.items]}


class RankingOutput(OutputKind):
    """Reads `items` int64 (N, k), 0 for none, `scores` float32 (N, k) and `all_scores` float32 (N, items).

    The signature's labels are titles, in the order of `all_scores`; its option `ids` has their ids.
    """

    def __init__(self, signature: Signature) -> None:
        super().__init__(signature)
        ids = tuple(signature.options["ids"])
        self._catalogue = Catalogue(signature.labels, ids, {id_: place for place, id_ in enumerate(ids)})

    def read(self, arrays: Mapping[str, Array], inputs: Mapping[str, Array]) -> list[Ranking]:
        """Return one `Ranking` for each row."""
        # A copy: what results hold must not change when the session reuses its buffers, nor when a caller writes.
        every = arrays["all_scores"].copy()
        every.flags.writeable = False
        rows = zip(arrays["items"], arrays["scores"], every, strict=True)
        return [Ranking(self._listed(items, scores), row, self._catalogue) for items, scores, row in rows]

    def _listed(self, items: Array, scores: Array) -> tuple[Item, ...]:
        known = self._catalogue
        left = np.count_nonzero(items)
        pairs = zip(items[:left].tolist(), scores[:left].tolist(), strict=True)
        return tuple(Item(id_, known.titles[known.places[id_]], score) for id_, score in pairs)

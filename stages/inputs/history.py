"""Histories: int32 (N, 1 + length), a user's id and those of the items last taken, looked up inside the graph."""

from collections.abc import Iterator
from typing import cast

import numpy as np
import torch
from torch import nn

from deploy.bundle import Signature, TensorSpec
from deploy.errors import UsageError
from stages.dataset import Array, DataInfo

NONE = 0
"""The id, and the place, of no user, of no item, and of those that are not known."""

_LARGEST = np.iinfo(np.int32).max
_PADDINGS = (1, 30)
_MANY = 300  # items in a made history, at most


def history(info: DataInfo) -> nn.Module:
    """Look up the ids of a user and of items, oldest first; the data says which there are."""
    if not info.ids.get("users") or not info.ids.get("items"):
        raise UsageError(
            f"input history: data {info.name!r} names no users and items; take data that does: data=csv_interactions"
        )
    return Histories(info.ids["users"], info.ids["items"])


class Places(nn.Module):
    """int64 ids, any shape -> their places among the known ones, from 1; `NONE` for others. Halves the list each time.

    ids    sorted, each once, above 0
    """

    def __init__(self, ids: tuple[int, ...]) -> None:
        super().__init__()
        self.halvings = (len(ids) + 1).bit_length()
        spare = 2**self.halvings - 1 - len(ids)
        known = torch.tensor([0, *ids, *[torch.iinfo(torch.int64).max] * spare])
        self.register_buffer("known", known, persistent=False)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Return places."""
        known = cast(torch.Tensor, self.known)
        place = torch.zeros_like(ids)
        for power in reversed(range(self.halvings)):
            further = place + 2**power
            place = torch.where(known[further] <= ids, further, place)
        return torch.where(known[place] == ids, place, NONE)


class Histories(nn.Module):
    """int32 (N, 1 + length) -> int64 (N, 2 + length): the user's place, nothing, and the items' places.

    The empty place is there so that networks have an item to look at, even where the history has none.
    """

    continuous = False
    own: dict[str, int] = {}  # noqa: RUF012

    def __init__(self, users: tuple[int, ...], items: tuple[int, ...]) -> None:
        super().__init__()
        ids = TensorSpec("history", "int32", ("batch", "ids"), (0.0, float(_LARGEST)), "id")
        self.signature = Signature("history", (ids,))
        self.preprocessed_shape = ("ids", len(users), len(items))
        self.users, self.items = Places(users), Places(items)

    def forward(self, history: torch.Tensor) -> torch.Tensor:
        """Return places."""
        ids = history.long()
        user = self.users(ids[:, :1])
        # Not by a Pad: of whole numbers the CUDA provider has none.
        return torch.cat([user, torch.zeros_like(user), self.items(ids[:, 1:])], dim=1)

    def cases(self, like: Array) -> Iterator[tuple[str, Array]]:
        """Yield users and histories at the edges of what they may be."""
        items = cast(torch.Tensor, self.items.known)[1 : 1 + self.preprocessed_shape[2]].numpy()
        seen = like[like[:, 1:].any(axis=1)]
        yield "nobody, and nothing taken", np.zeros((1, 2), np.int32)
        yield "users with nothing taken", np.concatenate([like[:, :1], np.zeros((len(like), 1), np.int32)], axis=1)
        yield "nobody's histories", np.concatenate([np.zeros((len(like), 1), np.int32), like[:, 1:]], axis=1)
        yield "unknown ids", np.full((1, 4), _LARGEST - 1, np.int32)
        yield (
            "one item, again and again",
            np.repeat(seen[:1, -1:], 8, axis=1) if len(seen) else np.zeros((1, 8), np.int32),
        )
        yield "many items", np.concatenate([[0], items[:_MANY]]).astype(np.int32)[None]
        yield "all items", np.concatenate([[0], items]).astype(np.int32)[None]

    def restated(self, like: Array) -> Iterator[tuple[str, Array]]:
        """Yield the same histories with more padding in front of the items."""
        for more in _PADDINGS:
            yield f"{more} more padding", np.insert(like, [1] * more, NONE, axis=1)

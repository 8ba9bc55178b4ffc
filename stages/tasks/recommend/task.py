"""Recommendation: the items that a user may take next, ranked inside the graph; sampled soft-max; hit rate and NDCG."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from deploy.bundle import Signature, TensorSpec
from deploy.errors import UsageError
from stages.dataset import Array, DataInfo
from stages.preferences import PREFERENCES
from stages.task import Scores
from stages.tasks.recommend.margins import margins
from stages.tasks.recommend.measures import listed, ranks, summary
from stages.tasks.recommend.ranking import Best, Prior, log_counts


def recommend(info: DataInfo, *, k: int = 10, forget: float = 0.1) -> "Recommend":
    """A list of the `k` items that a user may take next.

    forget    share of the training rows whose user is taken for an unknown one, so that there is an answer for those
    """
    users, items = info.ids.get("users", ()), info.ids.get("items", ())
    if not users or len(items) != len(info.labels):
        raise UsageError(f"task recommend: data {info.name!r} names no users and items; take one that does")
    if not 1 <= k <= len(items):
        raise UsageError(f"task option 'k' is {k}, expected 1 to {len(items)}, the number of items; set task.k")
    if not 0 <= forget < 1:
        raise UsageError(f"task option 'forget' is {forget:g}, expected in [0, 1)")
    return Recommend(info.labels, items, info.counts, k, forget)


@dataclass
class Recommend:
    """Preferences -> items (N, k) int64 ids, scores (N, k) float32, all_scores (N, items) float32."""

    labels: tuple[str, ...]
    ids: tuple[int, ...]
    counts: tuple[int, ...]
    k: int
    forget: float

    takes = PREFERENCES
    decides_by = "scores"

    def __post_init__(self) -> None:
        self.primary = f"ndcg_at_{self.k}_of_sample"
        self.output = Signature(
            "ranking",
            (
                TensorSpec("items", "int64", ("batch", self.k), (0.0, float(self.ids[-1])), "id"),
                TensorSpec("scores", "float32", ("batch", self.k), None, "log odds"),
                TensorSpec("all_scores", "float32", ("batch", len(self.ids)), None, "log odds"),
            ),
            self.labels,
            {"ids": list(self.ids)},
        )
        self._ids = torch.tensor(self.ids, dtype=torch.int32)
        self._proposal = log_counts(self.counts)

    def head(self, features: int) -> nn.Module:
        """Return the module that adds how often items were taken; it takes preferences of any network."""
        return Prior(self.counts)

    def head_for(self, net: nn.Module) -> nn.Module:
        """Return the same: recommenders have no number of features."""
        return Prior(self.counts)

    def postprocess(self) -> nn.Module:
        """Return the choice of the best items that were not taken yet."""
        return Best(self.ids, self.k)

    def augment(
        self, raw: torch.Tensor, targets: torch.Tensor, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return histories (N, 1 + L + 1) with the item that came next at their end, some of them nobody's."""
        ids, _ = self._on(raw.device)
        known = torch.rand(len(raw), 1, generator=generator, device=raw.device) >= self.forget
        return torch.cat([raw[:, :1] * known, raw[:, 1:], ids[targets][:, None]], dim=1), targets

    def loss(self, scores: Scores, targets: torch.Tensor) -> torch.Tensor:
        """Return the mean cross-entropy in nats of each row's item among those of the whole batch (N, N).

        These are drawn as often as they are taken, which is made up for: Yi et al., "Sampling-bias-corrected neural
        modeling for large corpus item recommendations" (2019), equation 3. So scores come near log probabilities, but
        for a constant, and need no negatives drawn besides. An item that several rows have stands there as often: were
        it left out where it is right, common ones would be thought too probable.
        """
        _, proposal = self._on(targets.device)
        return F.cross_entropy(scores[0] - proposal[targets], torch.arange(len(targets), device=targets.device))

    def _on(self, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """Return ids, and the logarithms of how often items are drawn, on a device; both stay there."""
        if self._ids.device != device:
            self._ids, self._proposal = self._ids.to(device), self._proposal.to(device)
        return self._ids, self._proposal

    def metrics(self, outputs: Mapping[str, Array], targets: Array) -> dict[str, float]:
        """Return hit rate and NDCG at k, in [0, 1]: among all items not taken yet, and among the sample in `targets`.

        of_sample        the item taken against the 99 (or fewer) others of its row, ranked by their scores
        by_popularity    the same, ranked by the number of times that items were taken
        coverage         share of all items that are in some list
        """
        if targets.ndim == 1:  # of rows to train on: no sample was drawn
            targets = targets[:, None]
        popular = np.broadcast_to(np.asarray(self.counts), (len(targets), len(self.counts)))
        right = np.asarray(self.ids)[targets[:, 0]]
        shown = np.setdiff1d(outputs["items"], [0])
        k = self.k
        return (
            summary(listed(outputs["items"], right), k, f"at_{k}")
            | summary(ranks(outputs["all_scores"], targets), k, f"at_{k}_of_sample")
            | {f"hr_at_{k}_of_sample_by_popularity": float((ranks(popular, targets) < k).mean())}
            | {"coverage": len(shown) / len(self.ids)}
        )

    def decide(self, outputs: Mapping[str, Array]) -> tuple[Array, Array]:
        """Return the item at each rank (N, k), and how far its score is from the rank above or below (N, k)."""
        return outputs["items"], margins(outputs, np.asarray(self.ids))

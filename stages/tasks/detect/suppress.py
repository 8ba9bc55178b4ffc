"""From a box at every place to a list of things: the best candidates, one for each thing, inside the graph.

Everything has a fixed size: `candidates` are taken of each picture before and `max_detections` after suppression, so
pictures in a batch do not see each other, CUDA graphs can hold it, and no operator answers a number of rows that
depends on values.
"""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from stages.tasks.detect.head import Seen

ROUNDS = 9
"""Rounds of suppression: how far a chain is followed in which each box suppresses the next.

It is odd, so that beyond it boxes are lost: two that overlap are never both kept.
"""


class Suppress(nn.Module):
    """`Seen` -> boxes (N, D, 4), scores (N, D), class_index (N, D), count (N,), place (N, D); the best first.

    A candidate is a place and a class with a score above `score_threshold`. Of two of one class that overlap by more
    than `iou_threshold` (intersection over union) the one with the lower score is dropped. Rows after count are 0.
    With `relative`, boxes are parts of the picture's width and height, else px.
    """

    earlier: torch.Tensor

    def __init__(
        self, score_threshold: float, iou_threshold: float, candidates: int, max_detections: int, relative: bool
    ) -> None:
        super().__init__()
        self.score_threshold, self.iou_threshold = score_threshold, iou_threshold
        self.candidates, self.max_detections, self.relative = candidates, max_detections, relative
        earlier = torch.ones(candidates, candidates, dtype=torch.bool).triu(1)
        self.register_buffer("earlier", earlier, persistent=False)

    def forward(self, seen: Seen) -> tuple[torch.Tensor, ...]:
        """Return the list of each picture."""
        logits, boxes, _, frame = seen
        classes = logits.shape[2]
        # A tiny picture has fewer than so many: what is added has the score 0, and boxes of no size.
        scores = F.pad(logits.sigmoid().flatten(1), (0, self.candidates))
        boxes = F.pad(boxes, (0, 0, 0, self.candidates))
        scores, chosen = scores.topk(self.candidates, dim=1)
        places, labels = chosen // classes, chosen % classes
        # Counted, rows are on the device at once; CUDA would fetch a range from the CPU, where sizes are known.
        rows = torch.ones_like(places[:, :1]).cumsum(0) - 1
        boxes = boxes[rows, places]
        above = scores > self.score_threshold
        kept = scores * above * self._kept(boxes, labels, above)
        scores, order = kept.topk(self.max_detections, dim=1)
        valid = scores > 0
        boxes = boxes[rows, order] * valid[..., None]
        if self.relative:
            boxes = boxes / frame.repeat(2)
        return boxes, scores, labels[rows, order] * valid, valid.sum(1), places[rows, order] * valid

    def _kept(self, boxes: torch.Tensor, labels: torch.Tensor, above: torch.Tensor) -> torch.Tensor:
        """Return which candidates (N, K), best first, no better one that is kept overlaps: 1.0 or 0.0.

        This is greedy suppression as in `torchvision.ops.batched_nms`, among those that are `above` the threshold. What
        is kept is the fixed point of "no better one that is kept overlaps me"; a round settles one more link of chains.
        """
        same = labels[:, :, None] == labels[:, None, :]
        suppresses = _overlap(boxes, self.iou_threshold) & same & self.earlier & above[:, :, None]
        suppresses, kept = suppresses.to(boxes.dtype), above[:, None].to(boxes.dtype)  # (N, better, worse), (N, 1, K)
        for _ in range(ROUNDS):
            kept = torch.relu(1 - torch.bmm(kept, suppresses))  # by how many: a whole number
        return kept[:, 0]


def _overlap(boxes: torch.Tensor, most: float) -> torch.Tensor:
    """Return which boxes (N, K, 4) overlap (N, K, K): intersection over union is more than `most`.

    It is `torchvision.ops.box_iou`, in half as many operations: each takes an exporter 0.03 s.
    """
    low, high = boxes[..., :2], boxes[..., 2:]
    shared = torch.minimum(high[:, :, None], high[:, None]) - torch.maximum(low[:, :, None], low[:, None])
    shared = shared.clamp(min=0).prod(-1)
    areas = (high - low).prod(-1)
    return shared > most * (areas[:, :, None] + areas[:, None] - shared)

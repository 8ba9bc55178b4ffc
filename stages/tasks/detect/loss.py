"""What is wrong with what the head sees: scores by quality focal loss, boxes by their overlap with the true ones."""

import torch
import torch.nn.functional as F  # noqa: N812
from torchvision.ops import box_iou, generalized_box_iou_loss

from stages.data.read.boxes import NOTHING
from stages.tasks.detect.head import Seen

# A map sees things of so many times its stride, the finest one all that are smaller, the coarsest all that are larger.
# Maps overlap: what lies between two of them is seen by both alike, so that the worse box of one is suppressed.
_REACH = (1.5, 5)
_RADIUS = 1.0  # of the places around a thing's middle that are to see it, in strides
_BOXES = 2.0  # weight of the boxes' loss beside that of the scores, as in Generalized Focal Loss


def loss(seen: Seen, targets: torch.Tensor) -> torch.Tensor:
    """Return the loss of a batch by the number of places that are to see something.

    targets    (N, 1 + M, 5) as `stages.data.read.boxes` makes them
    """
    things = fitted(targets, seen.frame)
    rows, places, things_seen = assigned(things, seen.places)
    wanted = torch.zeros_like(seen.logits)
    found, true = seen.boxes[rows, places], things[rows, things_seen]
    with torch.no_grad():
        overlap = box_iou(found[:, None], true[:, None, :4])[:, 0, 0]
        wanted[rows, places, true[:, 4].long()] = overlap.to(wanted.dtype)
    count = max(1, len(rows))
    boxes: torch.Tensor = generalized_box_iou_loss(found, true[:, :4], reduction="sum")
    return (score_loss(seen.logits, wanted, rows, places) + _BOXES * boxes) / count


def score_loss(logits: torch.Tensor, wanted: torch.Tensor, rows: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Return the sum of cross-entropies of scores (N, P, classes): of those at rows and places, of all others focal.

    Focal means times |wanted - score| (Li et al., 2020, equation 6, with beta 1: 2 left more boxes beside things).
    Places that see nothing are many and mostly easy. Those that see something must tell classes apart, which focal
    weights would put off.
    """
    entropy = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    weights = (wanted - logits.detach().sigmoid()).abs()
    weights[rows, places] = 1
    return (entropy * weights).sum()


def fitted(targets: torch.Tensor, frame: torch.Tensor) -> torch.Tensor:
    """Return the things of targets (N, M, 5) in px of the preprocessed picture, which is `frame` wide and high."""
    factors = frame / targets[:, :1, 2:4]  # (N, 1, 2)
    return torch.cat([targets[:, 1:, :4] * factors.repeat(1, 1, 2), targets[:, 1:, 4:]], dim=2)


def assigned(things: torch.Tensor, places: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return rows, places and things, each (pairs,): which place is to see which thing (N, M, 5).

    Those around the middle of a thing, on the map that is made for its size (FCOS, section 3.2, and "center sampling");
    of several things a place sees the smallest.
    """
    strides = places[:, 2]
    sides = things[..., 2:4] - things[..., :2]  # (N, M, 2)
    longer = sides.amax(dim=2)[:, None]  # (N, 1, M)
    steps = torch.unique_consecutive(strides)
    lower = torch.where(strides == steps[0], 0, strides * _REACH[0])[:, None]
    upper = torch.where(strides == steps[-1], torch.inf, strides * _REACH[1])[:, None]
    centres = (things[..., :2] + things[..., 2:4]) / 2
    apart = (places[:, None, :2] - centres[:, None]).abs().amax(dim=3)  # (N, P, M)
    near = apart < _RADIUS * strides[:, None]
    sees = near & (longer > lower) & (longer <= upper) & (things[:, None, :, 4] != NOTHING)
    areas = sides.prod(dim=2)[:, None].where(sees, torch.inf)
    rows, where = sees.any(dim=2).nonzero(as_tuple=True)
    return rows, where, areas.argmin(dim=2)[rows, where] if len(rows) else rows

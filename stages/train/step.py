"""One step of the optimiser: scores, loss, gradients, update."""

import torch
from torch import nn

from stages.graph import Graph
from stages.recipe import TrainConfig
from stages.task import Scores
from stages.train import layout, optim
from stages.train.distributed import Group


class Scorer(nn.Module):
    """Raw batch -> all float32 scores, in a precision and a memory format."""

    def __init__(self, graph: Graph, precision: str, channels_last: bool, place: torch.device) -> None:
        super().__init__()
        self.graph, self.channels_last, self.place = graph, channels_last, place
        self.reduced = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision)
        for weight in graph.parameters():
            weight.data = weight.data.contiguous(memory_format=layout.of(weight, channels_last))

    def forward(self, raw: torch.Tensor) -> tuple[Scores, ...]:
        """Return the scores of the graph's own head and, in training, of its auxiliary ones."""
        x = self.graph.pre(raw)
        x = x.contiguous(memory_format=layout.of(x, self.channels_last))
        if self.reduced is None:
            return self.graph.all_scores(x)
        with torch.autocast(self.place.type, self.reduced):
            scores = self.graph.all_scores(x)
        return tuple(_single(part) for part in scores)


def _single(scores: Scores) -> Scores:
    """Return scores in float32."""
    return scores.float() if isinstance(scores, torch.Tensor) else tuple(part.float() for part in scores)


class Stepper:
    """What turns a batch into better weights of a graph: optimiser, loss scaling, compiled scores."""

    def __init__(self, graph: Graph, config: TrainConfig, place: torch.device, group: Group) -> None:
        assert config.precision != "auto"
        assert config.channels_last != "auto"
        self.graph, self.config = graph, config
        self.optimizer = optim.optimizer(config, graph)
        self.scaler = torch.amp.GradScaler("cuda", enabled=config.precision == "fp16")
        scores: nn.Module = Scorer(graph, config.precision, config.channels_last, place)
        self.scores = group.parallel(scores, place)
        if config.compile:  # the graph itself stays as it is, for evaluation
            self.scores = torch.compile(self.scores)  # type: ignore[assignment]

    def __call__(self, raw: torch.Tensor, targets: torch.Tensor, share: float) -> torch.Tensor:
        """Make one step; return the mean loss of these rows, which count as `share` of what one process has."""
        self.optimizer.zero_grad()
        loss = self.graph.loss(self.scores(raw), targets)
        self.scaler.scale(loss if share == 1 else loss * share).backward()  # type: ignore[no-untyped-call]
        if self.config.clip_norm:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.graph.parameters(), self.config.clip_norm, foreach=True)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return loss

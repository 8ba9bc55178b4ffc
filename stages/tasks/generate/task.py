"""Generation of quatrains: how probable each next character is, by what came before."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from deploy.bundle import Signature, TensorSpec
from deploy.errors import UsageError
from deploy.quatrain import FORMS, LINES, SEPARATOR, STOPS, is_verse
from stages.dataset import Array, DataInfo
from stages.inputs.text import FIRST, PADDING
from stages.tasks.generate.step import Step

PLACES = LINES * max(FORMS)
"""Characters of the longest verse."""


def generate(info: DataInfo, *, untitled: float = 0.1, smoothing: float = 0.0) -> "Generate":
    """The next character of a quatrain, learnt on whole poems and served a character at a time.

    untitled     share of the poems that are trained on without their title, anew in each epoch
    smoothing    share of each target that is spread over all characters, in [0, 1)
    """
    if not 0 <= untitled <= 1 or not 0 <= smoothing < 1:
        raise UsageError(
            f"task options untitled={untitled:g}, smoothing={smoothing:g}: expected 0 to 1, and 0 to below 1"
        )
    missing = [mark for mark in (chr(SEPARATOR), *STOPS) if mark not in info.alphabet]
    if missing:
        raise UsageError(
            f"task generate: data {info.name!r} has no {missing[0]!r} in its alphabet, expected poems written as "
            "deploy.quatrain says; use data=quatrains"
        )
    return Generate(info.alphabet, untitled, smoothing)


@dataclass
class Generate:
    """Features and tokens of whole poems -> nats (N, 28): -log p(character) by its place in the verse, 0 behind it.

    Targets are the number of characters in each verse, int64 (N,): 20 or 28.
    """

    alphabet: str
    untitled: float
    smoothing: float

    primary = "log_likelihood"
    takes = "characters"

    def __post_init__(self) -> None:
        spec = TensorSpec("nats", "float32", ("batch", PLACES), None, "nat")
        self.output = Signature("tensors", (spec,))

    def head_for(self, net: nn.Module) -> nn.Module:
        """Return the last layer, whose weights are the net's own vectors of the characters."""
        return NextCharacter(net.embedding, self._token(chr(SEPARATOR)), [*map(self._token, STOPS)], self.smoothing)  # type: ignore[arg-type]

    def postprocess(self) -> nn.Module:
        """Return a module that gives the scores as they are."""
        return _Plain()

    def deployed(self, graph: Any) -> nn.Module:
        """Return what is exported in the place of a trained graph: one step, with its state."""
        step = Step(graph, self.alphabet)
        characters = step.input.options["characters"]
        if any(characters[self._token(mark)] != mark for mark in (chr(SEPARATOR), *STOPS)):
            raise UsageError(
                "task generate: the input numbers characters otherwise than the data's alphabet does, so other ones "
                "were foretold; use input=text and leave input.alphabet out"
            )
        return step

    def augment(
        self, raw: torch.Tensor, targets: torch.Tensor, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the poems, a share of them without their title: the form, and then at once the separator."""
        if not self.untitled:
            return raw, targets
        chosen = torch.rand(len(raw), generator=generator, device=raw.device) < self.untitled
        skipped = torch.where(chosen, (raw == SEPARATOR).long().argmax(dim=1) - 1, 0).clamp(min=0)[:, None]
        places = torch.arange(raw.shape[1], device=raw.device)
        from_place = torch.where(places > 0, places + skipped, 0)
        moved = raw.gather(1, from_place.clamp(max=raw.shape[1] - 1))
        return moved.masked_fill(from_place >= raw.shape[1], 0), targets

    def loss(self, scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the mean nats of a character."""
        return scores.sum() / targets.sum()

    def metrics(self, outputs: Mapping[str, Array], targets: Array) -> dict[str, float]:
        """Return the mean log likelihood of a character in nats, and the perplexity, in all and by the form.

        Characters outside of the alphabet count as one of it, "unknown". Of poems that were made, the share that has as
        many letters as the form asks for, and nothing but letters that training poems have.
        """
        nats = outputs["nats"].astype(np.float64).sum(axis=1)
        found = {"log_likelihood": float(-nats.sum() / targets.sum())}
        found["perplexity"] = float(np.exp(-found["log_likelihood"]))
        for form in FORMS:
            rows = targets == LINES * form
            if rows.any():
                found[f"perplexity_{form}"] = float(np.exp(nats[rows].sum() / targets[rows].sum()))
        if "verse" in outputs:
            found["well_formed"] = float(
                np.mean([self._is_formed(*row) for row in zip(outputs["verse"], targets.tolist(), strict=True)])
            )
        return found

    def decide(self, outputs: Mapping[str, Array]) -> tuple[Array, Array]:
        """Return 0 for each poem, by no margin: whole poems hold no decision, each step makes one (`deployed`)."""
        nothing = np.zeros(len(outputs["nats"]))
        return nothing.astype(np.int64), nothing

    def _is_formed(self, verse: Array, letters: int) -> bool:
        text = "".join(chr(point) for point in verse.tolist() if point)
        return len(text) == letters and is_verse(text) and set(text) <= set(self.alphabet)

    def _token(self, character: str) -> int:
        return FIRST + self.alphabet.index(character)


class NextCharacter(nn.Module):
    """Features (N, T, F) and tokens (N, T) -> nats (N, most) of the verse's characters, by their place.

    The separator and the stops between the lines are set by rule, and not foretold; nor is the title.
    """

    most = PLACES

    def __init__(self, vectors: nn.Embedding, separator: int, stops: list[int], smoothing: float) -> None:
        super().__init__()
        self.weight = vectors.weight  # shared
        self.bias = nn.Parameter(torch.zeros(vectors.num_embeddings))
        self.separator, self.stops, self.smoothing = separator, stops, smoothing

    def logits(self, features: torch.Tensor) -> torch.Tensor:
        """Return scores of all characters (..., vocabulary) for features (..., F)."""
        return F.linear(features, self.weight, self.bias)

    def places(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return places in the verse, from 1, by token (N, T); 0 for what is not foretold."""
        verse = (tokens == self.separator).cumsum(dim=1) > 0
        for silent in (PADDING, self.separator, *self.stops):
            verse = verse & (tokens != silent)
        return verse.cumsum(dim=1) * verse

    def forward(self, characters: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        """Return nats, -log p(character); with `smoothing` in training, of the smoothed target."""
        features, tokens = characters
        places = self.places(tokens)
        rows, columns = places.nonzero(as_tuple=True)
        nats = F.cross_entropy(
            self.logits(features[rows, columns - 1]).float(),
            tokens[rows, columns],
            reduction="none",
            label_smoothing=self.smoothing if self.training else 0.0,
        )
        return nats.new_zeros(len(tokens), self.most).index_put((rows, places[rows, columns] - 1), nats)


class _Plain(nn.Module):
    def forward(self, scores: torch.Tensor) -> tuple[torch.Tensor]:
        return (scores,)

"""One step of a trained network: a character and a state in, probabilities of the next one and the new state out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from deploy.bundle import Signature, TensorSpec
from deploy.generate import Wish
from deploy.quatrain import SEPARATOR
from stages.dataset import Array, Split
from stages.deployed import Answer
from stages.inputs.codepoints import CODE_POINTS
from stages.inputs.text import FIRST
from stages.tasks.generate.walk import poems, walk

TEMPERATURES = (0.5, 0.8, 1.0)
"""At which poems are made for a report."""

_GOLDEN = (5**0.5 - 1) / 2
_LEAST = np.finfo(np.float32).tiny


class Step(nn.Module):
    """character int32 (N,), state (N, ...) -> probabilities (N, characters), next_state (N, ...).

    The state at the begin of a text is 0. A `stages.deployed.Partial`: of whole texts, a step is a part.
    """

    inner: tuple[str, ...] = ()

    def __init__(self, graph: Any, alphabet: str) -> None:
        super().__init__()
        self.pre, self.net, self.head = graph.pre, graph.net, graph.head
        characters = by_token(self.pre, alphabet, len(self.head.bias))
        state = ("batch", *self.net.state_shape)
        character = TensorSpec("character", "int32", ("batch",), (0.0, CODE_POINTS - 1.0), "code point")
        before, after = (TensorSpec(name, "float32", state) for name in ("state", "next_state"))
        probabilities = TensorSpec("probabilities", "float32", ("batch", len(characters)), (0.0, 1.0), "probability")
        self.input = Signature("poem", (character, before), (), {"characters": characters})
        self.task = NextDecision(Signature("poem", (probabilities, after), tuple(characters)))

    def forward(self, character: torch.Tensor, state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return probabilities and the next state."""
        token = self.pre(character.unsqueeze(1)).squeeze(1)
        features, after = self.net.step(token, state.to(self.head.bias.dtype))
        return self.head.logits(features).softmax(dim=1), after

    def rows(self, split: Split) -> tuple[dict[str, Array], Array]:
        """Return a step from within each sample, the places spread over all of it: feeds, and the tokens behind."""
        points = np.asarray(split.inputs)
        numbers = np.arange(len(points))
        places = (numbers * _GOLDEN % 1 * ((points != 0).sum(axis=1) - 1)).astype(np.int64)
        states = np.zeros((len(points), *self.net.state_shape), np.float32)
        for stride in walk(points, self.net.state_shape, self._remember):
            here = places[stride.rows] == stride.place
            states[stride.rows[here]] = stride.state[here]
        behind = torch.from_numpy(points[numbers, places + 1])
        return {"character": points[numbers, places], "state": states}, self.pre(behind[:, None])[:, 0].numpy()

    def whole(self, answer: Answer, split: Split) -> dict[str, Array]:
        """Return nats as the trained graph answers them, each text fed to `answer` a character at a time.

        With them `verse` int32 (N, 28), a poem for the title and in the form of each text, made as it is served;
        `temperature` float32 (N,) is one of `TEMPERATURES`, in turn.
        """
        points = np.asarray(split.inputs)
        tokens = self.pre(torch.from_numpy(points))
        places, tokens = self.head.places(tokens).numpy(), tokens.numpy()
        nats = np.zeros((len(points), self.head.most), np.float32)
        for stride in walk(points, self.net.state_shape, answer):
            rows, following = stride.rows, stride.place + 1
            place, token = places[rows, following], tokens[rows, following]
            (foretold,) = np.nonzero(place)
            probabilities = stride.outputs["probabilities"][foretold, token[foretold]]
            nats[rows[foretold], place[foretold] - 1] = -np.log(np.maximum(probabilities, _LEAST))
        wishes = [_wish(number, text) for number, text in enumerate(points)]
        verse = poems(wishes, self.input.options["characters"], self.net.state_shape, answer)
        temperatures = np.array([wish.temperature for wish in wishes], np.float32)
        return {"nats": nats, "verse": verse, "temperature": temperatures}

    @torch.inference_mode()
    def _remember(self, feeds: dict[str, Array]) -> Mapping[str, Array]:
        token = self.pre(torch.from_numpy(feeds["character"])[:, None])[:, 0]
        return {"next_state": self.net.step(token, torch.from_numpy(feeds["state"]))[1].numpy()}


def by_token(pre: nn.Module, alphabet: str, vocabulary: int) -> str:
    """Return the characters by the number that an input module gives them; U+FFFD for unknown ones, U+0000 for none."""
    found = ["\0", *"\ufffd" * (vocabulary - 1)]
    tokens = pre(torch.tensor([[*map(ord, alphabet)]], dtype=torch.int32))[0].tolist()
    for character, token in reversed([*zip(alphabet, tokens, strict=True)]):  # of several, the most frequent stays
        if token >= FIRST:
            found[token] = character
    return "".join(found)


def _wish(number: int, text: Array) -> Wish:
    """Return a wish for a poem under the title of a text, (T,) code points, and in its form."""
    form, *title = text[: text.tolist().index(SEPARATOR)].tolist()
    temperature = TEMPERATURES[number % len(TEMPERATURES)]
    return Wish("".join(map(chr, title)), "", form, temperature, 0, number)


@dataclass
class NextDecision:
    """Decides on the most probable next character: its index."""

    output: Signature

    decides_by = "probabilities"
    names_targets = True

    def decide(self, outputs: Mapping[str, Array]) -> tuple[Array, Array]:
        """Return the index of the most probable character, and the gap of the two largest probabilities."""
        probabilities = outputs["probabilities"]
        ranked = np.partition(probabilities, -2, axis=1)
        return probabilities.argmax(axis=1), ranked[:, -1] - ranked[:, -2]

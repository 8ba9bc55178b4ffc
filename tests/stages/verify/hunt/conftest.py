"""What the hunts are tried on."""

from typing import Any

import pytest

from stages.train.weights import load_graph
from stages.verify.hunt.search import Quarry
from stages.verify.reference import Feeds, Outputs
from stages.verify.session import open_model
from stages.verify.twin import Twin


@pytest.fixture(scope="session")
def twin(colour_run: Any) -> Twin:
    return Twin(load_graph(colour_run.exported.trained))


@pytest.fixture(scope="session")
def seeds(colour_data: Any) -> Feeds:
    return {"image": colour_data.test.inputs[:16]}


@pytest.fixture(scope="session")
def quarry(colour_run: Any, twin: Twin, seeds: Feeds) -> Quarry:
    """The faithful export of `colour_run`."""
    noise = colour_run.passport.noise
    return Quarry(twin, open_model(colour_run.exported.model, "cpu"), seeds, noise, 64 * noise["probabilities"])


class Opaque:
    """A reference without an inside: no gradients."""

    def __init__(self, twin: Twin) -> None:
        self.input, self.output = twin.input, twin.output
        self.yardstick = twin.yardstick
        self._twin = twin

    def at(self, precision: Any) -> "Opaque":
        return Opaque(self._twin.at(precision))

    def truth(self, feeds: Feeds) -> Outputs:
        return self._twin.truth(feeds)

    def rounded(self, feeds: Feeds) -> Outputs:
        return self._twin.rounded(feeds)

    def decide(self, outputs: Outputs) -> Any:
        return self._twin.decide(outputs)


@pytest.fixture(scope="session")
def opaque(twin: Twin) -> Opaque:
    return Opaque(twin)

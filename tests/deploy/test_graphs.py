"""CUDA graphs on the CPU, where the run options that make them change nothing."""

from pathlib import Path

import numpy as np
import pytest

from deploy.binding import Buffers
from deploy.errors import OnnxwayError
from deploy.graphs import Graph
from deploy.providers import EAGER, Session, open_session

PICTURES = {"image": np.random.default_rng(0).integers(0, 256, (2, 9, 7, 3), np.uint8)}


@pytest.fixture
def session(colours: Path) -> Session:
    return open_session(colours / "model.onnx", threads=1)


@pytest.fixture
def graphs(session: Session) -> tuple[Graph, Graph]:
    return (
        Graph(Buffers(session, PICTURES, session.run(PICTURES)), 0),
        Graph(Buffers(session, PICTURES, session.run(PICTURES)), 0),
    )


def test_no_two_graphs_have_one_id_and_none_has_that_of_plain_runs(graphs: tuple[Graph, Graph]) -> None:
    assert 0 < graphs[0].number < graphs[1].number


def test_runs_are_given_the_id_of_their_graph(graphs: tuple[Graph, Graph], monkeypatch: pytest.MonkeyPatch) -> None:
    ids: list[int] = []

    def run(_: Buffers, feed: object, options: object) -> dict[str, object]:
        ids.append(int(options.get_run_config_entry("gpu_graph_id")))  # type: ignore[attr-defined]
        return {}

    monkeypatch.setattr(Buffers, "_run", run)
    one, two = graphs
    one.run(PICTURES), two.run(PICTURES), one.fed(lambda: None), one.eagerly(PICTURES)
    assert ids == [one.number, two.number, one.number, EAGER]


@pytest.mark.parametrize("how", ["run", "fed"])
def test_a_graph_is_not_replayed_once_its_buffers_are_others(graphs: tuple[Graph, Graph], how: str) -> None:
    one, two = graphs
    one._buffers = two._buffers
    with pytest.raises(OnnxwayError, match=f"CUDA graph {one.number} was captured for other buffers"):
        one.run(PICTURES) if how == "run" else one.fed(lambda: None)

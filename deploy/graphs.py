"""CUDA graphs (provider option `enable_cuda_graph`): captured once for each bucket, checked, and replayed ever after.

What ONNX Runtime does not check is checked here (seen with 1.31.1): a graph replays what was captured under its id,
whatever is bound by then, and another thread would capture anew.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from deploy import cuda, samples
from deploy.arrays import Array
from deploy.binding import Buffers
from deploy.errors import OnnxwayError, ProviderError
from deploy.passport import Passport
from deploy.providers import EAGER, graph_id

Arrays = Mapping[str, Array]

_ROUNDS = 2
_numbers = itertools.count(1)  # never one twice: what a session has captured under a number it replays ever after


class Graph:
    """What `Buffers` is, by a CUDA graph: the first run captures it, later ones replay it, all on the device's thread.

    It has an id that no other ever had in this process, from 1 on: 0 is what runs without an id would use.
    """

    def __init__(self, buffers: Buffers, device: int) -> None:
        self.number = next(_numbers)
        self._buffers = buffers
        self._addresses = buffers.addresses
        self._thread = cuda.device_thread(device)
        self._options = graph_id(self.number)

    def fit(self, arrays: Arrays) -> bool:
        """Do as `Buffers.fit`."""
        return self._buffers.fit(arrays)

    def address(self, name: str, start: int, rows: int) -> int:
        """Do as `Buffers.address`."""
        return self._buffers.address(name, start, rows)

    def run(self, arrays: Arrays) -> dict[str, Array]:
        """Do as `Buffers.run`; `OnnxwayError` when the buffers are not those that the graph was captured with."""
        return self._replay(self._buffers.run, arrays)

    def fed(self, feed: Callable[[], object]) -> dict[str, Array]:
        """Do as `Buffers.fed`; `OnnxwayError` as `run`."""
        return self._replay(self._buffers.fed, feed)

    def eagerly(self, arrays: Arrays) -> dict[str, Array]:
        """Run the same buffers on the same thread without the graph."""
        return self._thread.submit(self._buffers.run, arrays, graph_id(EAGER)).result()

    def _replay(self, run: Callable[[Any, Any], dict[str, Array]], given: object) -> dict[str, Array]:
        if self._buffers.addresses != self._addresses:
            raise OnnxwayError(f"CUDA graph {self.number} was captured for other buffers; load the model again")
        return self._thread.submit(run, given, self._options).result()


def capture(graphs: Mapping[int, Graph], batches: Mapping[int, Sequence[dict[str, Array]]], passport: Passport) -> None:
    """Capture the graph of each bucket, and prove that it answers as the same session does without.

    No session is created in the meantime. First each bucket answers without its graph, so that its memory is there and
    its plans are made, and right after that the graph is captured. Then all are replayed in turn, because a later
    bucket's plans took the place of an earlier one's.

    Raises `ProviderError` where a graph cannot be captured, or answers otherwise than the passport's noise allows.
    """
    expected: dict[int, list[dict[str, Array]]] = {}
    with cuda.making:
        for size, graph in graphs.items():
            expected[size] = [graph.eagerly(batch) for batch in batches[size]]
            graph.run(batches[size][0])
        turns = list(itertools.product(range(_ROUNDS), range(2), graphs))
        found = [graphs[size].run(batches[size][number]) for _, number, size in turns]
    asked = [samples.Sample(batches[size][number]) for _, number, size in turns]
    _require_parity(asked, [expected[size][number] for _, number, size in turns], found, passport)


def _require_parity(
    asked: Sequence[samples.Sample], expected: Sequence[Arrays], found: Sequence[Arrays], passport: Passport
) -> None:
    for name in expected[0]:
        check = samples.difference(name, name, asked, expected, found, passport, what="the same without a graph")
        if not check:
            raise ProviderError(
                f"{cuda.GRAPHS}: output {name!r} of the captured graphs {check.detail}; leave {cuda.GRAPHS} out"
            )

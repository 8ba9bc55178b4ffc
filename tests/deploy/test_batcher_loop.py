"""A batch that fails on the event loop that asked: nobody else is there to run what is left of it."""

import asyncio
from collections.abc import Mapping
from typing import Any

import numpy as np

from deploy.arrays import Array
from deploy.batcher import Batcher
from deploy.errors import OnnxwayError
from deploy.lanes import Runner
from deploy.latency import LatencyTable

QUICK = {1: 1e-6, 8: 1e-6}


def double(arrays: Mapping[str, Array]) -> dict[str, Array]:
    if (arrays["x"] == -1).any():
        raise OnnxwayError("minus one")
    return {"x": arrays["x"] * 2}


def test_one_bad_job_fails_alone_and_the_others_are_answered() -> None:
    server = Batcher(Runner(double), LatencyTable(QUICK, fixed=False))

    async def main() -> list[Any]:
        asked = [server.run({"x": np.full((1, 2), value)}) for value in (1, 2, -1, 4, 5)]
        return await asyncio.wait_for(asyncio.gather(*asked, return_exceptions=True), 10)

    found = asyncio.run(main())
    server.close()
    assert str(found.pop(2)) == "minus one"
    assert [answer["x"][0, 0] for answer in found] == [2, 4, 8, 10]

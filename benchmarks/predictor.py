"""What the Predictor and its batcher cost on top of ONNX Runtime: ratios, all from one run, the sides interleaved.

    python benchmarks/predictor.py BUNDLE [SECONDS]

- raw, infer, predict: one row at a time on one thread; the median of the differences of neighbouring rounds.
- ceiling: rows/s of the best batch size and session layout, in process, with nothing around it.
- submit, run: rows/s through the batcher, from 32 threads and from 32 tasks of one event loop (uvloop if it is there).
"""

import asyncio
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from deploy import Predictor
from deploy.providers import open_session, usable_cores

CLIENTS = 32
ROUNDS = 7


def seconds_each(call: Callable[[], Any], count: int = 300) -> float:
    began = time.perf_counter()
    for _ in range(count):
        call()
    return (time.perf_counter() - began) / count


def rows_per_second(run: Callable[[], Any], threads: int, rows: int, seconds: float) -> float:
    until = time.perf_counter() + seconds

    def work(_: int) -> int:
        done = 0
        while time.perf_counter() < until:
            run()
            done += rows
        return done

    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(work, range(threads))) / seconds


async def through_loop(predictor: Predictor, arrays: dict[str, Any], seconds: float) -> float:
    run, until = predictor.batcher.run, time.perf_counter() + seconds

    async def client() -> int:
        done = 0
        while time.perf_counter() < until:
            await run(arrays)
            done += 1
        return done

    return sum(await asyncio.gather(*(client() for _ in range(CLIENTS)))) / seconds


def loop_runner() -> Callable[[Any], Any]:
    try:
        import uvloop
    except ImportError:
        return asyncio.run
    return uvloop.run


def overhead(predictor: Predictor, raw: Any, payload: Any, arrays: dict[str, Any]) -> None:
    calls = {
        "raw": lambda: raw.run(None, arrays),
        "infer": lambda: predictor.infer(arrays),
        "predict": lambda: predictor.predict(payload),
    }
    rounds = [{name: seconds_each(call) * 1e6 for name, call in calls.items()} for _ in range(4 * ROUNDS)]
    base = statistics.median(one["raw"] for one in rounds)
    print(f"raw session.run     {base:9.1f} us")
    for name in ("infer", "predict"):
        extra = statistics.median(one[name] - one["raw"] for one in rounds)
        print(f"{name:<18} + {extra:9.1f} us  ({extra / base:+.0%})")


def throughput(predictor: Predictor, folder: str, arrays: dict[str, Any], seconds: float) -> None:
    """Rows/s, each as a share of the ceiling of the same round."""
    layouts = {
        (lanes, threads): open_session(f"{folder}/model.onnx", threads=threads).raw
        for lanes, threads in {(1, usable_cores()), (usable_cores(), 1)}
    }
    most = max(predictor.batcher.latency_s)
    sizes = sorted({most, 2 * most})
    batches = {size: {name: np.repeat(array, size, axis=0) for name, array in arrays.items()} for size in sizes}
    run = loop_runner()
    rounds = []
    for _ in range(ROUNDS):
        ceiling = max(
            rows_per_second(lambda raw=raw, size=size: raw.run(None, batches[size]), lanes, size, seconds)
            for (lanes, _), raw in layouts.items()
            for size in sizes
        )
        submit = rows_per_second(lambda: predictor.batcher.submit(arrays).result(), CLIENTS, 1, seconds)
        rounds.append((ceiling, submit, run(through_loop(predictor, arrays, seconds))))
    best = statistics.median(one[0] for one in rounds)
    print(f"ceiling             {best:9.0f} rows/s")
    for at, name in ((1, f"submit, {CLIENTS} threads"), (2, f"run, {CLIENTS} tasks")):
        share = statistics.median(one[at] / one[0] for one in rounds)
        print(f"{name:<19} {statistics.median(one[at] for one in rounds):9.0f} rows/s  ({share:.0%} of the ceiling)")


def main() -> None:
    folder, seconds = sys.argv[1], float((sys.argv[2:] or ["0.5"])[0])
    with Predictor.load(folder, threads=1) as predictor:
        raw = open_session(f"{folder}/model.onnx", threads=1).raw
        channels = predictor.info.input.tensors[0].shape[-1]
        payload = np.random.default_rng(0).integers(0, 256, (28, 28, channels), np.uint8)
        overhead(predictor, raw, payload, predictor.arrays(payload))
    with Predictor.load(folder) as predictor:
        batcher = predictor.warm_up()
        print(f"layout              {batcher.lanes} lanes of {predictor.info.threads} threads")
        throughput(predictor, folder, predictor.arrays(payload), seconds)


if __name__ == "__main__":
    main()

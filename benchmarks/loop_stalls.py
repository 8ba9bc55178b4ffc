"""How long the event loop is kept from its work while the server reads large JSON: 224x224 pictures as flat lists.

    python benchmarks/loop_stalls.py [--connections 8] [--seconds 5] [--kinds json,binary]

The server runs in this process. A thread asks the loop to call back every millisecond and notes how late the call came:
what blocks the loop, the interpreter's lock held by another thread, and the machine, which gave the processor to
somebody else. The last part is measured alone first, by a loop that has nothing else to do: read the others against it.
"""

import argparse
import asyncio
import logging
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from serving import wrk
from serving_servers import SERVERS, body

from deploy import Predictor
from deploy.server.assembly import assemble
from deploy.server.dataplane import DataPlane
from deploy.server.options import ServerOptions
from deploy.server.serve import _loop_factory
from deploy.server.sockets import listen

EVERY_S = 0.001


class Watch:
    """Notes how late callbacks come, from `start` to `stop`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop, self._late, self._ended = loop, list[float](), threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _ask(self) -> None:
        while not self._ended.wait(EVERY_S):
            self._loop.call_soon_threadsafe(self._note, time.perf_counter())

    def _note(self, asked: float) -> None:
        self._late.append(time.perf_counter() - asked)

    def words(self) -> str:
        """Say what was seen."""
        late = np.array(self._late) * 1e3
        return (
            f"p50 {np.percentile(late, 50):6.2f} ms, p99 {np.percentile(late, 99):6.2f} ms, longest {late.max():6.2f} "
            f"ms, {(late > 10).sum()} of {len(late)} over 10 ms"
        )


async def measure(bundle: Path, options: argparse.Namespace) -> None:
    loop = asyncio.get_running_loop()
    dataplane = DataPlane(scheduler=lambda predictor: predictor.warm_up())
    dataplane.add(Predictor.load(bundle))
    front, _ = assemble(dataplane, ServerOptions(access_log=False))
    with listen("127.0.0.1", 0) as listener, tempfile.TemporaryDirectory() as folder:
        port = listener.getsockname()[1]
        await front.start(listener)
        with Watch(loop) as watch:
            await asyncio.sleep(options.seconds)
        print(f"{'idle':18} {watch.words()}", flush=True)
        for kind in options.kinds.split(","):
            asked = body(SERVERS["ours"], options.model, kind)
            with Watch(loop) as watch:
                load = await asyncio.to_thread(wrk, port, asked, options.connections, options.seconds, Path(folder))
            print(
                f"{f'{kind} {load.rate:.0f}/s':18} {watch.words()}{f' ({load.bad} bad)' if load.bad else ''}",
                flush=True,
            )
        await front.drain(5)
        await front.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mobilenet_v3_small")
    parser.add_argument("--kinds", default="json,binary,jpeg")
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache/onnxway-serving")
    options = parser.parse_args()
    bundle = options.cache / "models" / options.model
    if shutil.which("wrk") is None or not bundle.exists():
        sys.exit(f"needs wrk (apt-get install wrk) and {bundle} (benchmarks/serving.py makes it)")
    logging.disable()
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(measure(bundle, options))


if __name__ == "__main__":
    main()

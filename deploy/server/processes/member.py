"""One process of a group: `python -m deploy.server.processes.member`, started by the supervisor alone.

The first line of standard input is the plan. When the rest of it ends, the supervisor has gone, however it did, and
this process ends as on SIGTERM. On standard output it says once, as a line of JSON, where it answers, or why it cannot.
"""

import json
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from deploy.errors import OnnxwayError
from deploy.server.processes.peers import Member, Peers
from deploy.server.processes.plan import Plan

if TYPE_CHECKING:
    from deploy.providers import Provider


def main() -> int:
    """Serve until SIGTERM, or until the supervisor has gone; returns the exit code."""
    plan = Plan.read(_first_line())
    threading.Thread(target=_end_with_supervisor, name="onnxway-supervisor", daemon=True).start()
    try:
        _serve(plan)
    except OnnxwayError as error:
        _say({"error": str(error)})
        return error.exit_code
    return 0


def _serve(plan: Plan) -> None:
    import onnxruntime

    from deploy.server import serve_bundles

    onnxruntime.set_default_logger_severity(4)
    serve_bundles(
        [spot.source() for spot in plan.folders],
        cast("Provider", plan.provider),
        variant=plan.variant,
        provider_options=plan.provider_options,
        threads=plan.threads,
        unverified=plan.unverified,
        trusted_key=plan.trusted_key,
        options=plan.options(),
        repository=plan.repository,
        watch=plan.watch,
        canaries=[(spot.source(), spot.share) for spot in plan.canaries],
        shadows=[(spot.source(), spot.share) for spot in plan.shadows],
        member=Member(Peers(Path(plan.folder), plan.number, plan.count), _announce),
    )


def _announce(lines: Sequence[str]) -> None:
    _say({"lines": lines})


def _say(answer: dict[str, object]) -> None:
    print(json.dumps(answer), flush=True)


def _first_line() -> str:
    """Read one byte after the other: what follows belongs to the thread that waits for the end."""
    line = bytearray()
    while (byte := os.read(0, 1)) not in (b"", b"\n"):
        line += byte
    return line.decode()


def _end_with_supervisor() -> None:
    while os.read(0, 64):  # not sys.stdin: a thread that holds its lock would be in the way when the process ends
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())

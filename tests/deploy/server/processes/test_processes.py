"""`python -m deploy --processes 2`: one address, several processes, and what becomes of them."""

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("httptools", reason="needs the extra 'serve'")
pytest.importorskip("grpc", reason="needs the extra 'grpc'")

from deploy.server.lifecycle.watch import look
from deploy.server.options import ServerOptions
from deploy.server.processes.peers import merged
from deploy.server.processes.plan import Plan, Spot, settings
from deploy.server.processes.supervisor import MEMBER, Followed
from tests.deploy.server.lifecycle.kit import BLUE, free_port, get, grpc_load_on, load_on, make, point, until
from tests.deploy.server.test_serve import server


def members(process: "subprocess.Popen[str]") -> list[int]:
    """The processes of a group that live."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [int(child) for child in children if MEMBER in Path(f"/proc/{child}/cmdline").read_text()]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@contextlib.contextmanager
def group(*arguments: str) -> "Iterator[tuple[subprocess.Popen[str], str]]":
    with server(*arguments, "--threads", "1", "--no-access-log", "--processes", "2") as (process, url):
        pids = members(process)
        assert len(pids) == 2
        yield process, url.removeprefix("http://")
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(30)
        assert not any(map(alive, pids)), "a process was left behind"


def by_process(host: str, name: str) -> dict[str, float]:
    """A metric of each process."""
    page = get(host, "/metrics")[1].decode()
    return {found[1]: float(found[2]) for found in re.finditer(rf'^{name}{{process="(\d)".*}} (\S+)$', page, re.M)}


def ask_all(host: str, path: str, method: str = "GET", body: bytes = b"") -> set[int]:
    """The statuses of what many connections get: the kernel spreads them over the processes."""
    statuses = set()
    for _ in range(32):
        connection = http.client.HTTPConnection(host, timeout=30)
        with contextlib.closing(connection):
            connection.request(method, path, body)
            statuses.add(connection.getresponse().status)
    return statuses


def test_both_answer_and_none_is_lost_when_they_end(colours: Path, tmp_path: Path) -> None:
    digest, port = make(tmp_path / "a", colours), free_port()
    with group(str(tmp_path / "a"), "--grpc-port", str(port)) as (process, host):
        assert get(host, "/v2/health/ready")[0] == 200
        with (
            load_on(host, 8, until_refused=True) as seen,
            grpc_load_on(f"127.0.0.1:{port}", 4, until_refused=True) as rpc,
        ):
            until(lambda: seen.count > 200 and rpc.count > 50)
            counts = by_process(host, "onnxway_inference_request_success")
            process.send_signal(signal.SIGTERM)
            process.wait(30)
        assert process.returncode == 0
        assert seen.faults + rpc.faults == []
        assert set(seen.answers) == {(digest, 2)}
        assert set(counts) == {"0", "1"}
        assert min(counts.values()) > 0


def test_a_process_that_dies_is_replaced(colours: Path) -> None:
    with group(str(colours)) as (process, host):
        first = members(process)
        os.kill(first[0], signal.SIGKILL)
        until(lambda: len(set(members(process)) - set(first)) == 1)
        until(
            lambda: (
                set(by_process(host, "onnxway_ready").values()) == {1.0} and len(by_process(host, "onnxway_ready")) == 2
            )
        )
        assert ask_all(host, "/v2/models/colours/infer", "POST", BLUE) == {200}


def test_processes_end_with_their_supervisor(colours: Path) -> None:
    with group(str(colours)) as (process, _):
        pids = members(process)
        process.kill()
        until(lambda: not any(map(alive, pids)))


def test_load_and_unload_reach_all(shelf: Path) -> None:
    with group("--repository", str(shelf), "--watch", "3600") as (_, host):
        infer = "/v2/models/other/ready"
        assert ask_all(host, infer) == {200}
        assert get(host, "/v2/repository/models/other/unload", b"{}")[0] == 200
        assert ask_all(host, infer) == {404}
        assert get(host, "/v2/repository/models/other/load", b"{}")[0] == 200
        assert ask_all(host, infer) == {200}


def test_all_follow_what_is_watched(colours: Path, tmp_path: Path) -> None:
    old, new = make(tmp_path / "old", colours), make(tmp_path / "new", colours, shift=1)
    point(tmp_path / "latest", tmp_path / "old")
    with group(str(tmp_path / "latest"), "--watch", "0.05") as (_, host), load_on(host, 4) as seen:
        until(lambda: seen.count > 20)
        point(tmp_path / "latest", tmp_path / "new")
        until(lambda: sum(f'digest="{new}"' in line for line in get(host, "/metrics")[1].decode().splitlines()) == 2)
        before = seen.count
        until(lambda: seen.count > before + 50)
    assert seen.faults == []
    assert {digest for digest, _ in seen.answers} == {old, new}


def command(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "deploy", *arguments, "--processes", "2"],
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_what_cannot_be_served_is_said_once(colours: Path, tmp_path: Path) -> None:
    done = command(str(tmp_path), "--port", "0")
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {tmp_path}")
    assert done.stderr.count("\n") == 1
    done = command(str(colours), "--provider", "cuda", "--port", "0")
    assert (done.returncode, "one GPU" in done.stderr) == (2, True)


def test_a_port_belongs_to_one_server(colours: Path) -> None:
    with group(str(colours)) as (_, host):
        done = command(str(colours), "--port", host.rpartition(":")[2])
        assert done.returncode == 1
        assert "cannot listen there" in done.stderr


def test_sigterm_while_it_starts_ends_it(colours: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "deploy", str(colours), "--port", "0", "--processes", "2"],
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        until(lambda: bool(members(process)))
        pids = members(process)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=30)
        assert (process.returncode, said) == (0, "")
        assert not any(map(alive, pids))


def test_a_plan_survives_its_way() -> None:
    options = ServerOptions(port=1234, api_keys=Path("keys"), access_log=False, processes=3)
    plan = Plan(
        number=1, count=3, folder="f", provider="cpu", variant="fp32", provider_options={"a": "b"}, threads=None,
        unverified=False, trusted_key=None, repository=None, watch=0.5, folders=(Spot("a"), Spot("b", followed=True)),
        canaries=(Spot("c", share=0.1),), shadows=(), settings=settings(options),
    )  # fmt: skip
    assert Plan.read(plan.write()) == plan
    assert Plan.read(plan.write()).options() == options


def test_a_source_that_moves_is_followed(colours: Path, tmp_path: Path) -> None:
    """As `pipeline serve` hands over aliases: the supervisor asks, the processes read what it wrote down."""
    import asyncio

    make(tmp_path / "new", colours)
    leads_to = [colours]

    async def follow() -> None:
        followed = Followed(tmp_path)
        (spot,) = followed.spots("model", [(lambda: leads_to[-1], 1.0)])
        assert look(spot.source()).folder == colours.resolve()
        task = asyncio.ensure_future(followed.follow(0.01))
        leads_to.append(tmp_path / "new")
        end = time.monotonic() + 30
        while look(spot.source()).folder != (tmp_path / "new").resolve():
            assert time.monotonic() < end
            await asyncio.sleep(0.01)
        task.cancel()

    asyncio.run(follow())


def test_pages_of_metrics_become_one() -> None:
    page = '# HELP a Words, {more}.\n# TYPE a counter\na{model="x y"} 1\n# HELP b B.\n# TYPE b gauge\nb 2.5\n'
    found = merged({0: page, 1: page.replace("2.5", "3")})
    assert found.splitlines() == [
        *(
            "# HELP a Words, {more}.",
            "# TYPE a counter",
            'a{process="0",model="x y"} 1',
            'a{process="1",model="x y"} 1',
        ),
        *("# HELP b B.", "# TYPE b gauge", 'b{process="0"} 2.5', 'b{process="1"} 3'),
    ]
    assert json.dumps(found)

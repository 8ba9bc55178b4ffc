"""`python -m deploy` as a process: its options, and its end under load."""

import contextlib
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy import __main__ as command
from tests.deploy.server.lifecycle.kit import (
    BLUE,
    free_port,
    get,
    grpc_load_on,
    load_on,
    make,
    point,
    until,
)
from tests.deploy.server.test_serve import server

pytest.importorskip("grpc", reason="needs the extra 'grpc'")


@contextlib.contextmanager
def listening(process: "subprocess.Popen[str]") -> Iterator[list[dict[str, Any]]]:
    """Read what a process says on stderr while it runs: a pipe that is full would hold it up."""
    lines: list[dict[str, Any]] = []
    stream = process.stderr
    assert stream is not None

    def read() -> None:
        for line in stream:
            lines.append(json.loads(line))  # noqa: PERF401  # one by one: they are looked at meanwhile

    thread = threading.Thread(target=read)
    thread.start()
    yield lines
    process.wait(30)
    thread.join()


def test_sigterm_under_load_loses_no_accepted_request_with_grpc_beside(colours: Path, tmp_path: Path) -> None:
    digest, port = make(tmp_path / "a", colours), free_port()
    with server(str(tmp_path / "a"), "--threads", "1", "--grpc-port", str(port)) as (process, url):
        host = url.removeprefix("http://")
        with (
            listening(process) as lines,
            load_on(host, 6, until_refused=True) as seen,
            grpc_load_on(f"127.0.0.1:{port}", 4, until_refused=True) as called,
        ):
            until(lambda: seen.count > 200 and called.count > 100)
            process.send_signal(signal.SIGTERM)
            process.wait(30)
    assert process.returncode == 0, lines[-3:]
    assert seen.faults + called.faults == []
    assert set(seen.answers) == set(called.answers) == {(digest, 2)}
    logged = [line["status"] for line in lines if "/infer" in line.get("target", "")]
    assert logged.count(200) == seen.count


def test_what_a_user_types_and_sees(colours: Path, tmp_path: Path) -> None:
    one, two = make(tmp_path / "one", colours), make(tmp_path / "two", colours, shift=1)
    canary = make(tmp_path / "canary", colours, shift=2, version="2")
    bad, link = tmp_path / "bad", tmp_path / "latest"
    bad.mkdir()
    point(link, tmp_path / "one")
    options = ("--watch", "0.1", "--canary", f"{tmp_path}/canary=0.5", "--shadow", f"{tmp_path}/two=1")
    with server(str(link), "--threads", "1", *options) as (process, url):
        host = url.removeprefix("http://")
        with listening(process) as lines:
            with load_on(host, 2) as seen:
                until(lambda: seen.count > 20)
                point(link, tmp_path / "two")
                until(lambda: (two, 0) in seen.answers)
                point(link, bad)
                until(lambda: any(f"{bad}: no bundle there" in line.get("event", "") for line in lines))
            process.send_signal(signal.SIGTERM)
    assert process.returncode == 0
    assert seen.faults == []
    assert {digest for digest, _ in seen.answers} == {one, two, canary}
    events = [line["event"] for line in lines if "event" in line]
    swapped = f"model colours 1 ({two[:12]}) serves in the place of 1 ({one[:12]})"
    assert [event for event in events if event.startswith(swapped)] != []
    assert [event for event in events if event.startswith("shadow colours 1: decided otherwise in ")] != []
    assert [event for event in events if f"{two[:12]}) goes on: {bad}: no bundle there" in event] != []


def test_the_end_comes_while_it_loads(colours: Path) -> None:
    """The load is held up until the end was asked for; then nothing is served, and nothing is an error."""
    port = free_port()
    code = f"""
import os, signal, sys, time, urllib.request
from deploy import Predictor, __main__
load = Predictor.load
def slow(*arguments, **options):
    for _ in range(500):
        try:
            urllib.request.urlopen("http://127.0.0.1:{port}/v2/health/live").close()
            break
        except OSError:
            time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(0.2)
    return load(*arguments, **options)
Predictor.load = slow
sys.exit(__main__.main([{str(colours)!r}, "--port", "{port}", "--no-access-log"]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--watch", "0"], "watch 0.0: expected seconds between two looks"),
        (["--canary", "x"], "--canary 'x': expected a folder, '=' and a share from 0 to 1"),
        (["--shadow", "x=2"], "--shadow 'x=2': expected a folder, '=' and a share from 0 to 1"),
    ],
)
def test_options_that_say_nothing(
    colours: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert command.main([str(colours), "--port", "0", *arguments]) == 2
    assert words in capsys.readouterr().err


def test_no_folder_at_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main([]) == 2
    assert "no folder: name a bundle" in capsys.readouterr().err


def test_a_folder_of_bundles_alone(colours: Path, tmp_path: Path) -> None:
    make(tmp_path / "one", colours)
    with server("--repository", str(tmp_path), "--watch", "0.1") as (_, url):
        host = url.removeprefix("http://")
        assert get(host, "/v2/models/colours/infer", BLUE)[0] == 200

"""Swaps on a real server: what is served follows what lies on disk, and nobody who asks notices."""

import contextlib
import gc
import json
import logging
import shutil
import threading
import time
import weakref
from pathlib import Path

import numpy as np
import pytest

from deploy import Predictor
from deploy.errors import NotFoundError, UsageError

pytest.importorskip("starlette", reason="needs the extra 'serve'")
pytest.importorskip("httptools", reason="needs the extra 'serve'")
pytest.importorskip("orjson", reason="needs the extra 'serve'")

from deploy.server.dataplane import DataPlane
from deploy.server.lifecycle.routing import Share
from deploy.server.lifecycle.swaps import Lifecycle, Place
from tests.deploy.server.lifecycle.kit import (
    BLUE,
    get,
    grpc_load_on,
    load_on,
    make,
    opened,
    point,
    rss_mib,
    serving,
    spoil,
    until,
)


@pytest.fixture
def three(colours: Path, tmp_path: Path) -> list[tuple[Path, str]]:
    """Bundles of one model, with their digests: a blue picture is of class 2, 0 and 1."""
    return [(tmp_path / f"b{shift}", make(tmp_path / f"b{shift}", colours, shift=shift)) for shift in range(3)]


@pytest.fixture
def events(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "deploy")
    return caplog


def said(events: pytest.LogCaptureFixture, word: str) -> list[str]:
    return [record.getMessage() for record in events.records if word in record.getMessage()]


def test_a_link_that_leads_elsewhere(
    three: list[tuple[Path, str]], tmp_path: Path, events: pytest.LogCaptureFixture
) -> None:
    (first, old), (second, new), _ = three
    link = tmp_path / "latest"
    point(link, first)
    with serving([Place(link)]) as site:
        assert site.digests() == [old]
        point(link, second)
        until(lambda: site.digests() == [new])
        assert get(site.host, "/v2/models/colours/infer", BLUE)[1].count(b'"data":[0]') == 1
    assert said(events, "serves")[0].startswith(f"model colours 1 ({new[:12]}) serves in the place of 1 ({old[:12]}), ")


def test_a_bundle_that_is_replaced_and_a_run_folder(colours: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    old = make(run / "package" / "bundle", colours)
    with serving([Place(run)]) as site:
        assert site.digests() == [old]
        new = make(run / "package" / "bundle", colours, shift=1, version="2")
        until(lambda: site.digests() == [new])
        assert json.loads(get(site.host, "/v2/models/colours")[1])["versions"] == ["2"]


def test_a_function_that_says_where_it_lies(three: list[tuple[Path, str]], events: pytest.LogCaptureFixture) -> None:
    """As an alias of a registry is followed: where it leads is found out elsewhere, and may fail for a while."""
    (first, old), (second, new), _ = three
    now: list[Path | Exception] = [first]

    def where() -> Path:
        if isinstance(now[0], Exception):
            raise now[0]
        return now[0]

    with serving([Place(where)]) as site:
        now[0] = ConnectionError("registry\naway")
        until(lambda: said(events, "registry") != [])
        assert site.digests() == [old]
        now[0] = second
        until(lambda: site.digests() == [new])
    assert said(events, "registry") == [
        f"model refused, colours 1 ({old[:12]}) goes on: ConnectionError('registry\\naway')"
    ]


def test_what_does_not_pass_is_refused_once_and_what_passes_then_is_taken(
    three: list[tuple[Path, str]], colours: Path, tmp_path: Path, events: pytest.LogCaptureFixture
) -> None:
    loads: list[Path] = []

    def load(folder: Path) -> Predictor:
        loads.append(folder)
        return opened(folder)

    (good, digest), (bad, _), _ = three
    spoil(bad)
    link = tmp_path / "latest"
    point(link, good)
    with serving([Place(link)], watch_s=0.05, load=load) as site:
        point(link, bad)
        until(lambda: loads.count(bad) == 1)
        until(lambda: said(events, "refused") != [])
        time.sleep(0.3)  # six looks
        assert loads.count(bad) == 1
        assert site.digests() == [digest]
        mended = make(bad, colours, shift=1)
        until(lambda: site.digests() == [mended])
    (line,) = said(events, "refused")
    assert line.startswith(f"model refused, colours 1 ({digest[:12]}) goes on: golden samples: output 'class_index'")


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("byte", "SHA-256 is"),
        ("gone", "no bundle there"),
        ("name", "it is model 'other', and 'colours' is served from here"),
    ],
)
def test_other_reasons_to_refuse(
    fault: str, words: str, colours: Path, tmp_path: Path, events: pytest.LogCaptureFixture
) -> None:
    digest, bundle, link = make(tmp_path / "a", colours), tmp_path / "b", tmp_path / "latest"
    make(bundle, colours, shift=1, name="other" if fault == "name" else "colours")
    if fault == "byte":
        (bundle / "model.onnx").write_bytes((bundle / "model.onnx").read_bytes() + b" ")
    if fault == "gone":
        shutil.rmtree(bundle)
    point(link, tmp_path / "a")
    with serving([Place(link)]) as site:
        point(link, bundle)
        until(lambda: said(events, "refused") != [])
        assert site.digests() == [digest]
        assert get(site.host, "/v2/health/ready")[0] == 200
    assert len(said(events, "refused")) == 1
    assert words in said(events, "refused")[0]


def test_an_unsigned_bundle_is_refused_where_a_key_is_asked_for(
    three: list[tuple[Path, str]], tmp_path: Path, events: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("cryptography")
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from deploy import signing

    private, public = Ed25519PrivateKey.generate(), tmp_path / "key.pub"
    plain = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (tmp_path / "key.pem").write_bytes(private.private_bytes(serialization.Encoding.PEM, *plain))
    public.write_bytes(
        private.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    (signed, digest), (unsigned, _), _ = three
    signing.sign(signed, tmp_path / "key.pem")
    link = tmp_path / "latest"
    point(link, signed)

    def load(folder: Path) -> Predictor:
        return Predictor.load(folder, threads=1, trusted_key=public)

    with serving([Place(link)], load=load) as site:
        point(link, unsigned)
        until(lambda: said(events, "refused") != [])
        assert site.digests() == [digest]


def test_files_that_go_away_under_load_disturb_nobody(three: list[tuple[Path, str]]) -> None:
    (folder, digest), _, _ = three
    with serving([Place(folder)]) as site, load_on(site.host) as seen:
        until(lambda: seen.count > 50)
        (folder / "model.onnx").write_bytes(b"no model")
        (folder / "net.onnx").unlink()
        before = seen.count
        until(lambda: seen.count > before + 200)
        shutil.rmtree(folder)
        before = seen.count
        until(lambda: seen.count > before + 200)
        with load_on(
            site.host, 1, BLUE.replace(b"[1,1,1,3]", b"[2,1,1,3]").replace(b"[0,0,255]", b"[0,0,255,0,0,255]")
        ):
            until(lambda: seen.count > before + 300)
    assert seen.faults == []
    assert set(seen.answers) == {(digest, 2)}


def test_the_old_version_ends_what_it_began_and_is_released(three: list[tuple[Path, str]], tmp_path: Path) -> None:
    link, gone = tmp_path / "latest", []
    point(link, three[0][0])

    def load(folder: Path) -> Predictor:
        predictor = opened(folder)
        gone.append(weakref.ref(predictor))
        return predictor

    with serving([Place(link)], load=load) as site:
        served = site.call(lambda: site.dataplane.route("colours").__enter__())
        point(link, three[1][0])
        until(lambda: site.digests() == [three[1][1]])
        arrays = served.predictor.arrays(np.zeros((4, 4, 3), np.uint8))
        assert served.predictor.infer(arrays)["class_index"].shape == (1,)  # still open, because it is in use
        site.call(served.__exit__)
        del served
        until(lambda: (gc.collect(), gone[0]() is None)[1])
        assert gone[1]() is not None


def swaps_under_load(three: list[tuple[Path, str]], link: Path, seconds: float) -> None:
    point(link, three[0][0])
    answers = {(digest, (2 + shift) % 3) for shift, (_, digest) in enumerate(three)}
    threads = threading.active_count()
    with serving([Place(link)], watch_s=0.1) as site, load_on(site.host, 4) as seen:
        until(lambda: seen.count > 50)
        began, number, served, memory = time.monotonic(), 0, set[str](), 0.0
        while time.monotonic() - began < seconds:
            number += 1
            folder, digest = three[number % 3]
            point(link, folder)
            end = time.monotonic() + 1
            until(lambda digest=digest: site.digests() == [digest], 20)
            served.add(digest)
            memory = memory or (rss_mib() if number == 5 else 0.0)
            time.sleep(max(0.0, end - time.monotonic()))
        grown = rss_mib() - memory
    assert seen.faults == []
    assert set(seen.answers) == answers, "no answer of one version under the digest of another"
    assert number > 0.6 * seconds, f"{number} swaps in {seconds} s"
    assert threading.active_count() <= threads + 1
    assert grown < 20, f"{grown:.1f} MiB more after {number} swaps"
    print(f"{number} swaps, {seen.count} requests, slowest {seen.slowest_s * 1e3:.0f} ms, {grown:+.1f} MiB")


def test_a_swap_a_second_under_load_fails_no_request(three: list[tuple[Path, str]], tmp_path: Path) -> None:
    swaps_under_load(three, tmp_path / "latest", 20)


def test_swaps_as_fast_as_they_go_with_grpc_beside(three: list[tuple[Path, str]], tmp_path: Path) -> None:
    pytest.importorskip("grpc", reason="needs the extra 'grpc'")
    link, answers = tmp_path / "latest", {(digest, (2 + shift) % 3) for shift, (_, digest) in enumerate(three)}
    point(link, three[0][0])
    with serving([Place(link)], grpc=True) as site, load_on(site.host) as http, grpc_load_on(site.grpc) as grpc:
        for number in range(1, 16):
            folder, digest = three[number % 3]
            point(link, folder)
            until(lambda digest=digest: site.digests() == [digest])
            asked = http.count, grpc.count
            until(lambda asked=asked: http.count > asked[0] + 3 and grpc.count > asked[1] + 3)
    assert http.faults + grpc.faults == []
    assert set(http.answers) == set(grpc.answers) == answers


def test_the_end_under_load_leaves_no_request_that_was_begun_without_its_answer(three: list[tuple[Path, str]]) -> None:
    pytest.importorskip("grpc", reason="needs the extra 'grpc'")
    with contextlib.ExitStack() as stack:
        site = stack.enter_context(serving([Place(three[0][0])], grpc=True))
        (served,) = site.dataplane.models
        clients = stack.enter_context(contextlib.ExitStack())
        http = clients.enter_context(load_on(site.host, 4, until_refused=True))
        grpc = clients.enter_context(grpc_load_on(site.grpc, 4, until_refused=True))
        until(lambda: http.count > 100 and grpc.count > 100)
        site.end()
    assert http.faults + grpc.faults == []
    assert served.statistics.success.count == http.count + grpc.count
    assert served.statistics.fail.count == 0


@pytest.mark.slow
def test_a_swap_a_second_for_a_minute(three: list[tuple[Path, str]], tmp_path: Path) -> None:
    swaps_under_load(three, tmp_path / "latest", 60)


def test_it_is_live_and_not_ready_while_it_loads(three: list[tuple[Path, str]]) -> None:
    begun, go_on = threading.Event(), threading.Event()
    (first, _), (second, _), _ = three

    def load(folder: Path) -> Predictor:
        if folder == second:
            begun.set()
            assert go_on.wait(30)
        return opened(folder)

    other = first.with_name("other")
    make(other, first, name="other")
    with serving([Place(other), Place(second)], load=load, wait=False, watch_s=None) as site:
        try:
            assert begun.wait(30)
            assert get(site.host, "/v2/health/live")[0] == 200
            assert json.loads(get(site.host, "/v2/health/ready")[1])["ready"] is False
            assert get(site.host, "/v2/models/other/ready")[0] == 200
            assert get(site.host, "/v2/models/colours/ready")[0] == 503
            assert get(site.host, "/v2/models/colours/infer", BLUE)[0] == 503
            assert get(site.host, "/predict", b"x")[0] == 503
        finally:
            go_on.set()
        until(lambda: get(site.host, "/v2/health/ready")[0] == 200)
        assert get(site.host, "/v2/models/colours/ready")[0] == 200
        assert get(site.host, "/v2/models/nobody/ready")[0] == 404
        site.call(site.dataplane.drain)
        assert get(site.host, "/v2/health/live")[0] == 200
        assert get(site.host, "/v2/health/ready")[0] == 503
        assert get(site.host, "/v2/models/colours/ready")[0] == 503
        assert get(site.host, "/v2/models/colours/infer", BLUE)[0] == 200


@pytest.mark.parametrize("fault", ["missing", "twice", "canary alone", "too many canaries"])
def test_what_is_wrong_at_the_start_is_an_error(fault: str, colours: Path, tmp_path: Path) -> None:
    versions = [tmp_path / f"v{number}" for number in range(3)]
    for number, folder in enumerate(versions):
        make(folder, colours, version=str(number))
    places, error, words = {
        "missing": ([Place(tmp_path / "none")], NotFoundError, "no bundle there"),
        "twice": ([Place(versions[0]), Place(versions[0])], UsageError, "is there twice"),
        "canary alone": ([Place(versions[0], share=Share(0.1))], UsageError, "no such model is served"),
        "too many canaries": (
            [Place(versions[1], share=Share(0.6)), Place(versions[2], share=Share(0.6)), Place(versions[0])],
            UsageError,
            "its canaries would get 1.2 of its requests",
        ),
    }[fault]  # fmt: skip
    with pytest.raises(error, match=words), serving(places):
        pass


@pytest.mark.parametrize("seconds", [0.0, -1.0, 0.01, float("nan"), float("inf")])
def test_how_often_to_look_is_a_number_of_seconds(seconds: float) -> None:
    with pytest.raises(UsageError, match="expected seconds between two looks"):
        Lifecycle(DataPlane(workers=1), opened, [], watch_s=seconds)


def test_a_repository_is_followed(colours: Path, tmp_path: Path, events: pytest.LogCaptureFixture) -> None:
    shelf = tmp_path / "models"
    one = make(shelf / "one", colours)
    make(shelf / "bad", colours, name="bad")
    (shelf / "bad" / "model.onnx").write_bytes(b"damaged")
    (shelf / "no bundle").mkdir()
    with serving([], repository=shelf) as site:
        assert site.digests() == [one]
        assert get(site.host, "/v2/health/ready")[0] == 200
        two = make(shelf / "two", colours, shift=1, version="2")
        until(lambda: site.digests() == [one, two])
        changed = make(shelf / "one", colours, shift=2)
        until(lambda: site.digests() == [changed, two])
        twice = make(shelf / "twice", colours, version="2")
        until(lambda: said(events, "is there twice") != [])
        assert twice not in site.digests()
        shutil.rmtree(shelf / "two")
        until(lambda: site.digests() == [changed])
        assert get(site.host, "/v2/repository/models/colours/load", b"")[0] == 200  # by hand: `twice` has its chance
        assert site.digests() == [changed, twice]
        assert get(site.host, "/v2/repository/models/colours/unload", b"")[0] == 200
        again = make(shelf / "one", colours, shift=1)
        until(lambda: site.digests() == [again])
        shelf.rename(tmp_path / "away")
        time.sleep(0.3)
        assert site.digests() == [again]  # a share that is not mounted takes nothing away
    assert len(said(events, "damaged")) + len(said(events, "SHA-256")) == 1


def test_the_end_while_it_loads(three: list[tuple[Path, str]]) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def load(folder: Path) -> Predictor:
        begun.set()
        assert go_on.wait(30)
        return opened(folder)

    with serving([Place(three[0][0])], load=load, wait=False) as site:
        assert begun.wait(30)
        stopping = threading.Timer(0.1, go_on.set)
        stopping.start()
        lifecycle = site.lifecycle
        lifecycle._stopping.set()  # what `stop` begins with
    lifecycle._thread.join(5)
    assert not lifecycle._thread.is_alive()
    assert len(site.dataplane.models) == 0

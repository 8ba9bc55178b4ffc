"""What a server is told to follow: references that come to lead elsewhere."""

import threading
from pathlib import Path
from typing import Any

import pytest

from deploy.errors import UsageError
from pipeline import tracking
from pipeline.references import bundle_folder
from pipeline.serving import Followed
from tests.pipeline.conftest import Invoke, Walked


def eventually(what: Any, asked: threading.Semaphore) -> None:
    """Wait until it holds; looks again after each time the reference was looked up."""
    for _ in range(50):
        if what():
            return
        assert asked.acquire(timeout=30)
    pytest.fail("it did not happen")


def test_an_alias_that_is_moved(walked: Walked, at_walked: Invoke, tmp_path: Path) -> None:
    client, asked = tracking.client(), threading.Semaphore(0)
    first = client.get_model_version("lenet_digits", "1")
    second = client.create_model_version("lenet_digits", first.source, tags=dict(first.tags))
    client.set_registered_model_alias("lenet_digits", "followed", "1")

    def resolve() -> Path:
        asked.release()
        return bundle_folder("models:/lenet_digits@followed", tmp_path)

    followed = Followed(resolve, 0.05)
    try:
        assert followed() == tmp_path / "models" / "lenet_digits-1"
        client.set_registered_model_alias("lenet_digits", "followed", second.version)
        eventually(lambda: followed().name == f"lenet_digits-{second.version}", asked)
    finally:
        followed.close()
        client.delete_registered_model_alias("lenet_digits", "followed")
        client.delete_model_version("lenet_digits", second.version)


def test_what_is_in_the_way_is_said_until_it_is_over() -> None:
    now: list[Path | Exception] = [Path("a")]
    asked = threading.Semaphore(0)

    def resolve() -> Path:
        asked.release()
        if isinstance(now[0], Exception):
            raise now[0]
        return now[0]

    def fails() -> bool:
        try:
            followed()
        except ConnectionError:
            return True
        return False

    followed = Followed(resolve, 0.01)
    try:
        assert followed() == Path("a")
        now[0] = ConnectionError("away")
        eventually(fails, asked)
        now[0] = Path("b")
        eventually(lambda: not fails(), asked)
        assert followed() == Path("b")
    finally:
        followed.close()


def test_a_reference_that_leads_nowhere_is_an_error_at_once() -> None:
    def resolve() -> Path:
        raise UsageError("nowhere")

    with pytest.raises(UsageError, match="nowhere"):
        Followed(resolve, 1)


@pytest.mark.parametrize("watch", [None, 0.5, 10.0])
def test_what_the_server_is_given(
    watch: float | None, walked: Walked, at_walked: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {}

    def fake(folders: list[Any], *_: object, **options: Any) -> None:
        given.update(options, folder=folders[0])

    monkeypatch.setattr("deploy.server.serve_bundles", fake)
    bundle = bundle_folder("latest", walked.folder / "runs")
    done = at_walked(
        *("serve", "latest", "--canary", f"{bundle}=0.1", "--shadow", f"{walked.run.name}=1", "--port", "0"),
        *(() if watch is None else ("--watch", str(watch))),
    )
    assert done.exit_code == 0, done.stderr
    (canary, share), (shadow, copies) = given["canaries"][0], given["shadows"][0]
    assert (share, copies, given["options"].port) == (0.1, 1.0, 0)
    assert given["watch"] == (None if watch is None else min(watch, 1.0))
    assert canary.resolve() == bundle.resolve()
    for followed in (given["folder"], shadow):
        assert callable(followed) is (watch is not None)
        found = followed() if callable(followed) else followed
        assert found.resolve() == bundle.resolve()
        if isinstance(followed, Followed):
            followed.close()


@pytest.mark.parametrize("text", ["=0.1", "x", "x=", "x=2", "x=-1", "x=nan"])
def test_a_share_is_said_well(text: str, at_walked: Invoke) -> None:
    done = at_walked("serve", "latest", "--canary", text)
    assert done.exit_code == 2
    assert f"--canary {text!r}: expected a folder, '=' and a share from 0 to 1" in done.stderr

"""Both event loops, both paths of the front, and a client."""

from collections.abc import Iterator

import pytest

pytest.importorskip("httptools", reason="needs the extra 'serve'")

from tests.deploy.server.http.kit import ASGI, FAST, Client, Served


@pytest.fixture(scope="module", params=["asyncio", "uvloop"])
def loop(request: pytest.FixtureRequest) -> str:
    if request.param == "uvloop":
        pytest.importorskip("uvloop")
    return str(request.param)


@pytest.fixture(params=[FAST, ASGI], ids=["fast", "asgi"])
def path(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def client(served: Served) -> Iterator[Client]:
    made = served.client()
    yield made
    made.close()

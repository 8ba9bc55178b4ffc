"""Triton's extensions by its own clients: classes of outputs; and what is declined says so."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from deploy import Predictor
from tests.deploy.conftest import plain
from tests.deploy.server.conftest import Address

http = pytest.importorskip("tritonclient.http", reason="needs tritonclient[http]")
grpc = pytest.importorskip("tritonclient.grpc", reason="needs tritonclient[grpc]")

PICTURES = np.stack([plain((9, 9, 250)), plain((250, 9, 9))])


@pytest.fixture(params=["http", "grpc"])
def of(request: pytest.FixtureRequest) -> Any:
    return {"http": http, "grpc": grpc}[request.param]


@pytest.fixture
def client(of: Any, address: Address) -> Iterator[Any]:
    with of.InferenceServerClient(address.http if of is http else address.grpc) as made:
        yield made


def tensor(of: Any) -> Any:
    made = of.InferInput("image", list(PICTURES.shape), "UINT8")
    made.set_data_from_numpy(PICTURES)
    return made


@pytest.mark.parametrize("binary", [False, True])
def test_classes_of_an_output(of: Any, client: Any, predictor: Predictor, binary: bool) -> None:
    how = {"binary_data": binary} if of is http else {}
    wanted = [of.InferRequestedOutput("probabilities", class_count=2, **how), of.InferRequestedOutput("class_index")]
    for _ in range(2):  # the second time the JSON is known
        answer = client.infer("colours", [tensor(of)], outputs=wanted)
        found = answer.as_numpy("probabilities")
        assert found.shape == (2, 2)
        words = [[one.decode() if isinstance(one, bytes) else one for one in row] for row in found]
        probabilities = predictor.infer({"image": PICTURES})["probabilities"]
        assert words[0][0] == f"{probabilities[0, 2]:f}:2:blue"
        assert words[1][0] == f"{probabilities[1, 0]:f}:0:red"
        assert answer.as_numpy("class_index").tolist() == [2, 0]
        assert client.infer("colours", [tensor(of)]).as_numpy("probabilities").dtype == np.float32


def test_more_classes_than_there_are(of: Any, client: Any) -> None:
    wanted = [
        of.InferRequestedOutput("probabilities", class_count=9),
        of.InferRequestedOutput("class_index", class_count=1),
    ]
    answer = client.infer("colours", [tensor(of)], outputs=wanted)
    assert answer.as_numpy("probabilities").shape == (2, 3)
    assert [one[0] for one in answer.as_numpy("class_index")] == [b"2:0", b"0:0"]
    with pytest.raises(Exception, match="classification is -1, expected a whole number from 1 up"):
        client.infer("colours", [tensor(of)], outputs=[of.InferRequestedOutput("probabilities", class_count=-1)])


def test_they_are_among_the_extensions_and_shared_memory_is_not(client: Any, of: Any) -> None:
    found = client.get_server_metadata()
    extensions = found["extensions"] if of is http else found.extensions
    assert "classification" in extensions
    assert not [name for name in extensions if "shared_memory" in name or name in ("trace", "logging")]


DECLINED: dict[str, Callable[[Any], Any]] = {
    "shared memory is not used here": lambda client: client.register_system_shared_memory("region", "/key", 64),
    "shared memory is not used": lambda client: client.get_system_shared_memory_status(),
    "shared memory is not": lambda client: client.unregister_system_shared_memory("region"),
    "shared memory is": lambda client: client.register_cuda_shared_memory("region", b"aGFuZGxl", 0, 64),
    "shared memory": lambda client: client.unregister_cuda_shared_memory(),
    "tracing is set up by OpenTelemetry's": lambda client: client.get_trace_settings("colours"),
    "tracing is set up by": lambda client: client.update_trace_settings(settings={"trace_level": "OFF"}),
    "logging is set by --log-level": lambda client: client.get_log_settings(),
    "logging is set by": lambda client: client.update_log_settings({"log_info": True}),
}


@pytest.mark.parametrize(("words", "call"), DECLINED.items(), ids=range(len(DECLINED)))
def test_what_is_declined_says_so(of: Any, client: Any, words: str, call: Callable[[Any], Any]) -> None:
    with pytest.raises(Exception, match=words) as caught:
        call(client)
    assert caught.value.status() == ("501" if of is http else "StatusCode.UNIMPLEMENTED")  # type: ignore[attr-defined]
    assert client.is_server_live()


@pytest.mark.parametrize("where", ["input", "output"])
def test_tensors_in_shared_memory_are_declined(of: Any, client: Any, where: str) -> None:
    sent, wanted = tensor(of), of.InferRequestedOutput("probabilities")
    (sent if where == "input" else wanted).set_shared_memory("region", PICTURES.nbytes)
    with pytest.raises(Exception, match=f"{where} '(image|probabilities)': shared memory is not used here") as caught:
        client.infer("colours", [sent], outputs=[wanted])
    assert caught.value.status() == ("501" if of is http else "StatusCode.UNIMPLEMENTED")  # type: ignore[attr-defined]

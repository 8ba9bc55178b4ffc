"""The protocol's real clients: tritonclient over HTTP and gRPC, each as it is and with asyncio."""

import asyncio
import gzip
import json
import queue
import urllib.request
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from deploy import Predictor
from tests.deploy.conftest import plain
from tests.deploy.server.conftest import Address

http = pytest.importorskip("tritonclient.http", reason="needs tritonclient[http]")
grpc = pytest.importorskip("tritonclient.grpc", reason="needs tritonclient[grpc]")
http_aio = pytest.importorskip("tritonclient.http.aio", reason="needs tritonclient[http]")
grpc_aio = pytest.importorskip("tritonclient.grpc.aio", reason="needs tritonclient[grpc]")

PICTURES = np.stack([plain((9, 9, 250)), plain((250, 9, 9))])


@pytest.fixture(params=["http", "grpc"])
def client(request: pytest.FixtureRequest, address: Address) -> Iterator[Any]:
    made = http.InferenceServerClient(address.http) if request.param == "http" else made_grpc(address)
    yield made
    made.close()


def made_grpc(address: Address) -> Any:
    return grpc.InferenceServerClient(address.grpc)


def module(client: Any) -> Any:
    return grpc if isinstance(client, grpc.InferenceServerClient) else http


def tensor(of: Any, pictures: np.ndarray = PICTURES, **how: Any) -> Any:
    made = of.InferInput("image", list(pictures.shape), "UINT8")
    made.set_data_from_numpy(pictures, **how)
    return made


def plain_dict(client: Any, answer: Any) -> Any:
    if module(client) is http:
        return answer
    from google.protobuf.json_format import MessageToDict

    return MessageToDict(answer, preserving_proto_field_name=True)


def test_health_and_metadata(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("colours")
    assert client.is_model_ready("colours", "1")
    assert not client.is_model_ready("nothing")
    assert not client.is_model_ready("colours", "7")
    assert plain_dict(client, client.get_server_metadata())["name"] == "onnxway"
    found = plain_dict(client, client.get_model_metadata("colours"))
    assert found["versions"] == ["1"]
    assert [int(size) for size in found["inputs"][0]["shape"]] == [-1, -1, -1, 3]
    assert [output["datatype"] for output in found["outputs"]] == ["FP32", "INT64"]


def test_config(client: Any) -> None:
    found = plain_dict(client, client.get_model_config("colours", "1"))
    found = found.get("config", found)
    assert (found["name"], found["backend"], found["max_batch_size"]) == ("colours", "onnxruntime", 1024)
    assert found["input"][0]["data_type"] == "TYPE_UINT8"
    assert [int(size) for size in found["input"][0]["dims"]] == [-1, -1, 3]
    assert len(found["parameters"]["digest"]["string_value"]) == 64


def test_infer_is_what_the_predictor_answers(client: Any, predictor: Predictor) -> None:
    answer = client.infer("colours", [tensor(module(client))], request_id="7", priority=1, timeout=10_000_000)
    expected = predictor.infer({"image": PICTURES})
    for name, array in expected.items():
        assert np.array_equal(answer.as_numpy(name), array)
        assert answer.as_numpy(name).dtype == array.dtype
    response = answer.get_response()
    assert (response["id"] if isinstance(response, dict) else response.id) == "7"


def test_some_outputs(client: Any) -> None:
    wanted = [module(client).InferRequestedOutput("class_index")]
    answer = client.infer("colours", [tensor(module(client))], model_version="1", outputs=wanted)
    assert answer.as_numpy("class_index").tolist() == [2, 0]
    assert answer.as_numpy("probabilities") is None


@pytest.mark.parametrize(
    ("arguments", "http_status", "grpc_status", "words"),
    [
        ({"model_name": "nothing"}, "404", "NOT_FOUND", "model 'nothing': not served here"),
        ({"model_version": "7"}, "404", "NOT_FOUND", "no version '7' here; choose from: 1"),
        ({"shape": [2, 9, 7, 4]}, "400", "INVALID_ARGUMENT", "got 378 bytes"),
        ({"datatype": "FP32"}, "400", "INVALID_ARGUMENT", "got datatype 'FP32', expected 'UINT8'"),
        ({"output": "nothing"}, "400", "INVALID_ARGUMENT", r"outputs\[0\]: the model has no 'nothing'"),
        ({"timeout": 10**15}, "400", "INVALID_ARGUMENT", "timeout: got 1000000000000000"),
    ],
)
def test_errors(client: Any, arguments: dict[str, Any], http_status: str, grpc_status: str, words: str) -> None:
    made = tensor(module(client))
    sent: dict[str, Any] = {"model_name": "colours", "inputs": [made]} | arguments
    if (shape := sent.pop("shape", None)) is not None:
        made.set_shape(shape)
    if (datatype := sent.pop("datatype", None)) is not None:
        made = module(client).InferInput("image", list(PICTURES.shape), datatype)
        made.set_data_from_numpy(PICTURES.astype(np.float32))
        sent["inputs"] = [made]
    if (output := sent.pop("output", None)) is not None:
        sent["outputs"] = [module(client).InferRequestedOutput(output)]
    with pytest.raises(Exception, match=words) as caught:
        client.infer(**sent)
    expected = http_status if module(client) is http else f"StatusCode.{grpc_status}"
    assert caught.value.status() == expected  # type: ignore[attr-defined]


def test_statistics_count(client: Any) -> None:
    def entry() -> dict[str, Any]:
        return plain_dict(client, client.get_inference_statistics("colours"))["model_stats"][0]

    before = entry()
    client.infer("colours", [tensor(module(client))])
    with pytest.raises(Exception, match="the model has no 'nothing'"):
        client.infer("colours", [tensor(module(client))], outputs=[module(client).InferRequestedOutput("nothing")])
    after = entry()
    assert int(after["inference_count"]) - int(before["inference_count"]) == 2
    assert int(after["inference_stats"]["success"]["count"]) - int(before["inference_stats"]["success"]["count"]) == 1
    failed = [int(found["inference_stats"]["fail"].get("count", 0)) for found in (before, after)]
    assert failed[1] - failed[0] == 1
    assert int(after["last_inference"]) > 0
    assert plain_dict(client, client.get_inference_statistics())["model_stats"]


def index(client: Any) -> dict[tuple[str, str], str]:
    found = plain_dict(client, client.get_model_repository_index())
    entries = found if isinstance(found, list) else found["models"]
    return {(entry["name"], entry["version"]): entry["state"] for entry in entries}


def test_repository(client: Any) -> None:
    assert index(client)[("other", "1")] == "UNAVAILABLE"
    client.load_model("other")
    assert index(client)[("other", "1")] == "READY"
    assert client.infer("other", [tensor(module(client))]).as_numpy("class_index").tolist() == [2, 0]
    client.load_model("other")  # again: in the place of the first
    client.unload_model("other")
    assert not client.is_model_ready("other")
    assert index(client)[("other", "1")] == "UNAVAILABLE"
    with pytest.raises(Exception, match=r"not in the repository; .*choose from: colours, other"):
        client.load_model("nothing")
    with pytest.raises(Exception, match="not served here"):
        client.unload_model("other")
    with pytest.raises(Exception, match="models are loaded as their bundles are"):
        client.load_model("other", config="{}")


@pytest.mark.parametrize("sent_as", ["bytes", "json"])
@pytest.mark.parametrize("answered_as", ["bytes", "json"])
@pytest.mark.parametrize("coding", [None, "gzip", "deflate"])
def test_tensors_in_json_and_bytes_plain_and_compressed(
    address: Address, predictor: Predictor, sent_as: str, answered_as: str, coding: str | None
) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (400, 5, 6, 3), np.uint8)
    with http.InferenceServerClient(address.http) as client:
        names = ("probabilities", "class_index")
        answer = client.infer(
            "colours",
            [tensor(http, pictures, binary_data=sent_as == "bytes")],
            outputs=[http.InferRequestedOutput(name, binary_data=answered_as == "bytes") for name in names],
            request_compression_algorithm=coding,
            response_compression_algorithm=coding,
        )
    for name, expected in predictor.infer({"image": pictures}).items():
        assert np.array_equal(answer.as_numpy(name), expected)
    has_data = ["data" in output for output in answer.get_response()["outputs"]]
    assert has_data == [answered_as == "json"] * 2


def test_an_answer_is_compressed_when_asked(address: Address) -> None:
    body = json.dumps(
        {"inputs": [{"name": "image", "shape": [300, 1, 1, 3], "datatype": "UINT8", "data": [7] * 900}]}
    ).encode()
    url = f"http://{address.http}/v2/models/colours/infer"
    request = urllib.request.Request(url, body, {"Accept-Encoding": "gzip"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.headers["Content-Encoding"] == "gzip"
        assert answer.headers["Vary"] == "Accept-Encoding"
        assert json.loads(gzip.decompress(answer.read()))["outputs"][1]["shape"] == [300]
        assert len(answer.headers["Model-Digest"]) == 64
        assert "infer;dur=" in answer.headers["Server-Timing"]


def test_futures_over_http(address: Address) -> None:
    with http.InferenceServerClient(address.http, concurrency=4) as client:
        waiting = [client.async_infer("colours", [tensor(http)]) for _ in range(8)]
        assert [answer.get_result().as_numpy("class_index").tolist() for answer in waiting] == [[2, 0]] * 8


def test_a_stream_goes_on_after_an_error(address: Address) -> None:
    answers: queue.Queue[Any] = queue.Queue()
    with grpc.InferenceServerClient(address.grpc) as client:
        client.start_stream(callback=lambda result, error: answers.put((result, error)))
        for name in ("colours", "nothing", "colours"):
            client.async_stream_infer(name, [tensor(grpc)], request_id=name)
        found = [answers.get(timeout=30) for _ in range(3)]
        client.stop_stream()
    assert [error is None for _, error in found] == [True, False, True]
    assert "model 'nothing': not served here" in str(found[1][1])
    assert found[2][0].as_numpy("class_index").tolist() == [2, 0]


def test_grpc_answers_carry_digest_and_times(address: Address, predictor: Predictor) -> None:
    import grpc as grpcio
    from tritonclient.grpc import service_pb2, service_pb2_grpc

    with grpcio.insecure_channel(address.grpc) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        request = service_pb2.ModelInferRequest(model_name="colours")
        entry = request.inputs.add(name="image", datatype="UINT8", shape=[1, 1, 1, 3])
        entry.contents.uint_contents.extend([9, 9, 250])  # numbers in the message, not raw
        answer, call = stub.ModelInfer.with_call(request)
        assert np.frombuffer(answer.raw_output_contents[1], np.int64).tolist() == [2]
        metadata = dict(call.trailing_metadata())
        assert metadata["model-digest"] == predictor.info.digest
        assert "infer;dur=" in metadata["server-timing"]
        for change, words in [
            (lambda made: made.inputs[0].contents.uint_contents.append(1), "data has 4 values"),
            (lambda made: made.inputs[0].contents.fp32_contents.append(1), "contents are fp32_contents, expected"),
            (lambda made: made.raw_input_contents.append(b"abc"), "both contents and raw_input_contents"),
            (lambda made: made.raw_input_contents.extend([b"abc"] * 2), "expected one for each of 1 inputs"),
            (lambda made: made.inputs.add().CopyFrom(made.inputs[0]), "'image' is there twice"),
            (lambda made: made.inputs.pop(), "input 'image': missing"),
            (lambda made: made.parameters["priority"].MergeFrom(service_pb2.InferParameter(string_param="x")), "prio"),
        ]:
            bad = service_pb2.ModelInferRequest()
            bad.CopyFrom(request)
            change(bad)
            with pytest.raises(grpcio.RpcError) as caught:
                stub.ModelInfer(bad)
            assert caught.value.code() is grpcio.StatusCode.INVALID_ARGUMENT  # type: ignore[attr-defined]
            assert words in caught.value.details()  # type: ignore[attr-defined]


@pytest.mark.parametrize("of", [http_aio, grpc_aio], ids=["http", "grpc"])
def test_clients_with_asyncio(address: Address, of: Any) -> None:
    async def both() -> list[list[int]]:
        url = address.http if of is http_aio else address.grpc
        async with of.InferenceServerClient(url) as client:
            assert await client.is_model_ready("colours")
            sent = of.InferInput("image", list(PICTURES.shape), "UINT8")
            sent.set_data_from_numpy(PICTURES)
            answers = await asyncio.gather(*(client.infer("colours", [sent]) for _ in range(8)))
            return [answer.as_numpy("class_index").tolist() for answer in answers]

    assert asyncio.run(both()) == [[2, 0]] * 8

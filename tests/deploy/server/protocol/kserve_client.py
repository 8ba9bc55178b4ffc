"""Asks a server by kserve's own clients, in an environment that has kserve, and prints what they made of the answers.

python kserve_client.py HOST:PORT HOST:GRPC_PORT
"""

import asyncio
import json
import logging
import sys
from typing import Any

import grpc
import httpx
import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.infer_type import RequestedOutput

PICTURES = np.stack([np.full((9, 7, 3), colour, np.uint8) for colour in ((9, 9, 250), (250, 9, 9))])
NAMES = ("probabilities", "class_index")


def asked(
    model: str, *, binary: bool, pictures: Any = PICTURES, outputs: list[RequestedOutput] | None = None, **said: Any
) -> InferRequest:
    datatype = {"uint8": "UINT8", "float32": "FP32"}[pictures.dtype.name]
    tensor = InferInput("image", list(pictures.shape), datatype)
    tensor.set_data_from_numpy(pictures, binary_data=binary)
    return InferRequest(model, [tensor], request_outputs=outputs, **said)


def found(answer: Any) -> dict[str, Any]:
    arrays = {output.name: output.as_numpy() for output in answer.outputs}
    return {
        "id": answer.id,
        "model": [answer.model_name, answer.model_version],
        "arrays": {name: array.reshape(-1).tolist() for name, array in arrays.items()},
        "dtypes": {name: str(array.dtype) for name, array in arrays.items()},
        "shapes": {name: list(array.shape) for name, array in arrays.items()},
    }


async def refusal(answer: Any) -> list[Any]:
    try:
        await answer
    except httpx.HTTPStatusError as error:
        return [error.response.status_code, str(error)]
    except grpc.RpcError as error:
        return [error.code().name, error.details()]
    return ["no error"]


async def by_rest(url: str) -> dict[str, Any]:
    made: dict[str, Any] = {}
    wanted = [RequestedOutput(name, {"binary_data": name == "probabilities"}) for name in NAMES]
    async with InferenceRESTClient(RESTConfig(protocol="v2", retries=1, timeout=20)) as client:

        async def infer(sent: InferRequest) -> Any:
            return await client.infer(url, sent, model_name=sent.model_name)

        made["health"] = [await client.is_server_live(url), await client.is_server_ready(url)]
        made["ready"] = [await client.is_model_ready(url, name) for name in ("colours", "nothing")]
        for binary in (False, True):
            made[f"binary {binary}"] = found(await infer(asked("colours", binary=binary, request_id="7")))
        parameters = {"binary_data_output": True, "priority": 1, "timeout": 10_000_000}
        made["parameters"] = found(await infer(asked("colours", binary=True, parameters=parameters)))
        made["outputs"] = found(await infer(asked("colours", binary=True, outputs=wanted)))
        made["no model"] = await refusal(infer(asked("nothing", binary=True)))
        made["wrong shape"] = await refusal(infer(asked("colours", binary=True, pictures=PICTURES[..., :2])))
        made["wrong dtype"] = await refusal(infer(asked("colours", binary=False, pictures=np.float32(PICTURES))))
    return made


async def by_grpc(url: str) -> dict[str, Any]:
    made: dict[str, Any] = {}
    async with InferenceGRPCClient(url, retries=2, timeout=20) as client:
        made["health"] = [await client.is_server_live(), await client.is_server_ready()]
        made["ready"] = [await client.is_model_ready(name) for name in ("colours", "nothing")]
        for binary in (False, True):
            answer = await client.infer(asked("colours", binary=binary, request_id="7"))
            made[f"binary {binary}"] = found(answer)
        parameters = {"priority": 1, "timeout": 10_000_000}
        made["parameters"] = found(await client.infer(asked("colours", binary=True, parameters=parameters)))
        wanted = [RequestedOutput("class_index")]
        made["outputs"] = found(await client.infer(asked("colours", binary=True, outputs=wanted)))
        made["no model"] = await refusal(client.infer(asked("nothing", binary=True)))
        made["wrong shape"] = await refusal(client.infer(asked("colours", binary=True, pictures=PICTURES[..., :2])))
        made["wrong dtype"] = await refusal(client.infer(asked("colours", binary=False, pictures=np.float32(PICTURES))))
    return made


async def main(http: str, rpc: str) -> None:
    print(json.dumps({"rest": await by_rest(f"http://{http}"), "grpc": await by_grpc(rpc)}))


if __name__ == "__main__":
    logging.disable()
    asyncio.run(main(*sys.argv[1:]))

"""What the server does, without a transport: REST is a thin shell over this, and gRPC will be one too."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from typing import Any, TypeVar

from deploy.arrays import Array
from deploy.errors import InputError, NotFoundError, NotReadyError, TooLargeError, UsageError
from deploy.predictor import Predictor
from deploy.providers import usable_cores
from deploy.schema import closest
from deploy.server import protocol

Run = Callable[[Mapping[str, Array]], Awaitable[Mapping[str, Array]]]
"""Checked input tensors to output tensors: the place for a scheduler that merges requests into batches."""

T = TypeVar("T")

MAX_ROWS = 1024
"""A request with more rows is refused: memory for activations grows with them."""

_NAME = re.compile(r"[A-Za-z0-9._-]+")


@dataclass(frozen=True)
class Served:
    """One model and the way its batches run."""

    predictor: Predictor
    run: Run


class DataPlane:
    """Models by name, and the operations of the Open Inference Protocol on them, as JSON values.

    Every method raises `OnnxwayError`s, whose `status` a transport answers with. Decoding and inference run on threads
    (`workers`, default: the cores this process may use), so an event loop stays free.
    """

    def __init__(self, *, workers: int | None = None) -> None:
        self._models: dict[str, Served] = {}
        self._threads = ThreadPoolExecutor(workers or usable_cores(), thread_name_prefix="onnxway")
        self._closed = False

    def add(self, predictor: Predictor, run: Run | None = None) -> None:
        """Serve a model under its name; `run` takes the place of a run on its own for each request."""
        name = predictor.info.name
        if not _NAME.fullmatch(name):
            raise UsageError(f"model name {name!r}: expected letters, digits, '.', '_' and '-' only")
        if name in self._models:
            raise UsageError(f"model {name!r} is there twice; serve it once, or package one under another name")
        self._models[name] = Served(predictor, run or partial(self._in_thread, predictor.infer))

    def close(self) -> None:
        """Release the threads and all models; what runs ends first."""
        self._closed = True
        self._threads.shutdown()
        for served in self._models.values():
            served.predictor.close()

    def ready(self) -> bool:
        """Return whether inference requests are answered."""
        return bool(self._models) and not self._closed

    def metadata(self) -> dict[str, Any]:
        """Return name, version and extensions of the server."""
        return {"name": "onnxway", "version": metadata.version("onnxway"), "extensions": []}

    def model(self, name: str | None = None, version: str | None = None) -> Served:
        """Return a model by name and version; without a name, the only one that is served."""
        if self._closed:
            raise NotReadyError("the server is shutting down; ask another one")
        if name is None:
            if len(self._models) != 1:
                raise InputError(f"several models are served; name one: /v2/models/NAME/predict ({self._names()})")
            return next(iter(self._models.values()))
        served = self._models.get(name)
        if served is None:
            raise NotFoundError(f"model {name[:100]!r}: not served here; {closest(name[:100], self._models)}")
        found = served.predictor.info.version
        if version is not None and version != found:
            raise NotFoundError(f"model {name!r}: no version {version[:100]!r} here; choose from: {found}")
        return served

    def model_metadata(self, name: str, version: str | None = None) -> dict[str, Any]:
        """Return the model's versions and tensors, and under `parameters` what is particular to a bundle."""
        info = self.model(name, version).predictor.info
        return {
            "name": info.name,
            "versions": [info.version],
            "platform": "onnxruntime_onnx",
            "inputs": protocol.describe(info.input),
            "outputs": protocol.describe(info.output),
            "parameters": {
                "digest": info.digest,
                "variant": info.variant,
                "provider": info.provider,
                "input_kind": info.input.kind,
                "output_kind": info.output.kind,
                "labels": list(info.labels),
            },
        }

    async def infer(self, body: object, name: str, version: str | None = None) -> dict[str, Any]:
        """Answer an inference request of the protocol's JSON form."""
        served = self.model(name, version)
        info = served.predictor.info
        request = await self._in_thread(self._read, body, served.predictor)
        outputs = await served.run(request.arrays)
        return await self._in_thread(protocol.render_response, outputs, request, info.name, info.version)

    async def predict(self, payload: bytes, name: str | None = None, version: str | None = None) -> dict[str, Any]:
        """Answer one payload as an application holds it (the bytes of a picture) with its typed result."""
        served = self.model(name, version)
        predictor = served.predictor
        arrays = await self._in_thread(predictor.arrays, payload)
        outputs = await served.run(arrays)
        result = predictor.results(outputs)[0].to_dict()
        return {"model_name": predictor.info.name, "model_version": predictor.info.version, **result}

    @staticmethod
    def _read(body: object, predictor: Predictor) -> protocol.InferRequest:
        request = protocol.read_request(body, predictor.info.input, predictor.info.output)
        rows = predictor.check(request.arrays)
        if rows > MAX_ROWS:
            raise TooLargeError(f"inputs: {rows} rows, at most {MAX_ROWS} in one request; send several")
        return request

    async def _in_thread(self, function: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)

    def _names(self) -> str:
        return ", ".join(sorted(self._models)) or "none yet"

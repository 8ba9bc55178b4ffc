"""What the server does, without a transport: REST and gRPC are thin shells over this."""

import asyncio
import itertools
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from importlib import metadata
from typing import TYPE_CHECKING, Any, TypeVar

from deploy.arrays import Array
from deploy.errors import NotReadyError, OnnxwayError, UnsupportedError
from deploy.predictor import Info, Predictor
from deploy.providers import usable_cores
from deploy.server.lifecycle.routing import Share
from deploy.server.lifecycle.shadow import Shadow
from deploy.server.models import Models, Run, Served
from deploy.server.protocol import json_text, messages, over_http
from deploy.server.protocol.messages import InferRequest
from deploy.server.protocol.model_config import model_config
from deploy.server.repository import Repository
from deploy.server.rest import payloads
from deploy.server.statistics import Timing
from deploy.server.wire import Wire

if TYPE_CHECKING:
    from deploy.batcher import Batcher
    from deploy.server.ops.exposition import Page

T = TypeVar("T")

MAX_BODY = 64 * 2**20
"""Bytes of a request's body, as it came and decompressed."""

INTERNAL = "internal error; the server's log has the cause"

EXTENSIONS = (
    "binary_tensor_data",
    "classification",
    "model_configuration",
    "model_repository",
    "parameters",
    "schedule_policy",
    "statistics",
)

_log = logging.getLogger(__name__)


class DataPlane:
    """Models by name and version, and the operations of the Open Inference Protocol on them.

    Methods raise `OnnxwayError`s, whose `status` a transport answers with; `infer_wire` answers them itself. What takes
    long (decoding, and inference where no scheduler does it) runs on threads, so an event loop stays free.

    workers       threads; default: the cores this process may use
    max_body      bytes of a request's body, as it came and decompressed
    max_rows      rows of one request
    repository    where `load` finds models; without one they are what `add` was given
    scheduler     makes a batcher for each model that comes without one

    `pages` write what others than models have counted on the page of metrics.
    """

    def __init__(
        self,
        *,
        workers: int | None = None,
        max_body: int = MAX_BODY,
        max_rows: int = over_http.MAX_ROWS,
        repository: Repository | None = None,
        scheduler: "Callable[[Predictor], Batcher] | None" = None,
    ) -> None:
        self.bounds = over_http.Bounds(max_body, max_rows)
        self.models = Models()
        self.shadows: dict[str, list[Shadow]] = {}
        self.loading = False
        self.pages: list[Callable[[Page], None]] = []
        self._repository = repository
        self._scheduler = scheduler
        self._threads = ThreadPoolExecutor(workers or usable_cores(), thread_name_prefix="onnxway")
        self._loading = asyncio.Lock()
        self._closed = self._draining = False

    def add(
        self,
        predictor: Predictor,
        run: "Run | Batcher | None" = None,
        *,
        replace: bool = False,
        instead_of: Served | None = None,
        share: Share | None = None,
    ) -> None:
        """Serve a model under its name and version; `replace` retires the one that has them.

        run           a batcher (closed with its predictor) or a function; else what `schedule` gives, or a run for each
                      request on its own
        instead_of    retire this one, whatever version it is
        share         of the requests that name no version, for a canary
        """
        run = run or self.schedule(predictor) or partial(self._in_thread, predictor.infer)
        served = Served(predictor, run, share=share, release=self._release)
        self.models.add(served, replace=replace, instead_of=instead_of)

    def schedule(self, predictor: Predictor) -> "Batcher | None":
        """Return a batcher for a model, warmed up, if there is a scheduler; it takes its time."""
        return self._scheduler(predictor) if self._scheduler else None

    def shadow(self, predictor: Predictor, share: Share) -> Shadow:
        """Ask a model, whose answers nobody gets, what a share of requests asked the one of its name."""
        shadow = Shadow(predictor, share, lambda: any(served.active for served in self.models))
        self.shadows.setdefault(predictor.info.name, []).append(shadow)
        return shadow

    def drain(self) -> None:
        """Say from now on that the server is not ready; requests are still answered until `close`."""
        self._draining = True

    def close(self) -> None:
        """Release the threads and all models; what runs ends first."""
        self._closed = True
        self._threads.shutdown()
        for served in self.models:
            served.retire()
        for shadow in itertools.chain(*self.shadows.values()):
            shadow.close()

    def ready(self) -> bool:
        """Return whether inference requests are answered: all models are there, and it is not the end."""
        return bool(self.models) and not (self.loading or self._closed or self._draining)

    def model_ready(self, name: str, version: str | None = None) -> bool:
        """Return whether inference requests to a model are answered, and will be; `NotFoundError`."""
        self.model(name, version)
        return not self._draining

    def metadata(self) -> dict[str, Any]:
        """Return name, version and extensions of the server."""
        return {"name": "onnxway", "version": metadata.version("onnxway"), "extensions": list(EXTENSIONS)}

    def model(self, name: str | None = None, version: str | None = None) -> Served:
        """Return a model by name, and version or else its newest; without a name, the only one that is served."""
        if self._closed:
            raise NotReadyError("the server is shutting down; ask another one")
        if self.loading and (name is None or name not in self.models):
            raise NotReadyError("models are still being loaded; ask again when /v2/health/ready says so")
        return self.models.get(name, version)

    def route(self, name: str | None = None, version: str | None = None) -> Served:
        """Return who is to answer a request, as `model` does, but canaries get their shares. To be used in a `with`."""
        self.model(name, version)
        return self.models.route(name, version)

    def answered(self, served: Served, request: InferRequest, outputs: Mapping[str, Array], timing: Timing) -> None:
        """Count a request that is about to be answered, and let shadows have a copy of it."""
        served.statistics.succeeded(request.rows, timing)
        if self.shadows and served.share is None and not self._draining:
            info = served.predictor.info
            for shadow in self.shadows.get(info.name, ()):
                shadow.offer(info, request.arrays, outputs)

    def model_metadata(self, name: str, version: str | None = None) -> dict[str, Any]:
        """Return the model's versions and tensors, and under `parameters` what is particular to a bundle."""
        info = self.model(name, version).predictor.info
        return {
            "name": info.name,
            "versions": self.models.versions(info.name),
            "platform": "onnxruntime_onnx",
            "inputs": messages.describe(info.input),
            "outputs": messages.describe(info.output),
            "parameters": {
                "version": info.version,
                "digest": info.digest,
                "variant": info.variant,
                "provider": info.provider,
                "input_kind": info.input.kind,
                "output_kind": info.output.kind,
                "labels": list(info.labels),
            },
        }

    def model_config(self, name: str, version: str | None = None) -> dict[str, Any]:
        """Return the model in the words of Triton's model configuration."""
        return model_config(self.model(name, version).predictor.info, self.bounds.rows)

    def statistics(self, name: str | None = None, version: str | None = None) -> dict[str, Any]:
        """Return what one model has done since it was loaded (all its versions, unless one is named), or all models."""
        if name:
            self.model(name, version)

        def asked(info: Info) -> bool:
            return not name or (info.name == name and version in (None, "", info.version))

        return {"model_stats": [served.stats() for served in self.models if asked(served.predictor.info)]}

    async def index(self, *, ready: bool = False) -> list[dict[str, str]]:
        """Return the models that are served and, unless only those `ready` are asked for, those that could be."""
        served = [(model.predictor.info.name, model.predictor.info.version) for model in self.models]
        found = dict.fromkeys(served, "READY")
        if self._repository and not ready:
            for entry in await self._in_thread(self._repository.entries):
                found.setdefault((entry.name, entry.version), "UNAVAILABLE")
        return [
            {"name": name, "version": version, "state": state, "reason": "" if state == "READY" else "unloaded"}
            for (name, version), state in sorted(found.items())
        ]

    async def load(self, name: str, parameters: object = None) -> None:
        """Load all versions of a model from the repository, in the place of those of the same version."""
        repository = self._require_repository()
        if parameters:
            raise UnsupportedError("parameters: models are loaded as their bundles are; send none")
        async with self._loading:
            for predictor in await self._in_thread(repository.load, name):
                run = await self._in_thread(self.schedule, predictor)
                self.add(predictor, run, replace=True)

    async def unload(self, name: str) -> None:
        """Stop serving a model; requests that have begun are answered."""
        self._require_repository()
        async with self._loading:
            self.model(name)
            self.models.remove(name)

    async def infer(self, served: Served, request: InferRequest, timing: Timing) -> Mapping[str, Array]:
        """Run a checked request; `OverloadedError` or `DeadlineError` when it is not, or not in time.

        To be called within `with served`, as `route` hands it out: a model that is retired meanwhile stays open.
        """
        timing.rows = request.rows
        return await served.run(request.arrays, request.timeout_s, request.priority, timing.passage)

    async def infer_wire(self, name: str, version: str | None, headers: Mapping[str, str], body: bytes) -> Wire:
        """Answer an inference request over HTTP.

        headers    by lower-case names
        body       as it came: still compressed, if Content-Encoding says so
        """
        timing = Timing()
        served: Served | None = None
        try:
            with self.route(name, version) as served:
                predictor, timing.info = served.predictor, served.predictor.info
                heavy = over_http.is_heavy(headers, body)
                if heavy:
                    request = await self._in_thread(over_http.read, headers, body, predictor, self.bounds)
                else:
                    request = over_http.read(headers, body, predictor, self.bounds)
                timing.lap("decode")
                outputs = await self.infer(served, request, timing)
                timing.lap("infer")
            accepted = headers.get("accept-encoding", "")
            if over_http.writes_much(outputs, request, accepted):
                wire = await self._in_thread(over_http.write, outputs, request, accepted, timing)
            else:
                wire = over_http.write(outputs, request, accepted, timing)
            timing.lap("encode")
        except Exception as error:
            if served is not None:
                served.statistics.failed(timing, error)
            if isinstance(error, OnnxwayError):
                return over_http.known_error(error, timing)
            _log.exception("model %s", name)
            return over_http.error_wire(500, INTERNAL, timing=timing)
        self.answered(served, request, outputs, timing)
        return over_http.timed(wire, timing)

    async def predict(
        self,
        payload: payloads.Payload,
        name: str | None = None,
        version: str | None = None,
        timing: Timing | None = None,
        accept: str = "",
    ) -> tuple[dict[str, Any] | payloads.File, Timing]:
        """Answer a payload as an application holds it with its typed result, or a list of them for a batch.

        timing    is told how long it took, also when it fails; by default a new one
        accept    media types that are wanted, as HTTP says it; JSON where none fits
        """
        timing = timing or Timing()
        served = self.route(name, version)
        predictor, info = served.predictor, served.predictor.info
        timing.info = info
        try:
            with served:
                reading = await self._in_thread(payloads.read, payload, predictor, self.bounds)
                timing.lap("decode")
                request, outputs = await self._hold(served, reading, timing)
                timing.lap("infer")
            heavy = bool(predictor.answers.media) or over_http.writes_much(outputs, request, "")
            answer = await self.somewhere(heavy, payloads.answer, reading, predictor, accept)
            timing.lap("encode")
        except Exception as error:
            served.statistics.failed(timing, error)
            raise
        self.answered(served, request, outputs, timing)
        if isinstance(answer, dict):
            answer = {"model_name": info.name, "model_version": info.version, **answer}
        return answer, timing

    async def _hold(
        self, served: Served, reading: payloads.Reading, timing: Timing
    ) -> tuple[InferRequest, Mapping[str, Array]]:
        """Make all runs of a talk; return the last request and its outputs. One in many takes more than one."""
        request, turns = reading.request, reading.turns
        while True:
            outputs = await self.infer(served, request, timing)
            turns.hear(outputs)
            if turns.answer is not None:
                return request, outputs
            request = replace(request, arrays=turns.arrays)

    async def predict_wire(
        self, name: str | None, version: str | None, headers: Mapping[str, str], body: bytes
    ) -> Wire:
        """Answer a payload over HTTP with its typed result; the arguments are those of `infer_wire`."""
        timing = Timing()
        content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
        payload = payloads.Payload(body, content_type == "application/json", headers.get("content-encoding", ""))
        try:
            answer, _ = await self.predict(payload, name, version, timing, headers.get("accept", ""))
        except OnnxwayError as error:
            return over_http.known_error(error, timing)
        except Exception:
            _log.exception("model %s", name)
            return over_http.error_wire(500, INTERNAL, timing=timing)
        if isinstance(answer, payloads.File):
            return over_http.predicted(answer.media, answer.body, timing)
        return over_http.predicted("application/json", json_text.write(answer), timing)

    async def somewhere(self, heavy: bool, function: Callable[..., T], *arguments: Any) -> T:
        """Call a function on a thread if it takes long, and else here: handing over costs more than a small one."""
        return await self._in_thread(function, *arguments) if heavy else function(*arguments)

    async def _in_thread(self, function: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)

    def _release(self, close: Callable[[], None]) -> None:
        """Close a model where it keeps no event loop waiting; at the end here, because somebody waits for it."""
        if self._closed:
            close()
        else:
            self._threads.submit(close)

    def _require_repository(self) -> Repository:
        if self._repository is None:
            raise UnsupportedError("this server has no repository; name a folder of bundles when it is started")
        return self._repository

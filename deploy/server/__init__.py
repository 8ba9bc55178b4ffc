"""The Open Inference Protocol over one transport-free data plane."""

import importlib.util
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.errors import OnnxwayError
from deploy.server.options import ServerOptions

if TYPE_CHECKING:
    from deploy.batcher import Batcher
    from deploy.providers import Provider
    from deploy.server.lifecycle.watch import Source
    from deploy.server.processes.peers import Member


def serve_bundles(
    folders: "Sequence[Source]",
    provider: "Provider" = "cpu",
    *,
    variant: str = "fp32",
    provider_options: Mapping[str, object] | None = None,
    threads: int | None = None,
    unverified: bool = False,
    trusted_key: Path | str | None = None,
    options: ServerOptions | None = None,
    repository: Path | str | None = None,
    watch: float | None = None,
    canaries: "Sequence[tuple[Source, float]]" = (),
    shadows: "Sequence[tuple[Source, float]]" = (),
    member: "Member | None" = None,
) -> None:
    """Load bundles as `Predictor.load` does and serve them, each under its name, until SIGTERM or Ctrl-C.

    folders       bundles or run folders; a function is asked, and with `watch` again and again
    options       addresses, limits, security, records
    repository    a folder of bundles that may be loaded and unloaded
    watch         look every so many seconds whether something else lies there, in `repository` too, and swap it in
    canaries      bundles with the share (0 to 1) of their model's requests that they get, if these name no version
    shadows       bundles with the share of their model's requests that they get a copy of; nobody gets their answers
    member        for a process that this function has started, where `options.processes` asks for several
    """
    _require("serve", "starlette", "httptools", "orjson")
    options = options or ServerOptions()
    options.require_control(repository)
    if options.grpc_port is not None:
        _require("grpc", "grpc", "google.protobuf")
    if options.processes > 1 and member is None:
        from deploy.server.processes.supervisor import supervise

        supervise(
            options,
            folders,
            canaries,
            shadows,
            watch,
            provider=provider,
            variant=variant,
            provider_options={key: str(value) for key, value in (provider_options or {}).items()},
            threads=threads,
            unverified=unverified,
            trusted_key=None if trusted_key is None else str(trusted_key),
            repository=None if repository is None else str(repository),
        )
        return
    from deploy.batching import Limits
    from deploy.predictor import Predictor
    from deploy.server.dataplane import DataPlane
    from deploy.server.lifecycle import events
    from deploy.server.lifecycle.routing import Share
    from deploy.server.lifecycle.swaps import Lifecycle, Place
    from deploy.server.repository import Repository
    from deploy.server.serve import serve
    from deploy.warmup import Serving

    def load(folder: Path | str, threads: int | None = threads) -> Predictor:
        return Predictor.load(
            folder,
            provider,
            variant=variant,
            provider_options=provider_options,
            threads=threads,
            unverified=unverified,
            trusted_key=trusted_key,
            max_pixels=options.max_pixels,
        )

    def schedule(predictor: Predictor) -> "Batcher":
        return predictor.warm_up(Serving(limits=Limits(rows=options.max_queue)))

    shelf = Repository(repository, load) if repository is not None else None
    dataplane = DataPlane(repository=shelf, scheduler=schedule, max_body=options.max_body, max_rows=options.max_rows)
    places = [Place(folder) for folder in folders]
    places += [Place(folder, share=Share(share)) for folder, share in canaries]
    places += [Place(folder, share=Share(share), shadow=True) for folder, share in shadows]
    lifecycle = Lifecycle(
        dataplane,
        load,
        places,
        load_shadow=partial(load, threads=threads or 1),  # one core: the others are for those who wait
        repository=None if shelf is None else shelf.folder,
        watch_s=watch,
    )
    events.show(options.log_level)
    serve(dataplane, options, beside=[lifecycle], member=member)  # the others answer that they are live while it loads


def _require(extra: str, *modules: str) -> None:
    missing = [name for name in modules if importlib.util.find_spec(name.partition(".")[0]) is None]
    if missing:
        raise OnnxwayError(f"{', '.join(missing)} not installed; pip install 'onnxway[{extra}]'")

"""The Open Inference Protocol over one transport-free data plane."""

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.errors import OnnxwayError

if TYPE_CHECKING:
    from deploy.providers import Provider


def serve_bundles(
    folders: Sequence[Path | str],
    provider: "Provider" = "cpu",
    *,
    variant: str = "fp32",
    provider_options: Mapping[str, object] | None = None,
    threads: int | None = None,
    unverified: bool = False,
    trusted_key: Path | str | None = None,
    host: str = "127.0.0.1",
    port: int = 8000,
    grpc_port: int | None = None,
    repository: Path | str | None = None,
) -> None:
    """Load bundles as `Predictor.load` does and serve them, each under its name, until SIGTERM or Ctrl-C.

    grpc_port     serve the protocol over gRPC too, on this port
    repository    a folder of bundles that clients may load and unload; give one only where clients are trusted to
    """
    _require("serve", "starlette", "httptools", "orjson")
    if grpc_port is not None:
        _require("grpc", "grpc", "google.protobuf")
    from deploy.predictor import Predictor
    from deploy.server.dataplane import DataPlane
    from deploy.server.repository import Repository
    from deploy.server.serve import serve

    def load(folder: Path | str) -> Predictor:
        return Predictor.load(
            folder,
            provider,
            variant=variant,
            provider_options=provider_options,
            threads=threads,
            unverified=unverified,
            trusted_key=trusted_key,
        )

    shelf = Repository(repository, load) if repository is not None else None
    dataplane = DataPlane(repository=shelf, scheduler=Predictor.warm_up)
    for folder in folders:
        dataplane.add(load(folder))
    beside = []
    if grpc_port is not None:
        from deploy.server.grpc import GrpcServer

        beside.append(GrpcServer(dataplane, host=host, port=grpc_port))
    serve(dataplane, host=host, port=port, beside=beside)


def _require(extra: str, *modules: str) -> None:
    missing = [name for name in modules if importlib.util.find_spec(name.partition(".")[0]) is None]
    if missing:
        raise OnnxwayError(f"{', '.join(missing)} not installed; pip install 'onnxway[{extra}]'")

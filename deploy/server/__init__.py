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
) -> None:
    """Load bundles as `Predictor.load` does and serve them, each under its name, until SIGTERM or Ctrl-C."""
    missing = [name for name in ("starlette", "uvicorn") if importlib.util.find_spec(name) is None]
    if missing:
        raise OnnxwayError(f"{' and '.join(missing)} not installed; pip install 'onnxway[serve]'")
    from deploy.predictor import Predictor
    from deploy.server.dataplane import DataPlane
    from deploy.server.serve import serve

    dataplane = DataPlane()
    for folder in folders:
        dataplane.add(
            Predictor.load(
                folder,
                provider,
                variant=variant,
                provider_options=provider_options,
                threads=threads,
                unverified=unverified,
                trusted_key=trusted_key,
            )
        )
    serve(dataplane, host=host, port=port)

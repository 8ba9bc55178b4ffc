"""A reference to a loaded predictor, or to a server on it."""

from pathlib import Path
from typing import TYPE_CHECKING, cast

from pipeline.console import Console
from pipeline.references import LATEST, bundle_folder

if TYPE_CHECKING:
    from deploy.predictor import Predictor
    from deploy.providers import Provider


def predictor(reference: str, provider: str, runs: Path, trusted_key: Path | None) -> "Predictor":
    """Load the bundle behind a reference, strictly on a provider."""
    import onnxruntime

    from deploy.predictor import Predictor

    onnxruntime.set_default_logger_severity(4)  # its lines say less than the errors of deploy
    return Predictor.load(bundle_folder(reference, runs), cast("Provider", provider), trusted_key=trusted_key)


def serve(reference: str | None, provider: str, runs: Path, trusted_key: Path | None, *, host: str, port: int) -> None:
    """Serve the bundle behind a reference until somebody stops the process."""
    import onnxruntime

    from deploy.server import serve_bundles

    onnxruntime.set_default_logger_severity(4)
    folder = bundle_folder(reference, runs)
    if reference in (None, LATEST):
        Console().say(f"latest run: {folder}")
    serve_bundles([folder], cast("Provider", provider), trusted_key=trusted_key, host=host, port=port)

"""A reference to a loaded predictor, or to a server on it."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from deploy import bundle
from pipeline.console import Console
from pipeline.references import LATEST, bundle_folder

if TYPE_CHECKING:
    from deploy.predictor import Predictor
    from deploy.providers import Provider
    from deploy.server.lifecycle.watch import Source
    from deploy.server.options import ServerOptions

LOOK_S = 1.0
"""Once a reference leads elsewhere, the server looks there within so many seconds; a look costs a listing."""


class Followed:
    """The folder behind a reference that may lead elsewhere: an alias that is moved, a later run.

    A thread of its own finds it out and fetches what is not here yet, so that a registry that is slow or away holds up
    neither requests nor the end of the server. A call says where it leads now, or raises what was last in the way.
    """

    def __init__(self, resolve: Callable[[], Path], every_s: float) -> None:
        self._resolve = resolve
        self._now: Path | Exception = resolve()
        self._every_s = every_s
        self._ended = threading.Event()
        threading.Thread(target=self._follow, name="onnxway-reference", daemon=True).start()

    def __call__(self) -> Path:
        """Return the folder."""
        if isinstance(self._now, Exception):
            raise self._now
        return self._now

    def close(self) -> None:
        """Follow it no more."""
        self._ended.set()

    def _follow(self) -> None:
        while not self._ended.wait(self._every_s):
            try:
                self._now = self._resolve()
            except Exception as error:  # whatever it is, it may be over at the next try
                self._now = error


def predictor(reference: str, provider: str, runs: Path, trusted_key: Path | None) -> "Predictor":
    """Load the bundle behind a reference, strictly on a provider."""
    import onnxruntime

    from deploy.predictor import Predictor

    onnxruntime.set_default_logger_severity(4)  # its lines say less than the errors of deploy
    return Predictor.load(bundle_folder(reference, runs), cast("Provider", provider), trusted_key=trusted_key)


def serve(
    reference: str | None,
    provider: str,
    runs: Path,
    trusted_key: Path | None,
    options: "ServerOptions",
    *,
    watch: float | None = None,
    canaries: Sequence[tuple[str, float]] = (),
    shadows: Sequence[tuple[str, float]] = (),
) -> None:
    """Serve the bundle behind a reference until somebody stops the process.

    watch               look every so many seconds whether the references lead to something else
    canaries, shadows   references, with their shares of the requests, as `deploy.server.serve_bundles` has them
    """
    import onnxruntime

    from deploy.server import serve_bundles

    onnxruntime.set_default_logger_severity(4)

    def source(reference: str | None) -> "Source":
        if watch is None or (reference is not None and (Path(reference) / bundle.MANIFEST).is_file()):
            return bundle_folder(reference, runs)
        return Followed(lambda: bundle_folder(reference, runs), watch)

    main = source(reference)
    if reference in (None, LATEST):
        Console().say(f"latest run: {main() if callable(main) else main}")
    serve_bundles(
        [main],
        cast("Provider", provider),
        trusted_key=trusted_key,
        options=options,
        watch=None if watch is None else min(watch, LOOK_S),
        canaries=[(source(canary), share) for canary, share in canaries],
        shadows=[(source(shadow), share) for shadow, share in shadows],
    )

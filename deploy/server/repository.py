"""A folder of bundles, of which clients may load and unload models while the server runs."""

import json
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from deploy import bundle
from deploy.errors import NotFoundError
from deploy.opening import find_bundle
from deploy.predictor import Predictor
from deploy.schema import closest


@dataclass(frozen=True)
class Entry:
    """One bundle in a repository, by what its manifest says; whether it can be loaded is seen when it is."""

    name: str
    version: str
    folder: Path


class Repository:
    """Bundles (or run folders that hold one) side by side in one folder; looked at anew for each question.

    `open_bundle` makes a predictor of a folder, as `Predictor.load` does.
    """

    def __init__(self, folder: Path | str, open_bundle: Callable[[Path], Predictor] = Predictor.load) -> None:
        self.folder = Path(folder)
        self._open = open_bundle
        if not self.folder.is_dir():
            raise NotFoundError(f"{self.folder}: no such folder; name one that holds bundles")

    def entries(self) -> list[Entry]:
        """Return what is there now, by name and version; folders that hold no readable manifest are passed over."""
        found = []
        for path in sorted(self.folder.iterdir()):
            if path.name.startswith(".") or not path.is_dir():
                continue
            folder = find_bundle(path)
            try:
                manifest = json.loads((folder / bundle.MANIFEST).read_bytes())
                found.append(Entry(str(manifest["name"]), str(manifest["version"]), folder))
            except (OSError, ValueError, RecursionError, KeyError, TypeError):
                continue
        return sorted(found, key=lambda entry: (entry.name, entry.version))

    def load(self, name: str) -> list[Predictor]:
        """Load every version of a model that is there; all of them, or the first one's error and none."""
        entries = self.entries()
        wanted = [entry for entry in entries if entry.name == name]
        if not wanted:
            raise NotFoundError(
                f"model {name[:100]!r}: not in the repository; {closest(name[:100], {entry.name for entry in entries})}"
            )
        with ExitStack() as opened:
            loaded = [opened.enter_context(self._open(entry.folder)) for entry in wanted]
            opened.pop_all()  # all are there: none is closed
        return loaded

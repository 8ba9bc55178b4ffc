"""What lies at a place on disk now, and whether that is something new."""

import os
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from pathlib import Path

from deploy import bundle, files
from deploy.errors import NotFoundError
from deploy.opening import find_bundle

Source = Path | str | Callable[[], Path]
"""A bundle or a run folder (links are followed at each look), or a function that says which folder it is now."""


@dataclass(frozen=True)
class Found:
    """A bundle's folder, with links resolved, and what its files look like from outside."""

    folder: Path
    state: Hashable

    def digest(self) -> str:
        """Return the digest of the manifest, which covers all that is in the bundle; `NotFoundError`."""
        try:
            return files.sha256_file(self.folder / bundle.MANIFEST)
        except OSError:
            raise NotFoundError(f"{self.folder}: no bundle there ({bundle.MANIFEST} cannot be read)") from None


def look(source: Source) -> Found:
    """Return what is at a place now; `NotFoundError` when there is nothing."""
    folder = find_bundle(source() if callable(source) else source).resolve()
    try:
        return Found(folder, (folder, tuple(_entries(folder)), tuple(_entries(folder.with_name(_beside(folder))))))
    except OSError as error:
        raise NotFoundError(f"{folder}: no bundle there ({os.strerror(error.errno or 0).lower()})") from None


def shelf(folder: Path) -> list[Path] | None:
    """Return the folders in a repository that hold a bundle now; None when the repository cannot be read."""
    try:
        paths = sorted(folder.iterdir())
    except OSError:
        return None
    return [path for path in paths if not path.name.startswith(".") and (find_bundle(path) / bundle.MANIFEST).is_file()]


def _beside(folder: Path) -> str:
    """Return the name of the folder where `pipeline verify BUNDLE` puts what makes a bundle hold on this machine."""
    return f"{folder.name}.recertified"


def _entries(folder: Path) -> Iterator[tuple[str, int, int, int, int]]:
    """Yield what changes when a file does: a change that leaves size and times alone still has another inode."""
    if not folder.is_dir():
        return
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            found = entry.stat(follow_symlinks=False)
            yield entry.name, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns

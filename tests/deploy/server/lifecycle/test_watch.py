import os
import shutil
from pathlib import Path

import pytest

from deploy.errors import NotFoundError
from deploy.server.lifecycle.watch import look, shelf
from tests.deploy.server.lifecycle.kit import make, point


def test_a_look_sees_what_changed(copied: Path, colours: Path, tmp_path: Path) -> None:
    first = look(copied)
    assert look(str(copied)) == first
    assert look(lambda: copied) == first
    model = copied / "model.onnx"
    before, data = model.stat(), model.read_bytes()
    (copied / "new").write_bytes(data)
    (copied / "new").replace(model)
    os.utime(model, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (model.stat().st_size, model.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert look(copied).state != first.state
    digest = look(copied).digest()
    make(copied, colours, shift=1)
    assert look(copied).digest() != digest


def test_what_makes_a_bundle_hold_here_counts_too(copied: Path) -> None:
    first = look(copied)
    (copied.parent / f"{copied.name}.recertified").mkdir()
    (copied.parent / f"{copied.name}.recertified" / "fp32-cpu-0.json").write_text("{}")
    assert look(copied).state != first.state


def test_links_are_followed_to_the_end(colours: Path, tmp_path: Path) -> None:
    run, link = tmp_path / "run", tmp_path / "latest"
    shutil.copytree(colours, run / "package" / "bundle")
    point(link, run)
    found = look(link)
    assert found.folder == (run / "package" / "bundle").resolve()
    point(link, colours)
    assert look(link).folder == colours.resolve()
    assert look(link).state != found.state


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no bundle there"):
        look(tmp_path / "none").digest()
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotFoundError, match="no bundle there"):
        look(tmp_path / "empty").digest()


def test_the_bundles_of_a_repository(colours: Path, tmp_path: Path) -> None:
    for name in ("b", "a", ".hidden"):
        shutil.copytree(colours, tmp_path / name)
    (tmp_path / "other").mkdir()
    (tmp_path / "README").write_text("no bundle")
    assert shelf(tmp_path) == [tmp_path / "a", tmp_path / "b"]
    assert shelf(tmp_path / "none") is None

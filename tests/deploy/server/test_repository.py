from pathlib import Path

import numpy as np
import pytest

from deploy import Predictor
from deploy.errors import NotFoundError, OnnxwayError
from deploy.server.repository import Repository

PIXEL = np.zeros((1, 1, 1, 3), np.uint8)


def test_every_folder_with_a_manifest_is_an_entry(shelf: Path) -> None:
    found = [(entry.name, entry.version, entry.folder.name) for entry in Repository(shelf).entries()]
    assert found == [("colours", "10", "colours-10"), ("colours", "2", "colours-2"), ("other", "1", "other-1")]


def test_all_versions_or_none_are_loaded(shelf: Path) -> None:
    opened: list[Predictor] = []

    def open_bundle(folder: Path) -> Predictor:
        if len(opened) == 3:
            raise NotFoundError("gone")
        opened.append(Predictor.load(folder, threads=1))
        return opened[-1]

    repository = Repository(shelf, open_bundle)
    assert [predictor.info.version for predictor in repository.load("colours")] == ["10", "2"]
    with pytest.raises(NotFoundError, match="gone"):
        repository.load("colours")
    assert opened[0].infer({"image": PIXEL})
    with pytest.raises(OnnxwayError, match="is closed"):
        opened[2].infer({"image": PIXEL})


def test_it_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no such folder; name one that holds bundles"):
        Repository(tmp_path / "nothing")

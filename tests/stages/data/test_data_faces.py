from pathlib import Path

import numpy as np

from stages.data.faces import faces
from tests.stages.data.kit import refused, sound


def test_faces_are_split_by_class(generated_data: Path) -> None:
    data = faces(generated_data)
    sound(data)
    assert data.info.sizes == {"train": 120, "validation": 20, "test": 60}
    assert data.info.counts == (60, 60)
    bright = data.test.inputs[:, 8:17, 8:17].mean(axis=(1, 2, 3)) > 120
    np.testing.assert_array_equal(bright, data.test.targets == data.info.labels.index("face"))


def test_a_file_of_another_form_is_refused(tmp_path: Path) -> None:
    refused(lambda: faces(tmp_path), "missing", "--data-root")
    (tmp_path / "faces").mkdir()
    path = tmp_path / "faces" / "lfw_subset_200x25x25.npz"
    np.savez(path, x=np.zeros((4, 25, 25)), y=np.zeros(4))
    refused(lambda: faces(tmp_path), "x is float64", "expected uint8 (4, 25, 25)")

import shutil
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest

from stages.data.plate_characters import CHARACTERS, plate_characters
from stages.data.read import fonts
from stages.data.read.distort import distorted
from tests.stages.data.kit import refused, sound

FONTS = Path(mpl.get_data_path()) / "fonts" / "ttf"
SMALL = {"fonts": str(FONTS), "characters": "ABC123", "train_per_class": 12, "test_per_class": 4}


def drawn(**options):
    return plate_characters(Path(), **{**SMALL, **options})


def test_characters_are_tested_on_fonts_that_training_lacks():
    data = drawn()
    sound(data)
    assert data.info.sizes == {"train": 72, "validation": 24, "test": 24}
    assert data.info.labels == tuple("ABC123")
    assert data.train.inputs.shape[1:] == (32, 32, 1)
    assert drawn().info == data.info
    assert drawn(seed=1).info.digest != data.info.digest


def test_without_distortion_a_known_font_is_seen_as_it_is():
    """Nearest neighbour tells characters of fonts that training has, and sees no picture of them in the test."""
    data = drawn(strength=0.0, train_per_class=40)
    known, unknown = (split.inputs.reshape(len(split), -1).astype(float) for split in (data.train, data.test))
    nearest = np.abs(unknown[:, None] - known).sum(axis=2)
    assert nearest.min() > 0
    assert (data.train.targets[nearest.argmin(axis=1)] == data.test.targets).mean() > 0.6


def test_there_are_the_characters_of_plates():
    assert len(CHARACTERS) == len(set(CHARACTERS)) == 31 + 24 + 10
    assert not set("IO") & set(CHARACTERS)


def test_fonts_that_lack_characters_are_no_fonts_for_them():
    refused(
        lambda: drawn(characters="京沪AB"),
        f"{FONTS}: 0 families of fonts have all of the 4 characters",
        "apt install fonts-noto-cjk",
        "--set data.fonts=FOLDER",
    )


def test_an_empty_folder_and_files_that_are_no_fonts(tmp_path):
    (tmp_path / "broken.ttf").write_bytes(b"no font")
    refused(lambda: drawn(fonts=str(tmp_path)), "0 families of fonts", "expected 3 or more")
    shutil.copy(FONTS / "DejaVuSans.ttf", tmp_path)
    refused(lambda: drawn(fonts=str(tmp_path)), "1 families of fonts", "(DejaVu Sans)")


@pytest.mark.parametrize(
    "options", [{"characters": "A"}, {"characters": "AAB"}, {"side": 7}, {"train_per_class": 1}, {"test_per_class": 1}]
)
def test_values_that_make_no_sense_are_named(options):
    refused(lambda: drawn(**options), "expected", "2 or more")


def test_weights_of_a_family_are_together():
    found = fonts.families([FONTS], "A1")
    assert len(found["DejaVu Sans"]) > 1
    assert all(path.suffix == ".ttf" for faces in found.values() for path, _ in faces)


def test_a_glyph_fills_the_picture_but_for_the_margin():
    for character in "AJ1":
        pixels = np.asarray(fonts.glyph(FONTS / "DejaVuSans.ttf", 0, character, 40))
        rows, columns = np.nonzero(pixels > 60)
        height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
        assert 28 <= max(height, width) <= 30
        assert abs(rows.min() + rows.max() - 39) <= 3
        assert abs(columns.min() + columns.max() - 39) <= 3


def test_distortion_of_nothing_changes_nothing_but_the_size():
    glyph = fonts.glyph(FONTS / "DejaVuSans.ttf", 0, "B", 64)
    seen = distorted(glyph, 32, 0.0, np.random.default_rng(0))
    small = np.asarray(glyph.resize((32, 32)))
    assert seen.shape == (32, 32)
    assert seen.dtype == np.uint8
    assert np.abs(seen.astype(int) - small).mean() < 12
    varied = {distorted(glyph, 32, 1.0, np.random.default_rng(seed)).tobytes() for seed in range(5)}
    assert len(varied) == 5

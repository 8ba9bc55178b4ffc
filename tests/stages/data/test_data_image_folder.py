import shutil
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from deploy.errors import UsageError
from deploy.inputs.image import decode_image
from stages import discover
from stages.data.digits import digits
from stages.data.image_folder import image_folder
from stages.errors import DataError
from stages.recipe import use


@pytest.fixture
def pictures(generated_data, tmp_path):
    shutil.copytree(generated_data / "pictures", tmp_path / "pictures")
    return tmp_path / "pictures"


def read(folder, **options):
    return image_folder(folder.parent, path=str(folder), **options)


def refused(folder, *words, **options):
    with pytest.raises(DataError) as caught:
        read(folder, **options)
    text = str(caught.value)
    assert "\n" not in text
    for word in words:
        assert word in text, text
    return text


def test_pictures_of_several_sizes_are_decoded_when_asked_for(pictures):
    data = read(pictures)
    assert data.info.labels == ("blue", "green", "red")
    assert data.info.sizes == {"train": 24, "validation": 6, "test": 6}
    assert data.info.sample_shape == ("height", "width", 3)
    assert data.info.name == "pictures"
    for split in (data.train, data.validation, data.test):
        assert not isinstance(split.inputs, np.ndarray)
        assert len(set(Counter(split.targets.tolist()).values())) == 1
        for picture, target in zip(split.inputs, split.targets, strict=True):
            assert picture.dtype == np.uint8
            assert data.info.labels[target] == ("red", "green", "blue")[int(picture.mean(axis=(0, 1)).argmax())]
    assert len({picture.shape for picture in data.train.inputs}) > 5


def test_every_picture_is_in_one_split(pictures):
    data = read(pictures)
    files = [file for split in (data.train, data.validation, data.test) for file in split.inputs.files]
    assert sorted(files) == sorted(pictures.glob("*/*.png"))
    assert data.train.inputs[2:4].files == data.train.inputs.files[2:4]
    assert np.array_equal(data.train.inputs[-1], decode_image(data.train.inputs.files[-1], 3))


def test_pictures_of_one_size_are_one_array(pictures):
    for path in pictures.glob("*/*.png"):
        Image.open(path).resize((12, 9)).save(path)
    data = read(pictures, channels=1)
    assert data.train.inputs.shape == (24, 9, 12, 1)
    assert data.validation.inputs.shape == (6, 9, 12, 1)
    bare = read(pictures, validation=0.0)
    assert len(bare.validation) == 0


def test_many_pictures_of_one_size_are_left_on_the_disk(pictures, monkeypatch):
    monkeypatch.setattr("stages.data.image_folder._STACKED_BYTES", 100)
    for path in pictures.glob("*/*.png"):
        Image.open(path).resize((12, 9)).save(path)
    assert not isinstance(read(pictures).train.inputs, np.ndarray)


def test_the_path_is_relative_to_the_current_folder(pictures, monkeypatch):
    monkeypatch.chdir(pictures.parent)
    component = use("image_folder", path="pictures")
    assert discover.call("data", component, pictures / "elsewhere").info == read(pictures).info


def test_the_digest_is_of_bytes_classes_and_split(pictures):
    before = read(pictures).info.digest
    assert read(pictures).info.digest == before
    others = [read(pictures, **change).info.digest for change in ({"seed": 1}, {"test": 0.3}, {"channels": 1})]
    (pictures / "red").rename(pictures / "rouge")
    others.append(read(pictures).info.digest)
    (pictures / "rouge").rename(pictures / "red")
    path = pictures / "red" / "3.png"
    changed = np.array(Image.open(path))
    changed[0, 0, 0] ^= 1
    Image.fromarray(changed).save(path)
    others.append(read(pictures).info.digest)
    assert len({before, *others}) == 6


def test_system_files_are_no_pictures(pictures):
    before = read(pictures).info
    (pictures / "red" / ".DS_Store").write_bytes(b"x")
    (pictures / "red" / "Thumbs.db").write_bytes(b"x")
    (pictures / ".cache").mkdir()
    (pictures / "README.txt").write_text("about these pictures")
    assert read(pictures).info == before


def test_all_corrupt_pictures_are_counted_and_the_first_named(pictures):
    for number in range(5):
        path = pictures / "green" / f"{number}.png"
        path.write_bytes(path.read_bytes()[:200])
    (pictures / "red" / "notes.txt").write_text("no picture")
    text = refused(pictures, f"{pictures}: 6 of 37 files cannot be read as pictures: ", "and 3 more; replace or remove")
    assert text.count("green/") == 3


def test_unreadable_pictures_are_left_out_and_counted_where_that_is_asked_for(pictures):
    for path in (pictures / "green" / "1.png", pictures / "red" / "4.png"):
        path.write_bytes(path.read_bytes()[:200])
    data = read(pictures, skip_unreadable=True)
    assert data.info.skipped == 2
    assert sum(data.info.sizes.values()) == 34
    used = {file for split in (data.train, data.validation, data.test) for file in split.inputs.files}
    assert used == set(pictures.glob("*/*.png")) - {pictures / "green" / "1.png", pictures / "red" / "4.png"}
    for path in sorted((pictures / "green").iterdir())[:-1]:
        path.write_bytes(b"")
    refused(pictures, "too few pictures to split", "green (1)", skip_unreadable=True)
    for path in (pictures / "green").iterdir():
        path.write_bytes(b"")
    refused(pictures, "no sample to train on of green (0)", skip_unreadable=True)


def test_all_but_one_channel_count_is_brought_to_one(pictures):
    path = pictures / "red" / "1.png"
    Image.open(path).convert("L").save(path)
    assert {picture.shape[2] for picture in read(pictures).train.inputs} == {3}


def test_a_link_to_nowhere_is_a_corrupt_picture(pictures):
    (pictures / "red" / "link.png").symlink_to(pictures / "nothing")
    refused(pictures, "1 of 37 files cannot be read", "red/link.png")


@pytest.mark.parametrize("name", ["green", "new"])
def test_an_empty_class_folder_is_named(pictures, name):
    shutil.rmtree(pictures / name, ignore_errors=True)
    (pictures / name).mkdir()
    refused(pictures, f"{pictures / name}: no pictures in this class folder; add some, or remove the folder")


def test_one_class_is_not_enough(pictures):
    shutil.rmtree(pictures / "red")
    shutil.rmtree(pictures / "blue")
    refused(pictures, "has 1 sub-folders, classes are 2 or more", "one sub-folder a class")


def test_a_folder_without_classes(tmp_path):
    refused(tmp_path, "has 0 sub-folders")


def test_a_missing_folder(tmp_path):
    refused(tmp_path / "nowhere", "no such folder; name one: --set data.path=FOLDER")


def test_pictures_lying_beside_the_class_folders_are_named(pictures):
    shutil.copy(pictures / "red" / "1.png", pictures / "stray.png")
    refused(pictures, f"{pictures / 'stray.png'}: a picture outside of the class folders")


def test_folders_inside_class_folders_are_named(pictures):
    shutil.move(pictures / "red", pictures / "blue" / "red")
    refused(pictures, f"{pictures / 'blue' / 'red'}: a folder inside a class folder", "one sub-folder a class")


def test_classes_with_too_few_pictures_are_named_with_what_they_need(pictures):
    for path in sorted((pictures / "red").iterdir())[3:]:
        path.unlink()
    text = refused(pictures, "too few pictures to split 0.7 / 0.1 / 0.2 in 1 of 3 classes: red (3); each needs ")
    needed = int(text.partition("each needs ")[2].partition(",")[0])
    for number in range(needed - 3):
        shutil.copy(pictures / "blue" / f"{number}.png", pictures / "red" / f"copy{number}.png")
    assert min(np.bincount(read(pictures).validation.targets, minlength=3)) >= 1


@pytest.mark.parametrize("options", [{"test": 0.0}, {"validation": -0.1}, {"validation": 0.5, "test": 0.5}])
def test_shares_that_leave_nothing_to_train_are_named(pictures, options):
    refused(pictures, "data.validation=", "data.test=", **options)


def test_digits_split():
    data = digits(None)
    assert data.info.sizes == {"train": 1258, "validation": 180, "test": 359}
    assert data.train.inputs.max() == 255
    assert digits(None).info == data.info
    assert digits(None, seed=1).info.digest != data.info.digest


def test_a_recipe_without_a_path_says_how_to_set_it(tmp_path):
    with pytest.raises(UsageError, match=r"option 'path' is needed; --set data\.path=VALUE"):
        discover.call("data", use("image_folder"), tmp_path)

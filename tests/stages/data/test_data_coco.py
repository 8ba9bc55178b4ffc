import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from stages import train
from stages.data.coco import coco
from stages.data.read.boxes import NOTHING
from stages.errors import DataError
from stages.recipe import Recipe, TrainConfig, use


def content(sizes):
    """One box in each picture but the last, of two kinds in turn; ids are anything but row numbers."""
    images = [{"id": 70 + n, "file_name": f"{n}.png", "width": w, "height": h} for n, (w, h) in enumerate(sizes)]
    boxes = [
        {"id": 5 + n, "image_id": 70 + n, "category_id": (9, 3)[n % 2], "bbox": [2, 3, 10, 8], "iscrowd": 0}
        for n in range(len(sizes) - 1)
    ]
    return {
        "images": images,
        "annotations": boxes,
        "categories": [{"id": 9, "name": "dog"}, {"id": 3, "name": "cat"}],
    }


def write(folder, what, sizes):
    (folder / "images").mkdir(exist_ok=True)
    for number, (width, height) in enumerate(sizes):
        pixels = np.full((height, width, 3), number, np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{number}.png")
    (folder / "annotations.json").write_text(json.dumps(what))
    return folder / "annotations.json"


SIZES = [(20 + number, 30) for number in range(10)]


def read(tmp_path, what=None, sizes=SIZES, **options):
    return coco(tmp_path, path=str(write(tmp_path, what or content(sizes), sizes)), **options)


def rows(data):
    """Every picture's number (its colour), shape and targets, over all splits."""
    for split in (data.train, data.validation, data.test):
        for picture, target in zip(split.inputs, split.targets, strict=True):
            yield int(picture[0, 0, 0]), picture.shape, target


def test_every_picture_is_in_one_split_with_its_boxes(tmp_path):
    data = read(tmp_path)
    assert data.info.labels == ("cat", "dog")
    assert data.info.sizes == {"train": 7, "validation": 1, "test": 2}
    assert data.info.sample_shape == ("height", "width", 3)
    assert sorted(number for number, _, _ in rows(data)) == list(range(10))
    for number, (height, width, channels), (frame, box) in rows(data):
        assert (width, height, channels) == (20 + number, 30, 3)
        assert frame.tolist() == [0, 0, width, height, NOTHING]
        assert box.tolist() == ([2, 3, 12, 11, 1 - number % 2] if number < 9 else [0, 0, 0, 0, NOTHING])
    boxes = data.train.targets[:, 1:, 4]
    assert data.info.counts == ((boxes == 0).sum(), (boxes == 1).sum())


def test_pictures_of_one_size_are_one_array_and_may_be_elsewhere(tmp_path):
    file = write(tmp_path, content([(16, 12)] * 6), [(16, 12)] * 6)
    (tmp_path / "images").rename(tmp_path / "photos")
    data = coco(tmp_path, path=str(file), images=str(tmp_path / "photos"), channels=1)
    assert isinstance(data.train.inputs, np.ndarray)
    assert data.train.inputs.shape[1:] == (12, 16, 1)


def test_the_digest_tells_pictures_boxes_and_split(tmp_path):
    first = read(tmp_path).info.digest
    assert read(tmp_path).info.digest == first
    assert read(tmp_path, seed=1).info.digest != first
    moved = content(SIZES)
    moved["annotations"][4]["bbox"][0] += 1
    assert read(tmp_path, moved).info.digest != first
    assert read(tmp_path, sizes=SIZES[::-1]).info.digest != first


def test_crowds_and_boxes_without_area_are_left_out_and_others_are_cut_off_at_the_border(tmp_path):
    what = content(SIZES)
    what["annotations"][0]["iscrowd"] = 1
    what["annotations"][1]["bbox"] = [5, 5, 0, 10]
    what["annotations"][2]["bbox"] = [100, 5, 10, 10]
    what["annotations"][3]["bbox"] = [-5, 20.5, 10, 100]
    found = {number: target[1] for number, _, target in rows(read(tmp_path, what))}
    assert [found[number][4] for number in range(3)] == [NOTHING] * 3
    assert found[3].tolist() == [0, 20.5, 5, 30, 0]


def broken(change):
    what = content(SIZES)
    change(what)
    return what


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda what: what.pop("categories"), "has no list 'categories'"),
        (lambda what: what["annotations"][1].pop("bbox"), r"annotations\[1\] has no 'bbox'"),
        (
            lambda what: what["annotations"][1].update(image_id=1),
            "annotation 6: image_id is 1, which the file does not",
        ),
        (lambda what: what["annotations"][1].update(category_id=1), "annotation 6: category_id is 1"),
        (lambda what: what["annotations"][1].update(bbox=[1, 2, 3]), r"annotation 6: bbox is \[1, 2, 3\]"),
        (lambda what: what["annotations"][1].update(bbox=[1, 2, 3, float("nan")]), "expected finite numbers"),
        (lambda what: what["images"][1].update(id=70), "1 of 10 images have the id of another"),
        (lambda what: what["images"][1].update(width=99), "is 21 x 30 px upright, the file says 99 x 30"),
        (lambda what: what["images"][1].update(file_name="none.png"), r"none.png \(No such file"),
        (lambda what: what.update(categories=[]), "has no category"),
        (lambda what: what.update(images=what["images"][:1], annotations=[]), "1 pictures with data.validation=0.1"),
    ],
)
def test_what_is_wrong_in_the_file_is_named(tmp_path, change, words):
    with pytest.raises(DataError, match=words):
        read(tmp_path, broken(change))


def test_what_is_no_annotation_file_is_refused(tmp_path):
    (tmp_path / "list.json").write_text("[1, 2]")
    (tmp_path / "text.json").write_text("boxes")
    for name, words in (("list", "has no list 'images'"), ("text", "not JSON"), ("none", "cannot be read")):
        with pytest.raises(DataError, match=words):
            coco(tmp_path, path=str(tmp_path / f"{name}.json"))


def test_pictures_of_several_sizes_train_a_network_of_one_size(tmp_path):
    data = read(tmp_path)
    recipe = Recipe(
        name="boxes",
        data=use("coco", path="annotations.json"),
        input=use("image", height=32, width=24),
        model=use("pyramid_small", width=4, features=8),
        task=use("detect", score_threshold=0.0, candidates=20, max_detections=5),
        train=TrainConfig(epochs=1, batch_size=4, device="cpu", workers=0, threads=1, precision="fp32"),
    )
    assert np.isfinite(train.run(recipe, data, tmp_path / "run").metrics["map50"])
    own = replace(recipe, input=use("image", height=0, width=0))
    with pytest.raises(Exception, match="several shapes"):
        train.run(own, data, tmp_path / "other")

"""A recipe of the user's own, as a readable Python file, from a folder of images with one sub-folder a class."""

import json
import keyword
import re
import statistics
from pathlib import Path

from deploy import files
from deploy.errors import UsageError
from stages.data.image_folder import image_folder
from stages.dataset import Dataset
from stages.errors import DataError

_SIDES = (32, 64, 96, 128, 224)
_LOOKED_AT = 200

_TEXT = '''"""A recipe for {folder}: {classes} classes, {pictures} pictures.

    pipeline run ./{file}
    pipeline run ./{file} --set train.epochs=3

The second command changes a value for one run; any value below can be.
"""

from stages.recipe import Recipe, TrainConfig, use


def {function}() -> Recipe:
    """Classify pictures: {labels}."""
    return Recipe(
        name="{function}",
        # One sub-folder for each class:
{listing}
        data=use("image_folder", path={path}),
        # Every picture is brought to this size inside the exported graph. The pictures' median size is
        # {width} x {height} px; larger costs time (about its square), smaller costs detail.
        input=use("image", height={side}, width={side}),
        # See what else there is: pipeline list models
        model=use("resnet_small"),
        task=use("classify"),
        train=TrainConfig(
            epochs=30,
            batch_size={batch},
            lr=3e-3,
            weight_decay=0.02,
            schedule="onecycle",
            warmup=0.2,
        ),
    )
'''


def write_recipe(folder: Path, out: Path) -> dict[str, int]:
    """Write a recipe file for a folder of images; return the pictures by class.

    Every picture is read once. Raises `DataError` for a folder that cannot be trained on, and `UsageError` when `out`
    exists.
    """
    if out.exists():
        raise UsageError(f"{out}: exists already and is not overwritten; choose another: --out FILE")
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; give the one that holds a sub-folder of pictures for each class")
    dataset = image_folder(folder, path=str(folder))
    classes = _count(dataset)
    width, height = _median_size(dataset)
    pictures = sum(classes.values())
    text = _TEXT.format(
        folder=dataset.info.name,
        classes=len(classes),
        pictures=pictures,
        file=out.name,
        function=_identifier(out.stem),
        labels=", ".join(classes),
        listing="\n".join(f"        #   {label}: {count} pictures" for label, count in classes.items()),
        path=json.dumps(str(folder.resolve()), ensure_ascii=False),
        width=width,
        height=height,
        side=max((side for side in _SIDES if side <= min(width, height)), default=_SIDES[0]),
        batch=16 if pictures < 1000 else 64,
    )
    files.write_bytes(out, text.encode())
    return classes


def _count(dataset: Dataset) -> dict[str, int]:
    targets = [t for split in (dataset.train, dataset.validation, dataset.test) for t in split.targets.tolist()]
    return {label: targets.count(index) for index, label in enumerate(dataset.info.labels)}


def _median_size(dataset: Dataset) -> tuple[int, int]:
    """Return median width and height in px of some of the pictures."""
    rows = range(0, len(dataset.train), max(1, len(dataset.train) // _LOOKED_AT))
    heights, widths = zip(*(dataset.train.inputs[row].shape[:2] for row in rows), strict=True)
    return int(statistics.median(widths)), int(statistics.median(heights))


def _identifier(stem: str) -> str:
    name = re.sub(r"\W", "_", stem, flags=re.ASCII).strip("_").lower() or "my_recipe"
    return f"recipe_{name}" if name[0].isdigit() or keyword.iskeyword(name) else name

"""A small problem for every kind of input: data, a tiny model, and one sample in all forms that applications hold."""

import gzip
import io
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from deploy.inputs.text import encode_text
from stages.dataset import TEXT, DataInfo, Dataset, Split, alphabet
from stages.recipe import Component, use
from stages.split import digest

SIZES = {"train": 320, "validation": 20, "test": 100}

Rows = tuple[Any, np.ndarray]


@dataclass(frozen=True)
class Kind:
    """How a kind of input is walked.

    rows     makes so many samples and their classes; texts come as strings
    forms    one sample as applications hold it: Python values, and the bytes of files by Content-Type
    wrong    what must be refused, with words of the refusal
    """

    input: Component
    model: Component
    shape: tuple[int | str, ...]
    classes: int
    rows: Callable[[np.random.Generator, int], Rows]
    forms: Callable[[Any], list[object]]
    wrong: list[tuple[object, str]]
    files: Callable[[Any], dict[str, bytes]] = field(default=lambda _: {})


def dataset(name: str, kind: Kind) -> tuple[Dataset, Any]:
    """The splits, and the test samples as they were before they became arrays."""
    generator = np.random.default_rng(0)
    drawn = {part: kind.rows(generator, rows) for part, rows in SIZES.items()}
    samples = {part: inputs for part, (inputs, _) in drawn.items()}
    if isinstance(samples["test"], list):
        longest = encode_text([text for part in samples.values() for text in part]).shape[1]
        arrays = {part: encode_text(inputs, length=longest) for part, inputs in samples.items()}
    else:
        arrays = samples
    train, validation, test = (Split(arrays[part], drawn[part][1]) for part in SIZES)
    info = DataInfo(
        name=name,
        sample_shape=kind.shape,
        labels=tuple("abcd"[: kind.classes]),
        digest=digest(train, validation, test),
        licence="generated",
        sizes=SIZES,
        alphabet=alphabet(train.inputs) if kind.shape == TEXT else "",
    )
    return Dataset(info, train, validation, test), samples["test"]


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def png(pixels: np.ndarray) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def nifti(volume: np.ndarray) -> bytes:
    import nibabel

    data: bytes = nibabel.Nifti1Image(volume, np.eye(4)).to_bytes()
    return data


def csv(series: np.ndarray) -> bytes:
    return ("time,value\n" + "\n".join(",".join(repr(float(x)) for x in row) for row in series.T)).encode()


def pictures(generator: np.random.Generator, rows: int) -> Rows:
    classes = generator.integers(0, 3, rows)
    pixels = generator.integers(0, 120, (rows, 12, 10, 3))
    pixels[np.arange(rows), :, :, classes] += 100
    return pixels.astype(np.uint8), classes


def waves(generator: np.random.Generator, rows: int) -> Rows:
    classes = generator.integers(0, 3, rows)
    phase = generator.uniform(0, 6, (rows, 1))
    wave = np.sin(np.arange(40) * (classes[:, None] + 1) * 0.3 + phase) * generator.uniform(1, 9, (rows, 1))
    wave += generator.normal(0, 0.3, (rows, 40)) + generator.normal(0, 3, (rows, 1))
    return np.stack([wave, wave * generator.normal(1, 0.1, (rows, 1))], axis=1).astype(np.float32), classes


def patches(generator: np.random.Generator, rows: int) -> Rows:
    classes = generator.integers(0, 3, rows)
    values = generator.integers(0, 20_000, (rows, 5, 3, 3))
    values[np.arange(rows), classes] += 30_000
    return values.astype(np.uint16), classes


def volumes(generator: np.random.Generator, rows: int) -> Rows:
    classes = generator.integers(0, 2, rows)
    voxels = generator.integers(0, 100, (rows, 9, 6, 7))
    voxels[classes == 1, :4] += 100
    return voxels.astype(np.uint8), classes


def sentences(generator: np.random.Generator, rows: int) -> Rows:
    classes = generator.integers(0, 2, rows)
    words = (["bad", "poor", "awful", "dull"], ["good", "great", "fine", "lovely"])
    others = ["the", "film", "was", "a", "very", "long", "and", "it", "is,", "well,", "so!", "Ümlaut", "中文"]
    texts = []
    for label in classes:
        chosen = [*generator.choice(others, generator.integers(0, 9)), *generator.choice(words[label], 2)]
        texts.append(" ".join(generator.permutation(chosen)))
    return texts, classes


def text_kind(**options: Any) -> Kind:
    return Kind(
        input=use("text", **options),
        model=use("textcnn", embedding=8, filters=6),
        shape=TEXT,
        classes=2,
        rows=sentences,
        forms=lambda text: [text, text.encode(), encode_text([text])[0], encode_text([text])[0].tolist()],
        files=lambda text: {"text/plain": text.encode()},
        wrong=[(b"\xff\xfe\x00", "not UTF-8"), ("a\0b", r"U\+0000"), (np.array([97, 0, 98], np.int32), "0 is padding")],
    )


KINDS = {
    "image": Kind(
        input=use("image", height=12, width=10),
        model=use("resnet_small", width=4),
        shape=("height", "width", 3),
        classes=3,
        rows=pictures,
        forms=lambda pixels: [pixels, png(pixels)],
        files=lambda pixels: {"image/png": png(pixels)},
        wrong=[(b"no picture", "not a picture"), (np.zeros((4, 4, 3), np.float32), "expected uint8")],
    ),
    "series": Kind(
        input=use("series", znorm=True),
        model=use("fcn", width=8),
        shape=(2, "length"),
        classes=3,
        rows=waves,
        forms=lambda series: [series, series.astype(np.float64), series.tolist(), npy(series), csv(series)],
        files=lambda series: {"text/csv": csv(series), "application/octet-stream": npy(series)},
        wrong=[
            (np.full((2, 5), np.nan, np.float32), r"holds nan in row 0 at \[0, 0\]"),
            (np.full((2, 5), np.inf), "holds inf"),
            (np.zeros((3, 5), np.float32), "got shape"),
            (np.zeros((2, 0), np.float32), "holds nothing"),
            (b"1,2,3\n4,5,6\n", "lines of 3 numbers, expected 2"),
            (b"1,2\n3,x\n", "line 2 of numbers has 'x'"),
        ],
    ),
    "spectral": Kind(
        input=use("spectral", dtype="uint16", mean=(0.2,), std=(0.2,)),
        model=use("hybridsn", width=2),
        shape=(5, 3, 3),
        classes=3,
        rows=patches,
        forms=lambda patch: [patch, patch.astype(np.int64), patch.tolist(), npy(patch)],
        files=lambda patch: {"application/octet-stream": npy(patch)},
        wrong=[
            (np.full((5, 3, 3), 70_000), "uint16 cannot hold"),
            (np.zeros((4, 3, 3), np.uint16), "got shape"),
            (b"no array", "not a .npy file"),
            (npy(np.zeros(9))[:-8], r"damaged or cut short \.npy"),
        ],
    ),
    "text": text_kind(),
    "text by word": text_kind(unit="word", size=300),
    "volume": Kind(
        input=use("volume", depth=8, height=6, width=6, mean=(0.3,), std=(0.2,)),
        model=use("resnet3d", width=2),
        shape=("depth", "height", "width"),
        classes=2,
        rows=volumes,
        forms=lambda volume: [volume, volume.tolist(), npy(volume), nifti(volume), gzip.compress(nifti(volume))],
        files=lambda volume: {"application/octet-stream": gzip.compress(nifti(volume))},
        wrong=[
            (b"no volume", "neither NIfTI"),
            (nifti(np.zeros((3, 4, 5), np.uint8))[:380], "damaged or cut short"),
            (np.full((3, 4, 5), 300), "uint8 cannot hold"),
            (gzip.compress(b"no volume"), "neither NIfTI"),
        ],
    ),
}

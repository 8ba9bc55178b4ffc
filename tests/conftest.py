"""Fixtures that several folders share: generated data, real data where it lies, one small trained and exported run."""

import gzip
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data sets, or a skip that says how to have one."""
    root = Path(os.environ.get("ONNXWAY_DATA", REPOSITORY.parent / "shared" / "data"))
    if not (root / "mnist").is_dir():
        pytest.skip(f"no real data in {root}; set ONNXWAY_DATA to a folder that has mnist/")
    return root


@pytest.fixture(scope="session")
def generated_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with made-up sets in the form of the real ones; MNIST's files hold scikit-learn's digits (28 x 28).

    A folder `pictures` of pictures of several sizes is there too.
    """
    from PIL import Image
    from sklearn.datasets import load_digits

    from tests import miniatures

    root = tmp_path_factory.mktemp("data")
    miniatures.write_all(root)
    digits = load_digits()
    pixels = np.kron(digits.images[:500], np.ones((1, 3, 3))) * 15.9  # 24 x 24
    pixels = np.pad(pixels, ((0, 0), (2, 2), (2, 2))).astype(np.uint8)
    (root / "mnist").mkdir()
    for prefix, rows in (("train", slice(0, 400)), ("t10k", slice(400, 500))):
        images, labels = pixels[rows], digits.target[rows].astype(np.uint8)
        write_idx(root / "mnist" / f"{prefix}-images-idx3-ubyte.gz", images)
        write_idx(root / "mnist" / f"{prefix}-labels-idx1-ubyte.gz", labels)
    generator = np.random.default_rng(0)
    for label, colour in (("red", (220, 40, 40)), ("green", (40, 200, 40)), ("blue", (50, 50, 230))):
        (root / "pictures" / label).mkdir(parents=True)
        for number in range(12):
            height, width = generator.integers(20, 60, 2)
            noise = generator.integers(-40, 40, (height, width, 3))
            picture = np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)
            Image.fromarray(picture).save(root / "pictures" / label / f"{number}.png")
    return root


def write_idx(path: Path, array: Any) -> None:
    """Write a uint8 array as a gzipped IDX file."""
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    path.write_bytes(gzip.compress(header + array.tobytes()))


@pytest.fixture(scope="session")
def colour_data() -> Any:
    """A dataset of 32 x 24 RGB pictures in four classes that differ by colour and by position, with some noise."""
    from stages.dataset import DataInfo, Dataset, Split
    from stages.split import digest
    from tests.mutants.data import colours

    generator = np.random.default_rng(1)

    def split(rows: int) -> Split:
        return Split(*colours(rows, generator))

    train, validation, test = split(600), split(100), split(400)
    info = DataInfo(
        name="colours",
        sample_shape=("height", "width", 3),
        labels=("red top", "blue top", "red bottom", "blue bottom"),
        digest=digest(train, validation, test),
        licence="generated",
        sizes={"train": 600, "validation": 100, "test": 400},
    )
    return Dataset(info, train, validation, test)


@pytest.fixture(scope="session")
def colour_run(tmp_path_factory: pytest.TempPathFactory, colour_data: Any) -> Any:
    """`colour_data` trained for a few epochs, exported and verified once: the VerifyResult, to be read, not changed."""
    from stages import export, train, verify
    from stages.recipe import Recipe, TrainConfig, use

    recipe = Recipe(
        name="colours",
        data=use("digits"),  # never loaded: the dataset is given
        input=use("image", height=20, width=16, mean=(0.3, 0.4, 0.5), std=(0.2, 0.25, 0.3)),
        model=use("lenet5"),
        task=use("classify"),
        train=TrainConfig(epochs=4, batch_size=32, lr=2e-3, device="cpu"),
    )
    run = tmp_path_factory.mktemp("run")
    trained = train.run(recipe, colour_data, run / "train")
    exported = export.run(recipe.export, trained, run / "export")
    return verify.run(recipe.verify, exported, colour_data, run / "verify")


@pytest.fixture(scope="session")
def colour_bundle(tmp_path_factory: pytest.TempPathFactory, colour_run: Any, colour_data: Any) -> Path:
    """The bundle of `colour_run`."""
    from stages import package
    from stages.recipe import PackageConfig

    folder = tmp_path_factory.mktemp("packaged")
    return package.run(PackageConfig(), colour_run, colour_data, folder).bundle


@pytest.fixture(scope="session")
def key_pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Private and public key (P-256) as PEM files."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    folder = tmp_path_factory.mktemp("keys")
    key = ec.generate_private_key(ec.SECP256R1())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    (folder / "private.pem").write_bytes(private)
    (folder / "public.pem").write_bytes(public)
    return folder / "private.pem", folder / "public.pem"


@pytest.fixture
def flip_byte() -> Callable[[Path, int], None]:
    """A function that changes one byte of a file in place."""

    def flip(path: Path, position: int) -> None:
        data = bytearray(path.read_bytes())
        data[position] ^= 0x55
        path.write_bytes(data)

    return flip


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs a GPU where none works; asked once, and only when such a test is about to run."""
    if item.get_closest_marker("gpu"):
        from tests.gpu import cuda_works

        if not cuda_works():
            pytest.skip("needs a CUDA GPU that ONNX Runtime can use")

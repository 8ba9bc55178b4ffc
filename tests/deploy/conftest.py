"""The small bundle of these tests (fixtures/make.py), loaded, copied or damaged."""

import dataclasses
import io
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deploy import Predictor, bundle, samples
from deploy.machine import session_conditions, session_machine
from deploy.passport import SCHEMA, Machine
from deploy.providers import open_session

COLOURS = Path(__file__).parent / "fixtures" / "colours"


@pytest.fixture(scope="session")
def colours() -> Path:
    """A bundle that tells red, green and blue pictures apart; do not write into it."""
    return COLOURS


@pytest.fixture
def copied(colours: Path, tmp_path: Path) -> Path:
    """A copy of the bundle, to be damaged."""
    return Path(shutil.copytree(colours, tmp_path / "bundle"))


@pytest.fixture(scope="session")
def here(colours: Path) -> Machine:
    """This machine, as a passport for the CPU records it."""
    return session_machine(open_session(colours / "model.onnx", threads=1))


@pytest.fixture
def certified(colours: Path, here: Machine, tmp_path: Path) -> Path:
    """The bundle as it is written today: certified on this machine's CPU, with references in its samples."""
    return certify(tmp_path / "certified", colours, here)


def certify(folder: Path, source: Path, machine: Machine, error: float = 0.0) -> Path:
    """Write a bundle certified on a machine; its references are `error` away from what the CPU answers."""
    manifest = bundle.load(source).manifest
    variant = manifest.variants["fp32"]
    conditions = session_conditions(open_session(source / "model.onnx", threads=1))
    passport = dataclasses.replace(variant.passport, machine=machine, conditions={"cpu": conditions}, schema=SCHEMA)
    manifest = dataclasses.replace(manifest, variants={"fp32": dataclasses.replace(variant, passport=passport)})
    with bundle.writing(folder, manifest) as temporary:
        for name in manifest.files:
            shutil.copyfile(source / name, temporary / name)
        golden = [with_reference(sample, error) for sample in samples.load(source / bundle.SAMPLES)]
        samples.save(temporary / bundle.SAMPLES, golden)
    return folder


def with_reference(sample: samples.Sample, error: float) -> samples.Sample:
    """Take the stored answers for the truth: on the CPU that this was made on they are within its rounding."""
    exact = {name: value.astype(np.float64) + error if value.dtype.kind == "f" else value
             for name, value in sample.outputs.items()}  # fmt: skip
    return dataclasses.replace(sample, reference=exact, rounded=sample.outputs, note="row: 0 of the test split")


@pytest.fixture(scope="session")
def predictor(colours: Path) -> Iterator[Predictor]:
    with Predictor.load(colours, threads=1) as loaded:
        yield loaded


@pytest.fixture(scope="session")
def blue_png() -> bytes:
    """A blue picture, 9 px high and 7 px wide, as a PNG file."""
    return png((0, 0, 255), (7, 9))


def png(colour: tuple[int, int, int], size: tuple[int, int]) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, "PNG")
    return buffer.getvalue()


def plain(colour: tuple[int, int, int], height: int = 9, width: int = 7) -> np.ndarray:
    """Return a uint8 picture (height, width, 3) of one colour."""
    return np.full((height, width, 3), colour, np.uint8)

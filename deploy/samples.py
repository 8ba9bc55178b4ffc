"""Golden samples: batches of inputs with the outputs they had when the model was verified, replayed at load.

`samples.npz` holds plain arrays under `0/in/image`, `0/out/probabilities`, `1/in/image`, ...: one number a batch, so
pictures of different sizes fit. The same samples always give the same bytes.
"""

import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from deploy import files
from deploy.arrays import Array
from deploy.errors import BundleError
from deploy.passport import Check, Passport

Run = Callable[[Mapping[str, Array]], Mapping[str, Array]]


@dataclass(frozen=True)
class Sample:
    """One golden batch: input and output arrays by name."""

    inputs: dict[str, Array]
    outputs: dict[str, Array] = field(default_factory=dict)


def save(path: Path, samples: Sequence[Sample]) -> None:
    """Write samples atomically."""
    if not samples:
        raise ValueError("no samples: a bundle needs one at least")
    import zipfile  # here and below, because importing this module should cost an application little

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number, sample in enumerate(samples):
            for side, arrays in (("in", sample.inputs), ("out", sample.outputs)):
                for name, array in arrays.items():
                    # ZipInfo's own date is 1980: numpy's savez writes the clock, and digests would never repeat
                    entry = zipfile.ZipInfo(f"{number}/{side}/{name}.npy")
                    entry.compress_type = zipfile.ZIP_DEFLATED
                    content = io.BytesIO()
                    np.lib.format.write_array(content, np.ascontiguousarray(array), allow_pickle=False)
                    archive.writestr(entry, content.getvalue())
    files.write_bytes(path, buffer.getvalue())


def load(path: Path) -> tuple[Sample, ...]:
    """Read samples; `BundleError` when the file is none."""
    import zipfile

    samples: dict[int, Sample] = {}
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            for key in archive.files:
                number, side, name = key.split("/", 2)
                sample = samples.setdefault(int(number), Sample({}, {}))
                {"in": sample.inputs, "out": sample.outputs}[side][name] = archive[key]
    except FileNotFoundError:
        raise BundleError(f"{path}: missing; package the model again: pipeline package") from None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        raise BundleError(f"{path}: these are no golden samples; package the model again: pipeline package") from None
    if not samples or any(not sample.inputs or not sample.outputs for sample in samples.values()):
        raise BundleError(f"{path}: a sample lacks its inputs or outputs; package the model again: pipeline package")
    return tuple(samples[number] for number in sorted(samples))


def replay(run: Run, samples: Sequence[Sample], passport: Passport) -> tuple[Check, ...]:
    """Run all samples and return one check for each output; `BundleError` unless all of them pass.

    Whole numbers must be equal. For real numbers, root mean square of (now - stored) over all samples must not exceed
    2 * limit * noise of the passport: what is stored and what is computed now may each be limit * noise from the truth.
    """
    now = [run(sample.inputs) for sample in samples]
    names = dict.fromkeys(name for sample in samples for name in sample.outputs)
    checks = tuple(_check(name, samples, now, passport) for name in names)
    for check in checks:
        if not check:
            raise BundleError(
                f"golden samples: output {check.name!r} {check.detail}; this machine does not give the answers that "
                "were verified: look at the provider options (TF32, fp16), the ONNX Runtime version, the hardware"
            )
    return checks


def _check(name: str, samples: Sequence[Sample], now: Sequence[Mapping[str, Array]], passport: Passport) -> Check:
    stored = [sample.outputs[name] for sample in samples if name in sample.outputs]
    found = [outputs.get(name) for sample, outputs in zip(samples, now, strict=True) if name in sample.outputs]
    for old, new in zip(stored, found, strict=True):
        if new is None:
            return Check(name, False, detail="is missing")
        if new.dtype != old.dtype or new.shape != old.shape:
            return Check(name, False, detail=f"is {new.dtype} {new.shape}, stored is {old.dtype} {old.shape}")
    old_flat = np.concatenate([array.ravel() for array in stored])
    new_flat = np.concatenate([array.ravel() for array in found if array is not None])
    if old_flat.dtype.kind != "f":
        wrong = int((old_flat != new_flat).sum())
        detail = f"differs in {wrong} of {old_flat.size} values, none may"
        return Check(name, wrong == 0, float(wrong), 0.0, detail)
    if name not in passport.noise:
        return Check(name, False, detail="has no noise in the passport; verify again: pipeline verify")
    allowed = 2 * passport.limit * passport.noise[name]
    difference = new_flat.astype(np.float64) - old_flat.astype(np.float64)
    rms = math.sqrt(float(np.mean(np.square(difference)))) if difference.size else 0.0
    detail = f"is {rms:.3g} (rms) from what is stored, allowed is {allowed:.3g}"
    if not np.isfinite(new_flat).all():
        return Check(name, False, None, allowed, "is not finite")
    return Check(name, rms <= allowed, rms, allowed, detail)

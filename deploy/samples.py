"""Golden samples: batches of inputs with the outputs they had when the model was verified, replayed at load.

`samples.npz` holds plain arrays, a number a batch, so pictures of different sizes fit:

    0/in/image, 0/out/probabilities     what went in, and what the file answered where it was packaged
    0/ref/probabilities                 what the float64 twin answers: the truth, on every machine
    0/rounded/probabilities             what torch float32 answers: its distance to the truth is that sample's own noise
    0/unsure/mask                       where whole numbers may differ, bool: decisions that rounding may turn
    0/note                              what the sample is: `row: 12 of the test split`, `edge: all largest`, ...

The last four are not in older bundles. The same samples always give the same bytes.
"""

import io
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from deploy import files
from deploy.arrays import Array
from deploy.errors import BundleError
from deploy.passport import Check, Passport

Arrays = Mapping[str, Array]
Run = Callable[[Arrays], Arrays]

ROW = "row"
"""First word of the note of a real row; a note that begins otherwise names an input that was made."""

_SIDES = {"in": "inputs", "out": "outputs", "ref": "reference", "rounded": "rounded", "unsure": "unsure"}


@dataclass(frozen=True)
class Sample:
    """One golden batch: input and output arrays by name.

    reference, rounded      outputs of the float64 twin and of torch float32; empty in older bundles
    note                    what the sample is
    unsure                  by output of whole numbers, where another machine may decide otherwise; mostly empty
    """

    inputs: dict[str, Array]
    outputs: dict[str, Array] = field(default_factory=dict)
    reference: dict[str, Array] = field(default_factory=dict)
    rounded: dict[str, Array] = field(default_factory=dict)
    note: str = ""
    unsure: dict[str, Array] = field(default_factory=dict)

    @property
    def real(self) -> bool:
        """Whether this is a row as it came, and not an input that somebody made to be difficult."""
        return not self.note or self.note.startswith(f"{ROW}:")


def save(path: Path, samples: Sequence[Sample]) -> None:
    """Write samples atomically."""
    if not samples:
        raise ValueError("no samples: a bundle needs one at least")
    import zipfile  # here and below, because importing this module should cost an application little

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number, sample in enumerate(samples):
            for name, array in _entries(sample):
                # ZipInfo's own date is 1980: numpy's savez writes the clock, and digests would never repeat
                entry = zipfile.ZipInfo(f"{number}/{name}.npy")
                entry.compress_type = zipfile.ZIP_DEFLATED
                content = io.BytesIO()
                np.lib.format.write_array(content, np.asarray(array, order="C"), allow_pickle=False)
                archive.writestr(entry, content.getvalue())
    files.write_bytes(path, buffer.getvalue())


def load(path: Path) -> tuple[Sample, ...]:
    """Read samples; `BundleError` when the file is none."""
    import zipfile

    found: dict[int, dict[str, dict[str, Array]]] = {}
    notes: dict[int, str] = {}
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            for key in archive.files:
                number, side, *name = key.split("/", 2)
                sides = found.setdefault(int(number), {field: {} for field in _SIDES.values()})
                if side == "note" and not name:
                    notes[int(number)] = str(archive[key].item())
                else:
                    sides[_SIDES[side]][name[0]] = archive[key]
    except FileNotFoundError:
        raise BundleError(f"{path}: missing; package the model again: pipeline package") from None
    except (OSError, ValueError, LookupError, EOFError, zipfile.BadZipFile):
        raise BundleError(f"{path}: these are no golden samples; package the model again: pipeline package") from None
    samples = tuple(Sample(**found[number], note=notes.get(number, "")) for number in sorted(found))
    if not samples or any(not sample.inputs or not sample.outputs for sample in samples):
        raise BundleError(f"{path}: a sample lacks its inputs or outputs; package the model again: pipeline package")
    return samples


def replay(run: Run, samples: Sequence[Sample], passport: Passport) -> tuple[Check, ...]:
    """Run all samples and return the checks of `compare`; `BundleError` unless all of them pass."""
    checks = compare(samples, [run(sample.inputs) for sample in samples], passport)
    for check in checks:
        if not check:
            raise BundleError(
                f"golden samples: output {check.name!r} {check.detail}; this machine does not give the answers that "
                "were verified: look at the provider options (TF32, fp16), the ONNX Runtime version, the hardware"
            )
    return checks


def compare(samples: Sequence[Sample], answers: Sequence[Arrays], passport: Passport) -> tuple[Check, ...]:
    """Hold answers against the samples: a check for each output, and one more for each that has references.

    Whole numbers must be equal, except where a sample says that they are unsure. For real numbers, root mean square of
    (now - stored) over all samples must not exceed 2 * limit * noise of the passport: what is stored and what is
    computed now may each be limit * noise from the truth. Against the float64 reference, rms of (now - reference) must
    not exceed limit * noise. Real rows and made inputs are pooled apart, and where the made ones have more rounding
    noise of their own than the passport's, theirs counts: an input that drives activations to their extremes is
    rounded more coarsely, and must not hide what real rows show.
    Where the expected value is not finite, nothing is asked.
    """
    stored = [sample.outputs for sample in samples]
    checks = [
        difference(name, name, samples, stored, answers, passport, times=2, what="what is stored")
        for name in output_names(samples)
    ]
    exact = [sample.reference for sample in samples]
    checks += [
        difference(name, f"{name} against float64", samples, exact, answers, passport, what="the float64 reference")
        for name in output_names(samples)
        if any(name in outputs for outputs in exact)
    ]
    return tuple(checks)


def _entries(sample: Sample) -> Iterator[tuple[str, Array]]:
    """Yield the arrays of a sample by their names in the archive."""
    for side, attribute in _SIDES.items():
        for name, array in getattr(sample, attribute).items():
            yield f"{side}/{name}", array
    if sample.note:
        yield "note", np.array(sample.note)


def output_names(samples: Sequence[Sample]) -> list[str]:
    """Return the names of all outputs that samples hold, in order."""
    return list(dict.fromkeys(name for sample in samples for name in sample.outputs))


def difference(
    name: str,
    title: str,
    samples: Sequence[Sample],
    expected: Sequence[Arrays],
    found: Sequence[Arrays],
    passport: Passport,
    *,
    times: float = 1,
    what: str,
) -> Check:
    """Check one output: whole numbers equal, real ones within `times` * limit * noise (rms), as `compare` says.

    `expected` and `found` belong to `samples` one by one; where an expected answer lacks the output, nothing is asked.
    """
    triples = [
        (sample, old[name], new.get(name)) for sample, old, new in zip(samples, expected, found, strict=True)
        if name in old
    ]  # fmt: skip
    for _, old, new in triples:
        if new is None:
            return Check(title, False, detail="is missing")
        if new.shape != old.shape or not _fits(new.dtype, old.dtype):
            return Check(title, False, detail=f"is {new.dtype} {new.shape}, {what} is {old.dtype} {old.shape}")
    if triples[0][1].dtype.kind != "f":
        wrong = sum(int(((old != new) & ~sample.unsure.get(name, np.False_)).sum()) for sample, old, new in triples)
        detail = f"differs in {wrong} of {sum(old.size for _, old, _ in triples)} values, none may"
        return Check(title, wrong == 0, float(wrong), 0.0, detail)
    pairs = [(sample.real, old, new) for sample, old, new in triples if new is not None]
    if name not in passport.noise:
        return Check(title, False, detail="has no noise in the passport; verify again: pipeline verify")
    groups = []
    for real in {real for real, _, _ in pairs}:
        noise = max(passport.noise[name], 0.0 if real else _own_noise(name, samples))
        group = [(old, new) for kind, old, new in pairs if kind is real]
        groups.append(_within(title, group, times * passport.limit * noise, what))
    return min(groups, key=lambda check: (check.passed, -(check.value or 0.0)))


def _fits(found: np.dtype[Any], expected: np.dtype[Any]) -> bool:
    """Tell whether a dtype is the expected one; a float64 truth is there for every kind of float."""
    return found == expected or (expected == np.float64 and found.kind == "f")


def _within(title: str, pairs: list[tuple[Array, Array]], allowed: float, what: str) -> Check:
    old, new = (
        np.concatenate([array.ravel() for array in side]).astype(np.float64) for side in zip(*pairs, strict=True)
    )
    finite = np.isfinite(old)  # where the truth is not a number, none is asked for
    if not np.isfinite(new[finite]).all():
        return Check(title, False, None, allowed, "is not finite")
    rms = _rms(new[finite] - old[finite])
    return Check(title, rms <= allowed, rms, allowed, f"is {rms:.3g} (rms) from {what}, allowed is {allowed:.3g}")


def _own_noise(name: str, samples: Sequence[Sample]) -> float:
    """Return torch float32's rounding noise on the made inputs, pooled; 0 when it is not known."""
    apart = [
        (s.rounded[name].astype(np.float64) - s.reference[name]).ravel()
        for s in samples
        if not s.real and name in s.rounded and name in s.reference
    ]
    values = np.concatenate(apart) if apart else np.zeros(0)
    return _rms(values[np.isfinite(values)])


def _rms(values: Array) -> float:
    return math.sqrt(float(np.mean(np.square(values)))) if values.size else 0.0

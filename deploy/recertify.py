"""Certify a bundle again where it will run: `python -m deploy.recertify BUNDLE --provider cuda`.

Needs neither torch nor onnx nor data: the golden and worst-case samples carry the answers of the float64 twin. The
finding is written beside the bundle (`deploy.expiry`), and from then on `Predictor.load` takes the bundle here.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import numpy as np

from deploy import bundle, expiry, samples
from deploy.arrays import Array
from deploy.bundle import Bundle
from deploy.errors import BundleError, OnnxwayError
from deploy.machine import session_conditions, session_machine
from deploy.opening import find_bundle, require_tensors, verified_bytes
from deploy.passport import Check, Passport, Recertification
from deploy.providers import Provider, Session, open_session
from deploy.samples import Sample

_REPEATED = 3
"""How often a sample of a shape of its own is put into one batch."""


def recertify(
    folder: Path | str,
    provider: Provider = "cpu",
    *,
    variant: str = "fp32",
    provider_options: Mapping[str, object] | None = None,
    threads: int | None = None,
) -> Recertification:
    """Judge a bundle on this machine and write what was found beside it; truthy when every check passed.

    The session is opened strictly, its placement proven, and every sample held against what is stored and against
    the float64 reference, run twice, and run in one batch with others of its shape. Options as in `Predictor.load`.

    Raises `BundleError` for a bundle that has no passing passport or no references, or beside which nothing can be
    written, and `ProviderError` when the provider does not work here.
    """
    source = bundle.load(find_bundle(folder))
    golden = _with_references(source)
    session = open_session(
        verified_bytes(source, variant), provider, provider_options, threads=threads, warmup=golden[0].inputs
    )
    require_tensors(source, session)
    passport = source.variant(variant).passport
    record = Recertification(
        bundle_sha256=source.digest,
        model_sha256=passport.model_sha256,
        variant=variant,
        provider=provider,
        machine=session_machine(session),
        conditions=session_conditions(session),
        checks=tuple(_checks(session, golden, passport)),
        rows=sum(map(_rows, golden)),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    expiry.save(source, record)
    return record


def render(record: Recertification) -> str:
    """Return a verdict in one sentence and a line for each check, for a terminal."""
    place = record.machine.gpu if record.provider == "cuda" else record.machine.cpu
    first = (
        f"recertification {record.verdict}: {record.rows} rows on {record.provider} ({place}), "
        f"ONNX Runtime {record.machine.onnxruntime}"
    )
    return "\n".join([first, *(f"  {'ok  ' if c else 'FAIL'}  {c.name}: {c.detail}" for c in record.checks)])


def _with_references(source: Bundle) -> tuple[Sample, ...]:
    golden = samples.load(source.folder / bundle.SAMPLES)
    if not all(sample.reference for sample in golden):
        raise BundleError(
            f"{source.folder}: its samples have no float64 references (an older onnxway made it); "
            "package the model again: pipeline package, or verify it there with torch: pipeline verify"
        )
    return golden


def _checks(session: Session, golden: Sequence[Sample], passport: Passport) -> list[Check]:
    """Return the checks; when answers are missing or of another form, those of repetition and batches are left out."""
    nodes = ", ".join(f"{count} nodes on {name}" for name, count in session.placement.counts.items())
    answers = [session.run(sample.inputs) for sample in golden]
    checks = [Check("placement", True, detail=nodes), *samples.compare(golden, answers, passport)]
    again = [session.run(sample.inputs) for sample in golden]
    bits = all(
        old[name].tobytes() == new[name].tobytes() for old, new in zip(answers, again, strict=True) for name in old
    )
    together = _together(session, golden)
    for name in samples.output_names(golden):
        repeat = samples.difference(name, f"repeats {name}", golden, answers, again, passport, what="the first run")
        checks.append(replace(repeat, detail=f"{repeat.detail}; {'' if bits else 'not '}the same bits"))
        checks.append(
            samples.difference(
                name, f"batch invariance of {name}", golden, answers, together, passport, what="a row alone"
            )
        )
    return checks


def _together(session: Session, golden: Sequence[Sample]) -> list[dict[str, Array]]:
    """Return each sample's answers as they are when all samples of its shape share one batch."""
    found: list[dict[str, Array]] = [{}] * len(golden)
    shapes: dict[tuple[object, ...], list[int]] = {}
    for number, sample in enumerate(golden):
        shapes.setdefault(tuple(array.shape[1:] for array in sample.inputs.values()), []).append(number)
    for numbers in shapes.values():
        batch = numbers if len(numbers) > 1 else numbers * _REPEATED
        inputs = {name: np.concatenate([golden[n].inputs[name] for n in batch]) for name in golden[batch[0]].inputs}
        answers, start = session.run(inputs), 0
        for number in batch:  # of copies, the last one counts: it has neighbours before it
            stop = start + _rows(golden[number])
            found[number] = {name: array[start:stop] for name, array in answers.items()}
            start = stop
    return found


def _rows(sample: Sample) -> int:
    return len(next(iter(sample.inputs.values())))


def main(arguments: Sequence[str] | None = None) -> int:
    """Recertify from the command line; returns 0 when it passed, 1 when not, errors are one line on stderr."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.recertify",
        description="Certify a bundle on this machine: its samples against their float64 references.",
        epilog="example: python -m deploy.recertify runs/lenet_digits/package/bundle --provider cuda",
    )
    parser.add_argument("folder", help="a bundle, or a run folder that holds one")
    parser.add_argument("--provider", choices=["cpu", "cuda"], default="cpu", help="where it runs, strictly")
    parser.add_argument("--variant", default="fp32", help="form of the model (default: %(default)s)")
    options = parser.parse_args(arguments)
    try:
        record = recertify(options.folder, cast("Provider", options.provider), variant=options.variant)
    except OnnxwayError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(render(record))
    return 0 if record else 1


if __name__ == "__main__":
    sys.exit(main())

"""The bundle of an ONNX file that was not trained here, around a passing passport like any other."""

import re
from pathlib import Path

from deploy import bundle, files, onnxfile, samples
from deploy.bundle import Bundle, Manifest, Variant
from deploy.errors import BundleError, UsageError
from deploy.providers import open_session
from deploy.samples import Sample
from stages.environment import environment
from stages.package import card
from stages.package.golden import golden_samples
from stages.package.latency import median_latency_ms
from stages.recipe import PackageConfig, VerifyConfig
from stages.verify.certify import Verdict
from stages.verify.foreign import Subject
from stages.verify.regression import regression_samples
from stages.verify.session import open_model
from stages.verify.worst import Worst

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")


def name_of(model: Path, name: str | None, version: str) -> str:
    """Return the bundle's name: `name`, or the file's with what names may not hold replaced; `UsageError`."""
    if not _NAME.fullmatch(version):
        raise UsageError(f"package.version {version!r}: expected letters, digits, '.', '_' and '-' only")
    if name is None:
        return re.sub(r"[^A-Za-z0-9._-]+", "-", model.stem).strip("-.") or "model"
    if not _NAME.fullmatch(name):
        raise UsageError(f"--name {name!r}: expected letters, digits, '.', '_' and '-' only, and none of '.-' first")
    return name


def require_place(folder: Path, name: str, *, force: bool = False) -> None:
    """Raise `UsageError` where a bundle may not be written: over a folder that is none, or another model's."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not (folder / bundle.MANIFEST).is_file():
        raise UsageError(f"{folder}: holds something that is no bundle; choose another --out")
    there = _name_in(folder)
    if there != name and not force:
        raise UsageError(f"{folder}: holds the bundle of {there}; choose another --out or --name, or say --force")


def package_file(
    subject: Subject, verdict: Verdict, verify: VerifyConfig, config: PackageConfig, folder: Path, name: str
) -> Bundle:
    """Write the bundle of a verified file into `folder` and return it.

    Raises `BundleError` without a passing passport for exactly this file; an older bundle then stays as it was.
    """
    passport = verdict.passport
    data = subject.model.read_bytes()
    passport.require(files.sha256(data))
    row = subject.material.row(0)
    latency = median_latency_ms(subject.model, row)
    manifest = Manifest(
        name=name,
        version=config.version,
        input=subject.reference.input,
        output=subject.reference.output,
        variants={"fp32": Variant("model.onnx", passport)},
        files={},
        provenance=_provenance(subject, data),
    )
    golden = _golden(subject, verdict, verify, config)
    about = card.of_file(subject.model.name, manifest.input, row)
    with bundle.writing(folder, manifest) as temporary:
        (temporary / "model.onnx").write_bytes(data)
        samples.save(temporary / bundle.SAMPLES, golden)
        (temporary / "README.md").write_text(card.render(manifest, passport, latency, about), encoding="utf-8")
    return bundle.load(folder)


def _golden(subject: Subject, verdict: Verdict, verify: VerifyConfig, config: PackageConfig) -> list[Sample]:
    """Return the samples after a replay, as `stages.package` does."""
    model, passport = subject.model, verdict.passport
    reference = subject.reference.at(verify.precision)
    worst = Worst([*verdict.worst.batches, *verdict.hunted])
    kept = list(regression_samples(worst, open_model(model, verify.providers[0]), reference))
    golden = golden_samples(model, reference, subject.material, passport, config.samples, kept)
    if not golden:
        raise BundleError(
            f"{model}: rounding alone could turn the decision of every row that was tried, so none can be replayed; "
            "give real rows: --inputs rows.npz"
        )
    samples.replay(open_session(model).run, golden, passport)
    return golden


def _provenance(subject: Subject, data: bytes) -> dict[str, object]:
    given = {
        "file": subject.model.name,
        "held_against": subject.words,
        "inputs": subject.material.source if subject.data_sha256 else subject.sources.inputs or "",
        "opset": onnxfile.inspect(data).opset,
        "packaged_with": environment(),
    }
    return given | ({"weights_sha256": subject.weights_sha256} if subject.weights_sha256 else {})


def _name_in(folder: Path) -> str:
    try:
        return bundle.load(folder, unverified=True).manifest.name
    except BundleError:
        return "an unknown model"

"""Package: the bundle, written whole or not at all, and only around a file with a passing passport."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from deploy import bundle, files, samples, signing
from deploy.bundle import Manifest, Variant
from deploy.errors import BundleError
from deploy.providers import open_session
from deploy.samples import Sample
from deploy.schema import to_plain
from stages import result
from stages.dataset import Dataset
from stages.deployed import Deployed, deployed
from stages.observer import Observer
from stages.package import card
from stages.package.golden import golden_samples
from stages.package.latency import median_latency_ms
from stages.recipe import PackageConfig, Precision
from stages.result import PackageResult, VerifyResult
from stages.train.weights import load_graph
from stages.verify.material import Material
from stages.verify.twin import Twin


def run(
    config: PackageConfig,
    verified: VerifyResult,
    dataset: Dataset,
    out: Path,
    observer: Observer | None = None,
    *,
    provenance: Mapping[str, str] | None = None,
    sign: Path | None = None,
) -> PackageResult:
    """Write `out/bundle`; `provenance` is added to the manifest's own (an MLflow run, a ticket).

    sign    private key (PEM) with which the bundle is signed, see `deploy.signing`

    Raises `BundleError` without a passing passport for exactly this file; an older bundle then stays as it was.
    """
    observer = observer or Observer()
    exported = verified.exported
    model = exported.model
    verified.passport.require(files.sha256_file(model))
    trained = exported.trained
    graph = deployed(load_graph(trained))
    material = Material.deployed(graph, dataset)
    latency = median_latency_ms(model, material.row(0))
    manifest = Manifest(
        name=trained.recipe.name,
        version=config.version,
        input=exported.input,
        output=exported.output,
        variants={"fp32": Variant("model.onnx", verified.passport)},
        files={},
        cut=exported.cut,
        metrics=verified.metrics,
        provenance=_provenance(verified) | dict(provenance or {}),
    )
    golden = _golden(config, verified, graph, material)
    with bundle.writing(out / "bundle", manifest) as folder:
        halves = [exported.cut.pre, exported.cut.net] if exported.cut else []
        for name in ("model.onnx", *halves):
            shutil.copyfile(exported.folder / name, folder / name)
        samples.save(folder / bundle.SAMPLES, golden)
        (folder / "README.md").write_text(
            card.render(manifest, verified.passport, latency, card.of_run(verified)), encoding="utf-8"
        )
    written = bundle.load(out / "bundle")
    if written.manifest.files["model.onnx"] != verified.passport.model_sha256:
        raise BundleError(f"{model}: changed while it was packaged; run again: pipeline package")
    if sign is not None:
        signing.sign(written.folder, sign)
    observer.say(f"bundle: {written.folder}, {sum(f.stat().st_size for f in written.folder.iterdir()) / 1e6:.2f} MB")
    return result.save(
        PackageResult(
            folder=out,
            verified=verified,
            name=manifest.name,
            version=manifest.version,
            bundle_sha256=written.digest,
            latency_ms=latency,
        )
    )


def _golden(config: PackageConfig, verified: VerifyResult, graph: Deployed, material: Material) -> list[Sample]:
    """Return the samples, after holding them against their own references: what `load` would refuse is not written."""
    model, passport = verified.exported.model, verified.passport
    twin = Twin(graph).at(cast("Precision", passport.precision))
    worst = samples.load(verified.worst) if verified.worst.exists() else ()
    golden = golden_samples(model, twin, material, passport, config.samples, worst)
    samples.replay(open_session(model).run, golden, passport)
    return golden


def _provenance(verified: VerifyResult) -> dict[str, Any]:
    trained = verified.exported.trained
    return {
        "recipe": to_plain(trained.recipe),
        "data": to_plain(trained.data),
        "weights_sha256": trained.weights_sha256,
        "trained_with": trained.environment | {"device": trained.device},
        "exported_with": verified.exported.environment,
    }

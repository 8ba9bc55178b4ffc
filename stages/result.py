"""What each stage returns: a frozen dataclass, written as `result.json` beside its artefacts, truthy when it succeeded.

A run folder holds one folder a stage (`train/`, `export/`, `verify/`, `package/`). A result refers to the result before
it by that layout alone, so a run folder can be moved, or fetched from MLflow on another machine.
"""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from deploy import files
from deploy.bundle import Cut, Signature
from deploy.errors import NotFoundError, UsageError
from deploy.passport import Passport
from deploy.schema import from_plain, to_plain
from stages.dataset import DataInfo
from stages.recipe import Recipe

RESULT = "result.json"


@dataclass(frozen=True)
class TrainResult:
    """Weights (`weights.safetensors`), how they were reached, and what they score on the test split.

    metrics    test split, from the graph's own outputs: {"accuracy": 0.99, "loss": 0.03, ...}
    history    one dict an epoch: epoch, lr, train_loss, seconds, and validation_<metric> where there is validation
    """

    stage: ClassVar[str] = "train"
    folder: Path
    recipe: Recipe
    data: DataInfo
    weights_sha256: str
    metrics: dict[str, float]
    history: tuple[dict[str, float], ...]
    best_epoch: int
    parameters: int
    seconds: float
    device: str
    environment: dict[str, str]

    @property
    def weights(self) -> Path:
        """Path of the weights of the whole graph, by its state dict's names."""
        return self.folder / "weights.safetensors"

    @property
    def digest(self) -> str:
        """What decides whether the next stage must run again."""
        return self.weights_sha256


@dataclass(frozen=True)
class ExportResult:
    """`model.onnx`, and the same graph cut in `pre.onnx` and `net.onnx`."""

    stage: ClassVar[str] = "export"
    folder: Path
    trained: TrainResult
    sha256: str
    input: Signature
    output: Signature
    cut: Cut | None
    opset: int
    ir_version: int
    nodes: int
    environment: dict[str, str]

    @property
    def model(self) -> Path:
        """Path of the whole graph."""
        return self.folder / "model.onnx"

    @property
    def digest(self) -> str:
        """What decides whether the next stage must run again."""
        return self.sha256


@dataclass(frozen=True)
class VerifyResult:
    """The passport, and the figures behind it; `metrics` are those of the file on disk, on the test split."""

    stage: ClassVar[str] = "verify"
    folder: Path
    exported: ExportResult
    passport: Passport
    ratios: dict[str, float]
    metrics: dict[str, float]
    rows: int
    flips: int
    ties: int
    seconds: float

    def __bool__(self) -> bool:
        return bool(self.passport)

    @property
    def answers(self) -> Path:
        """Path of the file's answers on the test split, by output; empty when they were malformed."""
        return self.folder / "answers.npz"

    @property
    def findings(self) -> Path:
        """Path of the figures behind the checks, as JSON: by provider, then by topic."""
        return self.folder / "findings.json"

    @property
    def blame(self) -> Path:
        """Path of where the answers first differ (`stages.verify.blame.Blame`); there only when verification failed."""
        return self.folder / "blame.json"

    @property
    def worst(self) -> Path:
        """Path of the inputs that were answered worst, as `deploy.samples`; there only when verification passed."""
        return self.folder / "worst.npz"

    @property
    def digest(self) -> str:
        """What decides whether the next stage must run again."""
        return files.sha256(files.render_json(to_plain(self.passport)))


@dataclass(frozen=True)
class PackageResult:
    """The bundle, `bundle/` in the stage's folder. latency_ms: median of one row and of a batch of 8 on the CPU."""

    stage: ClassVar[str] = "package"
    folder: Path
    verified: VerifyResult
    name: str
    version: str
    bundle_sha256: str
    latency_ms: dict[str, float]

    @property
    def bundle(self) -> Path:
        """Path of the bundle."""
        return self.folder / "bundle"

    @property
    def digest(self) -> str:
        """What decides whether a later stage must run again."""
        return self.bundle_sha256


Result = TrainResult | ExportResult | VerifyResult | PackageResult
UPSTREAM: dict[type[Any], tuple[str, type[Any]]] = {
    ExportResult: ("trained", TrainResult),
    VerifyResult: ("exported", ExportResult),
    PackageResult: ("verified", VerifyResult),
}

R = TypeVar("R", TrainResult, ExportResult, VerifyResult, PackageResult)


def save(result: R) -> R:
    """Write `result.json` into the result's folder, atomically; this is what makes a stage done."""
    skip = {"folder", UPSTREAM.get(type(result), ("", None))[0]}
    plain = {f.name: to_plain(getattr(result, f.name)) for f in dataclasses.fields(result) if f.name not in skip}
    files.write_json(result.folder / RESULT, plain)
    return result


def load(kind: type[R], run: Path) -> R:
    """Read a stage's result from a run folder, with all results before it.

    Raises `NotFoundError` naming the command to run when the stage has not been done there.
    """
    folder = run / kind.stage
    try:
        plain = json.loads((folder / RESULT).read_bytes())
    except FileNotFoundError:
        target = "RECIPE" if kind is TrainResult else run
        raise NotFoundError(f"{run}: no result of {kind.stage!r} there; run: pipeline {kind.stage} {target}") from None
    except ValueError:
        plain = None
    if not isinstance(plain, dict):
        raise NotFoundError(f"{folder / RESULT}: damaged; run again: pipeline {kind.stage} {run} --force")
    plain["folder"] = folder
    if kind in UPSTREAM:
        name, upstream = UPSTREAM[kind]
        plain[name] = load(upstream, run)
    try:
        return from_plain(kind, plain)
    except UsageError as error:
        raise NotFoundError(
            f"{folder / RESULT}: written by another version ({error}); run again: pipeline {kind.stage} {run} --force"
        ) from None

"""The checks on one model file, and the passport that they add up to."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import onnx

from deploy import files
from deploy.errors import OnnxwayError, ProviderError
from deploy.machine import read_machine, session_conditions
from deploy.passport import SCHEMA, Check, Conditions, Machine, Passport
from deploy.providers import Provider, open_session
from stages.environment import environment
from stages.errors import ExportError, VerifyError
from stages.export.require import require
from stages.observer import Observer
from stages.recipe import ExportConfig, VerifyConfig
from stages.verify.checks import cut, decisions, hunt, placement, pooled, shapes, witness
from stages.verify.examination import Examination
from stages.verify.flops import row_flops
from stages.verify.material import Material
from stages.verify.precision import arithmetic, provider_options
from stages.verify.reference import Outputs, Reference
from stages.verify.worst import Batch, Worst

Family = Callable[[Examination], Iterator[Check]]
FAMILIES: tuple[Family, ...] = (  # the first measures the noise
    pooled.check,
    decisions.check,
    shapes.check,
    placement.check,
    cut.check,
    witness.check,
    hunt.check,  # last: it ends with what a session may not survive
)


@dataclass(frozen=True)
class Verdict:
    """The passport and the figures behind it, by provider; `answers` are the file's on the test rows.

    `worst` are the batches that were answered worst, for blame; `hunted` what searches found, for the bundle.
    """

    passport: Passport
    findings: dict[str, dict[str, Any]] = field(default_factory=dict)
    answers: Outputs = field(default_factory=dict)
    worst: Worst = field(default_factory=Worst)
    hunted: list[Batch] = field(default_factory=list)

    @property
    def ratios(self) -> dict[str, float]:
        """Noise ratio by output, the worst of all providers."""
        found: dict[str, float] = {}
        for finding in self.findings.values():
            for name, ratio in finding.get("ratios", {}).items():
                found[name] = max(ratio, found.get(name, 0.0))
        return found

    def total(self, key: str) -> int:
        """Return flips, ties or rows of the decisions check, summed over providers."""
        return sum(int(finding.get("decisions", {}).get(key, 0)) for finding in self.findings.values())


def certify(
    model: Path,
    reference: Reference,
    material: Material,
    config: VerifyConfig,
    *,
    opset: int | None = ExportConfig.opset,
    observer: Observer | None = None,
) -> Verdict:
    """Judge a model file against its reference, on every provider of `config`; nothing is taken from memory.

    `pre.onnx` and `net.onnx` beside the model are judged with it. A fault is a failed check, never an exception;
    `ProviderError` is raised for a provider that does not work here.
    """
    sha256 = files.sha256_file(model)
    try:
        require(model, reference.input, reference.output, opset)
    except ExportError as error:
        return Verdict(_passport(sha256, config, [Check("form", False, detail=str(error))], {}, 0))
    promised = f", opset {opset}, free sizes are symbolic" if opset is not None else ""
    checks = [Check("form", True, detail=f"valid, self-contained{promised}")]
    noise: dict[str, float] = {}
    findings: dict[str, dict[str, Any]] = {}
    answers: Outputs = {}
    worst, hunted = Worst(), list[Batch]()
    machine, conditions = Machine(), dict[str, Conditions]()
    work = row_flops(onnx.load(model), {name: array.shape for name, array in next(material.test(1)).items()})
    for provider in config.providers:
        prefix = f"{provider}: " if len(config.providers) > 1 else ""
        exam = None
        try:
            session = open_session(model, provider, provider_options(config.precision, provider))
            judged = reference.at(arithmetic(config.precision, session.options))
            exam = Examination(model, provider, session.run, judged, material, config, observer or Observer(), work)
            exam.placement = session.placement
            machine, conditions[provider] = read_machine(gpu=0), session_conditions(session)
            checks += [_named(prefix, check) for check in examine(exam)]
        except (ProviderError, VerifyError):  # the question itself is wrong
            raise
        except OnnxwayError as error:  # what ONNX Runtime cannot open or run is a verdict on the file
            checks.append(Check(f"{prefix}runs", False, detail=str(error)))
        if exam is not None:
            findings[provider] = exam.findings
            answers = answers or exam.answers
            worst.merge(exam.worst)
            hunted = hunted or exam.hunted
            noise = {name: max(value, noise.get(name, 0.0)) for name, value in exam.noise.items()}
    rows = max((finding.get("rows", 0) for finding in findings.values()), default=0)
    passport = replace(_passport(sha256, config, checks, noise, rows), machine=machine, conditions=conditions)
    return Verdict(passport, findings, answers, worst, hunted)


def examine(exam: Examination) -> Iterator[Check]:
    """Yield the checks of all families; when nothing can be compared, only what is malformed."""
    for family in FAMILIES:
        for check in family(exam):
            exam.open = exam.open and check.passed
            yield check
        if exam.test is None or not exam.test.decided:
            break
    wrong = exam.malformed
    detail = wrong[0] if wrong else "names, dtypes and shapes as promised, all values finite"
    yield Check("well formed", not wrong, detail=detail)


def _passport(sha256: str, config: VerifyConfig, checks: list[Check], noise: dict[str, float], rows: int) -> Passport:
    providers: tuple[Provider, ...] = config.providers
    return Passport(
        model_sha256=sha256,
        checks=tuple(checks),
        noise=noise,
        limit=config.limit,
        rows=rows,
        providers=providers,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        environment=environment(),
        precision=config.precision,
        schema=SCHEMA,
    )


def _named(prefix: str, check: Check) -> Check:
    return Check(prefix + check.name, check.passed, check.value, check.limit, check.detail)

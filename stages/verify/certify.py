"""The checks on one model file, and the passport that they add up to."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from deploy import files
from deploy.errors import OnnxwayError, ProviderError
from deploy.passport import Check, Passport
from deploy.providers import Provider
from stages.dataset import Array, Dataset
from stages.environment import environment
from stages.errors import ExportError
from stages.export.require import require
from stages.graph import Graph
from stages.observer import Observer
from stages.recipe import ExportConfig, VerifyConfig
from stages.verify import cases
from stages.verify.compare import Comparison
from stages.verify.session import Answer, open_cut, open_model, open_witness
from stages.verify.twin import Outputs, Twin


@dataclass(frozen=True)
class Verdict:
    """The passport and the figures behind it; `metrics` and `answers` are of the file on disk, on the test split."""

    passport: Passport
    ratios: dict[str, float]
    rows: int
    flips: int
    ties: int
    metrics: dict[str, float]
    answers: Outputs


def certify(
    model: Path,
    graph: Graph,
    dataset: Dataset,
    config: VerifyConfig,
    *,
    opset: int = ExportConfig.opset,
    observer: Observer | None = None,
) -> Verdict:
    """Judge a model file against the trained graph, on every provider of `config`; nothing is taken from memory.

    `pre.onnx` and `net.onnx` beside the model are judged with it. A fault is a failed check, never an exception;
    `ProviderError` is raised for a provider that does not work here.
    """
    sha256 = files.sha256_file(model)
    try:
        require(model, graph.input, graph.task.output, opset)
    except ExportError as error:
        return _refused(sha256, config, Check("form", False, detail=str(error)))
    form = Check("form", True, detail=f"valid, self-contained, opset {opset}, free sizes are symbolic")
    examination = Examination(graph, dataset, config, observer or Observer())
    checks = [form]
    for provider in config.providers:
        prefix = f"{provider}: " if len(config.providers) > 1 else ""
        try:
            checks += [_named(prefix, check) for check in examination.on(model, provider)]
        except ProviderError:
            raise
        except OnnxwayError as error:  # what ONNX Runtime cannot open or run is a verdict on the file
            checks.append(Check(f"{prefix}runs", False, detail=str(error)))
    return examination.verdict(sha256, checks)


class Examination:
    """One twin and one dataset, on which a model is tried with each provider."""

    def __init__(self, graph: Graph, dataset: Dataset, config: VerifyConfig, observer: Observer) -> None:
        self.graph = graph
        self.task = graph.task
        self.spec = graph.input.tensors[0]
        self.twin = Twin(graph)
        self.dataset = dataset
        self.config = config
        self.observer = observer
        self.ratios: dict[str, float] = {}
        self.noise: dict[str, float] = {}
        self.metrics: dict[str, float] = {}
        self.answers: Outputs = {}
        self.flips = self.ties = self.rows = 0

    def on(self, model: Path, provider: Provider) -> Iterator[Check]:
        """Yield the checks of one provider; the pooled ones come first, since the others are judged by their noise."""
        answer = open_model(model, provider)
        pooled, test = self._pool(answer)
        if not pooled.pools:
            yield _well_formed(pooled)
            return
        noise = pooled.noise()
        self.noise = {name: max(value, self.noise.get(name, 0.0)) for name, value in noise.items()}
        yield from self._noise_checks(pooled)
        yield self._decisions(test, noise)
        base = next(cases.batches(self.dataset.test.inputs, self.config.max_batch))
        yield from self._batches(answer, base, noise)
        edge = self._compare((raw, answer(raw), name) for name, raw in cases.edges(self.spec, base))
        yield self._group("edge inputs", [edge], noise, f"{edge.rows} rows: extremes, size 1, very wide, odd sizes")
        if (model.parent / "pre.onnx").exists():
            whole_and_cut = open_cut(model.parent / "pre.onnx", model.parent / "net.onnx", provider)
            cut = self._compare([(base, whole_and_cut(base), "cut graph")])
            yield self._group("cut graph", [cut], noise, "net.onnx after pre.onnx answers as model.onnx does")
            edge.malformed += cut.malformed
        if self.config.witness and provider == "cpu":
            yield self._witness(model, noise)
        pooled.malformed += edge.malformed
        yield _well_formed(pooled)

    def verdict(self, sha256: str, checks: list[Check]) -> Verdict:
        """Return everything that was found."""
        passport = Passport(
            model_sha256=sha256,
            checks=tuple(checks),
            noise=self.noise,
            limit=self.config.limit,
            rows=self.rows,
            providers=self.config.providers,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            environment=environment(),
        )
        return Verdict(passport, self.ratios, self.rows, self.flips, self.ties, self.metrics, self.answers)

    def _pool(self, answer: Answer) -> tuple[Comparison, Comparison]:
        """Compare the whole test split, and more rows where it is small; keep the test split's answers for metrics."""
        pooled, test = Comparison(self.task, self.twin), Comparison(self.task, self.twin)
        answers: list[Outputs] = []
        total = max(len(self.dataset.test), self.config.rows)
        for raw in cases.batches(self.dataset.test.inputs, self.config.max_batch):
            answers.append(answer(raw))
            test.add(raw, answers[-1], "test split")
            self.observer.progress(test.rows, total, "test rows")
        pooled.merge(test)
        missing = self.config.rows - len(self.dataset.test)
        for raw in cases.more_rows(self.dataset, missing, self.config.max_batch, self.spec):
            pooled.add(raw, answer(raw), "more rows")
            self.observer.progress(pooled.rows, total, "more rows")
        self.rows = pooled.rows
        if not test.malformed:
            self.answers = {name: np.concatenate([a[name] for a in answers]) for name in answers[0]}
            self.metrics = self.task.metrics(self.answers, self.dataset.test.targets)
        return pooled, test

    def _noise_checks(self, pooled: Comparison) -> Iterator[Check]:
        for name, pool in pooled.pools.items():
            ratio = pool.ratio()
            self.ratios[name] = max(ratio, self.ratios.get(name, 0.0))
            detail = (
                f"{pooled.rows} rows: rms difference to float64 {pool.rms_error():.2e}, "
                f"torch float32's own {pool.rms_noise():.2e}, largest {pool.worst:.2e}"
            )
            yield _limited(f"noise of {name}", ratio, self.config.limit, detail)

    def _decisions(self, test: Comparison, noise: dict[str, float]) -> Check:
        flips, ties = test.flips(self._tie_margin(noise))
        self.flips, self.ties = self.flips + flips, self.ties + ties
        return _limited(
            "decisions", flips, 0, f"{flips} of {test.rows} test rows decided otherwise, {ties} more were ties"
        )

    def _batches(self, answer: Answer, base: Array, noise: dict[str, float]) -> Iterator[Check]:
        """Check batch sizes against the twin, and that a row's answer does not depend on its neighbours."""
        sizes = sorted({1, 2, 3, cases.ODD_BATCH, self.config.max_batch})
        rows = np.concatenate([base] * math.ceil(self.config.max_batch / len(base)))
        groups = [self._compare([(rows[:size], answer(rows[:size]), f"batch of {size}")]) for size in sizes]
        yield self._group("batch sizes", groups, noise, f"batches of {', '.join(map(str, sizes))}")
        together = answer(rows[: cases.ODD_BATCH])
        alone = [answer(rows[i : i + 1]) for i in range(cases.ODD_BATCH)]
        apart = {name: np.concatenate([a[name] for a in alone]) for name in together}
        ratio, same = 0.0, True
        for name, value in together.items():
            if value.dtype.kind == "f" and value.shape == apart[name].shape:
                rms = float(np.sqrt(np.square(value.astype(np.float64) - apart[name]).mean()))
                ratio = max(ratio, rms / noise[name])
            else:
                same = same and np.array_equal(value, apart[name])
        check = _limited("batch invariance", ratio, self.config.limit, "a row alone answers as it does among others")
        yield check if same else Check(check.name, False, ratio, check.limit, "a row decides otherwise among others")

    def _witness(self, model: Path, noise: dict[str, float]) -> Check:
        rows = min(self.config.witness, len(self.dataset.test))
        witness = open_witness(model)
        seen = Comparison(self.task, self.twin)
        for raw in cases.batches(self.dataset.test.inputs, self.config.max_batch):
            if seen.rows >= rows:
                break
            raw = raw[: rows - seen.rows]
            seen.add(raw, witness(raw), "numpy witness")
            self.observer.progress(seen.rows, rows, "rows by onnx's numpy evaluator")
        return self._group("numpy witness", [seen], noise, f"onnx's numpy evaluator agrees on {seen.rows} rows")

    def _compare(self, answered: Iterable[tuple[Array, Outputs, str]]) -> Comparison:
        comparison = Comparison(self.task, self.twin)
        for raw, found, where in answered:
            comparison.add(raw, found, where)
        return comparison

    def _group(self, name: str, groups: list[Comparison], noise: dict[str, float], detail: str) -> Check:
        """Check small groups of rows: each by its own noise or the pooled one, whichever is larger, and no flips."""
        malformed = [text for group in groups for text in group.malformed]
        if malformed:
            return Check(name, False, detail=malformed[0])
        ratio = max(group.worst_ratio(noise) for group in groups)
        flips = sum(group.flips(self._tie_margin(noise))[0] for group in groups)
        check = _limited(name, ratio, self.config.limit, detail)
        return check if not flips else Check(name, False, check.value, check.limit, f"{flips} rows decided otherwise")

    def _tie_margin(self, noise: dict[str, float]) -> float:
        """Two answers, each limit times the noise away, may differ by twice that; a smaller margin decides nothing."""
        return 2 * self.config.limit * max(noise.values(), default=0.0)


def _limited(name: str, value: float, limit: float, detail: str) -> Check:
    if not math.isfinite(value):
        return Check(name, False, None, limit, f"not a finite number; {detail}")
    return Check(name, value <= limit, float(value), float(limit), detail)


def _well_formed(comparison: Comparison) -> Check:
    wrong = comparison.malformed
    detail = wrong[0] if wrong else "names, dtypes and shapes as promised, all values finite"
    return Check("well formed", not wrong, detail=detail)


def _named(prefix: str, check: Check) -> Check:
    return Check(prefix + check.name, check.passed, check.value, check.limit, check.detail)


def _refused(sha256: str, config: VerifyConfig, check: Check) -> Verdict:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    passport = Passport(sha256, (check,), {}, config.limit, 0, config.providers, now, environment())
    return Verdict(passport, {}, 0, 0, 0, {}, {})

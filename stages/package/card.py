"""The model card: the bundle's README.md, for whoever finds the folder without having made it."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

from deploy.bundle import Manifest, Signature
from deploy.inputs import input_kind
from deploy.passport import Passport
from stages.dataset import DataInfo
from stages.result import VerifyResult
from stages.verify.reference import Feeds

_LABELS = 50  # that are named


@dataclass(frozen=True)
class About:
    """What a card says that the manifest does not: what the model is, how to call it, how good it is (or nothing)."""

    model: str
    call: str
    quality: str = ""


def of_run(verified: VerifyResult) -> About:
    """Return what is known of a network that was trained here."""
    trained = verified.exported.trained
    metrics = ", ".join(f"{name} {value:.4f}" for name, value in verified.metrics.items())
    return About(
        model=f"A {trained.recipe.model.name} with {trained.parameters:,} weights, trained on {trained.data.name} "
        f"({_sizes(trained.data)}). Licence of the data: {trained.data.licence}.",
        call=f"print(predictor.predict({input_kind(verified.exported.input).example}))",
        quality=f"On {trained.data.sizes.get('test', 0):,} test samples, measured on `model.onnx` as it lies here: "
        f"{metrics}.",
    )


def of_file(name: str, inputs: Signature, row: Feeds) -> About:
    """Return what is known of an ONNX file from elsewhere, and a call with zeros in the sizes of one `row`."""
    kind = input_kind(inputs)
    call = f"print(predictor.predict({kind.example}).outputs)"
    if not kind.file:
        zeros = (f"{json.dumps(n)}: np.zeros({a.shape[1:]}, {json.dumps(str(a.dtype))})" for n, a in row.items())
        call = f"row = {{{', '.join(zeros)}}}  # arrays with one axis more in front are a batch\n"
        call += "    print(predictor.predict(row).outputs)"
    return About(f"Made from `{name}`, an ONNX file that was not trained with onnxway.", call)


def render(manifest: Manifest, passport: Passport, latency_ms: dict[str, float], about: About) -> str:
    """Return the card as Markdown."""
    numpy = ["import numpy as np"] if "np." in about.call else []
    lines = [
        f"# {manifest.name} {manifest.version}",
        "",
        about.model,
        "",
        "## Use",
        "```python",
        *numpy,
        "from deploy import Predictor  # pip install onnxway",
        "",
        'with Predictor.load("this folder") as predictor:',
        f"    {about.call}",
        "```",
        "",
        "| | name | dtype | shape | range | unit |",
        "| --- | --- | --- | --- | --- | --- |",
        *_tensors("in", manifest.input),
        *_tensors("out", manifest.output),
        "",
        _labels(manifest.output.labels),
        "",
        *(("## How good it is", about.quality, "") if about.quality else ()),
        "## How sure it is that this file is that network",
        *_verdict(passport),
        "",
        "Latency of the whole graph on the CPU that packaged it, median: "
        + ", ".join(f"batch {size}: {ms} ms" for size, ms in latency_ms.items())
        + ".",
        "",
        "Where it comes from (digests, versions; recipe, data and commit of what was trained here) stands in "
        "`manifest.json`.",
    ]
    return "\n".join(lines) + "\n"


def _labels(labels: tuple[str, ...]) -> str:
    """Return the labels, the first of very many, each so that it can be seen."""
    shown = [label if label.isprintable() else ascii(label) for label in labels[:_LABELS]]
    more = f", ... ({len(labels):,} in all)" if len(labels) > _LABELS else ""
    return f"Labels: {', '.join(shown)}{more}" if labels else ""


def _verdict(passport: Passport) -> Iterator[str]:
    against = f", held against {passport.reference}" if passport.reference else ""
    yield f"Verified on {', '.join(passport.providers)} with {passport.rows:,} rows{against}, {passport.created}."
    yield ""
    if passport.unproven:
        yield "Not proven:"
        yield ""
        yield from (f"- {words}" for words in passport.unproven)
        yield ""
    yield "| check | measured | allowed | |"
    yield "| --- | --- | --- | --- |"
    for check in passport.checks:
        yield f"| {check.name} | {_number(check.value)} | {_number(check.limit)} | {check.detail} |"


def _number(value: float | None) -> str:
    """Return a figure with three digits, or nothing."""
    return "" if value is None else f"{value:.3g}"


def _sizes(data: DataInfo) -> str:
    parts = [f"{count:,} {split}" for split, count in data.sizes.items()]
    if data.skipped:
        parts.append(f"{data.skipped:,} left out as unreadable")
    if data.counts and max(data.counts) > 1.5 * min(data.counts):
        parts.append(f"{min(data.counts):,} to {max(data.counts):,} of each class to train on")
    return ", ".join(parts)


def _tensors(role: str, signature: Signature) -> list[str]:
    return [
        f"| {role} | {t.name.replace('|', '&#124;')} | {t.dtype} | {' x '.join(map(str, t.shape))} "
        f"| {f'{t.range[0]:g} to {t.range[1]:g}' if t.range else ''} | {t.unit} |"
        for t in signature.tensors
    ]

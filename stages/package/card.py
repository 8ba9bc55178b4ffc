"""The model card: the bundle's README.md, for whoever finds the folder without having made it."""

from deploy.bundle import Manifest, Signature
from stages.result import VerifyResult


def render(manifest: Manifest, verified: VerifyResult, latency_ms: dict[str, float]) -> str:
    """Return the card as Markdown."""
    trained = verified.exported.trained
    passport = verified.passport
    lines = [
        f"# {manifest.name} {manifest.version}",
        "",
        f"A {trained.recipe.model.name} with {trained.parameters:,} weights, trained on {trained.data.name} "
        f"({_sizes(trained.data.sizes)}). Licence of the data: {trained.data.licence}.",
        "",
        "## Use",
        "```python",
        "from deploy import Predictor  # pip install onnxway",
        "",
        'with Predictor.load("this folder") as predictor:',
        f"    print(predictor.predict({_payload(manifest.input)}))",
        "```",
        "",
        "| | name | dtype | shape | range | unit |",
        "| --- | --- | --- | --- | --- | --- |",
        *_tensors("in", manifest.input),
        *_tensors("out", manifest.output),
        "",
        f"Labels: {', '.join(manifest.output.labels)}" if manifest.output.labels else "",
        "",
        "## How good it is",
        f"On {trained.data.sizes.get('test', 0):,} test samples, measured on `model.onnx` as it lies here: "
        + ", ".join(f"{name} {value:.4f}" for name, value in manifest.metrics.items())
        + ".",
        "",
        "## How sure it is that this file is that network",
        f"Verified on {', '.join(passport.providers)} with {passport.rows:,} rows, {passport.created}.",
        "",
        "| check | measured | allowed | |",
        "| --- | --- | --- | --- |",
        *(f"| {c.name} | {_number(c.value)} | {_number(c.limit)} | {c.detail} |" for c in passport.checks),
        "",
        "Latency of the whole graph on the CPU that packaged it, median: "
        + ", ".join(f"batch {size}: {ms} ms" for size, ms in latency_ms.items())
        + ".",
        "",
        "Where it comes from (recipe, data digest, commit, versions) stands in `manifest.json`.",
    ]
    return "\n".join(lines) + "\n"


def _number(value: float | None) -> str:
    """Return a figure with three digits, or nothing."""
    return "" if value is None else f"{value:.3g}"


def _sizes(sizes: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {split}" for split, count in sizes.items())


def _payload(signature: Signature) -> str:
    return '"picture.png"' if signature.kind == "image" else "payload"


def _tensors(role: str, signature: Signature) -> list[str]:
    return [
        f"| {role} | {t.name} | {t.dtype} | {' x '.join(map(str, t.shape))} "
        f"| {f'{t.range[0]:g} to {t.range[1]:g}' if t.range else ''} | {t.unit} |"
        for t in signature.tensors
    ]

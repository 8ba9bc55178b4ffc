"""Results and recipes as flat names and figures: what one compares runs by."""

import re

from deploy.schema import to_plain
from stages.recipe import Recipe
from stages.result import PackageResult, Result, TrainResult, VerifyResult


def summary(result: Result) -> dict[str, float]:
    """Return the figures of a finished stage that one compares runs by."""
    if isinstance(result, TrainResult):
        scores = {f"test_{name}": value for name, value in result.metrics.items()}
        return scores | {"parameters": result.parameters, "train_seconds": result.seconds}
    if isinstance(result, VerifyResult):
        ratios = {f"noise_ratio_{name}": value for name, value in result.ratios.items()}
        scores = {f"verified_{name}": value for name, value in result.metrics.items()}
        checks = {f"check_{_slug(c.name)}": c.value for c in result.passport.checks if c.value is not None}
        return checks | ratios | scores | {"flips": result.flips, "ties": result.ties, "verified_rows": result.rows}
    if isinstance(result, PackageResult):
        return {f"latency_ms_{name}": value for name, value in result.latency_ms.items()}
    return {"nodes": result.nodes}


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "_", name)


def flatten(recipe: Recipe) -> dict[str, str]:
    """Return a resolved recipe as MLflow parameters, by the keys that `--set` takes."""
    flat: dict[str, str] = {}
    for key, value in to_plain(recipe).items():
        if key in ("data", "input", "model", "task"):
            flat[key] = value["name"]
            flat |= {f"{key}.{option}": str(v) for option, v in value["options"].items()}
        elif isinstance(value, dict):
            flat |= {f"{key}.{name}": str(v) for name, v in value.items()}
        else:
            flat["recipe" if key == "name" else key] = str(value)
    return flat

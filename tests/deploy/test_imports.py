"""What `import deploy` costs: nothing that an application did not ask for, and little beyond ONNX Runtime itself."""

import json
import os
import subprocess
import sys
from pathlib import Path

HEAVY = {"torch", "onnx", "onnxscript", "mlflow", "click", "PIL", "starlette", "uvicorn", "stages", "pipeline"}
COST = "import os, time; {}; print(sum(os.times()[:2]))"


def fresh(code: str) -> str:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    return done.stdout


def loaded_by(code: str) -> set[str]:
    return set(json.loads(fresh(f"{code}; import sys, json; print(json.dumps([*sys.modules]))")))


def test_nothing_heavy_is_loaded() -> None:
    before = loaded_by("pass")  # site-packages may load something for everybody
    assert not (loaded_by("import deploy") - before) & (HEAVY | {"numpy", "onnxruntime"})
    assert not (loaded_by("import deploy; deploy.Predictor") - before) & HEAVY


def test_arrays_are_answered_without_pillow(colours: Path) -> None:
    code = f"import numpy, deploy; deploy.Predictor.load({str(colours)!r}).predict(numpy.zeros((4, 4, 3), numpy.uint8))"
    assert not loaded_by(code) & HEAVY


def test_it_costs_at_most_30_percent_more_than_onnxruntime() -> None:
    def cost(code: str) -> float:
        return float(fresh(COST.format(code)))

    # The minimum of interleaved runs: whatever else the machine does only ever adds.
    runs = [(cost("import onnxruntime"), cost("import deploy; deploy.Predictor")) for _ in range(7)]
    base, ours = (min(column) for column in zip(*runs, strict=True))
    assert ours <= 1.3 * base, f"{ours:.3f} s against {base:.3f} s of CPU time"

"""What `import deploy` costs: nothing that an application did not ask for, and little beyond ONNX Runtime itself."""

import json
import os
import subprocess
import sys
from pathlib import Path

HEAVY = {"torch", "onnx", "onnxscript", "mlflow", "click", "PIL", "stages", "pipeline"}
HEAVY |= {"starlette", "httptools", "uvloop"}


def fresh(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ | environment
    )
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


def test_it_costs_at_most_a_third_more_than_onnxruntime(tmp_path: Path) -> None:
    # Bytecode on both sides, as installed packages have it; one thread, or BLAS adds the cost of starting its own.
    environment = {"OMP_NUM_THREADS": "1", "PYTHONPYCACHEPREFIX": str(tmp_path), "PYTHONDONTWRITEBYTECODE": ""}

    def cost(code: str) -> float:
        return float(fresh(f"{code}; import time; print(time.process_time())", **environment))

    base, ours = "import onnxruntime", "import deploy; deploy.Predictor"
    cost(base)
    cost(ours)
    # The least of interleaved runs: whatever else the machine does only ever adds.
    runs = [(cost(base), cost(ours)) for _ in range(12)]
    least_base, least_ours = (min(column) for column in zip(*runs, strict=True))
    assert least_ours <= 4 / 3 * least_base, f"{least_ours:.3f} s against {least_base:.3f} s of CPU time"

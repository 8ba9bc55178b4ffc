"""The smallest thing that shows the fault: one node with its weights, right inputs, and a script of ten lines."""

from pathlib import Path

import onnx

from deploy import files, samples
from deploy.samples import Sample
from stages.dataset import Array
from stages.verify.blame.alone import narrow

NAMES = ("repro.onnx", "repro.npz", "repro.py")

_LEVELS = {"none": "DISABLE_ALL", "basic": "ENABLE_BASIC", "extended": "ENABLE_EXTENDED", "all": "ENABLE_ALL"}
_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
_SCRIPT = '''"""One node alone, on the inputs that it should have had: how far is it from what it should answer?"""

import pathlib

import numpy as np
import onnxruntime

here = pathlib.Path(__file__).parent
data = np.load(here / "repro.npz", allow_pickle=False)
options = onnxruntime.SessionOptions()
options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_{level}
session = onnxruntime.InferenceSession(here / "repro.onnx", options, providers=["{provider}"])
found = session.run(None, {{i.name: data[f"0/in/{{i.name}}"] for i in session.get_inputs()}})
for output, value in zip(session.get_outputs(), found, strict=True):
    expected = data[f"0/out/{{output.name}}"]
    if value.shape != expected.shape:
        print(f"{{output.name}}: shape {{value.shape}}, expected {{expected.shape}}")
        continue
    difference = np.abs(value.astype("float64") - expected).max(initial=0)
    print(f"{{output.name}}: largest difference {{difference:.3g}}, largest expected {{np.abs(expected).max():.3g}}")
'''


def write(
    folder: Path,
    model: onnx.ModelProto,
    inputs: dict[str, Array],
    expected: dict[str, Array],
    provider: str,
    optimize: str,
) -> None:
    """Write the three files into `folder`, replacing what was there; raises onnx's error when the model is not valid.

    Outputs without an expected value are taken out of the model.
    """
    kept = [value for value in model.graph.output if value.name in expected]
    del model.graph.output[:]
    model.graph.output.extend(kept)
    onnx.checker.check_model(model)
    with files.replaced_folder(folder) as new:
        files.write_bytes(new / NAMES[0], model.SerializeToString(deterministic=True))
        samples.save(new / NAMES[1], [Sample(inputs, {name: narrow(array) for name, array in expected.items()})])
        script = _SCRIPT.format(level=_LEVELS[optimize], provider=_PROVIDERS[provider])
        files.write_bytes(new / NAMES[2], script.encode())

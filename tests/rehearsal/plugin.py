"""The real CUDA provider over stand-in libraries: placement, options and errors without a GPU, never values.

The stand-ins lie outside this project: in `ONNXWAY_CUDA_REHEARSAL`, else in `../shared/cuda-rehearsal` beside the
repository. Another folder's tests use them too: `from tests.rehearsal.plugin import cuda_rehearsal` in its conftest.
"""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[2]
SOURCES = Path(os.environ.get("ONNXWAY_CUDA_REHEARSAL", REPOSITORY.parent / "shared" / "cuda-rehearsal"))

# In such a process the real libraries must not be loaded first.
QUIETLY = """
import json, sys
import onnxruntime
onnxruntime.preload_dlls = lambda *_, **__: None
"""

SHAPE_ARITHMETIC = """g (float[n, c, h, w] x) => (float[n, q] y) {
    s = Shape(x)
    zero = Constant<value_ints = [0]>()
    first = Gather(s, zero)
    rest = Constant<value_ints = [-1]>()
    shape = Concat<axis = 0>(first, rest)
    bigger = Sin(x)
    y = Reshape(bigger, shape)
}"""

SCRIPT = """
from deploy import providers
from deploy.errors import OnnxwayError
if not {warm_up}:
    providers.Session.run = lambda self, arrays, outputs=None: {{}}
try:
    session = providers.open_session(sys.argv[1], "cuda", json.loads(sys.argv[2]))
except OnnxwayError as error:
    answer = {{"error": type(error).__name__, "words": str(error)}}
else:
    nodes = [[str(node), node.operator, node.provider] for node in session.placement.nodes]
    answer = {{"nodes": nodes, "copies": session.placement.copies, "options": session.options,
              "taken": session.raw.get_provider_options()["CUDAExecutionProvider"]}}
print(json.dumps(answer))
"""


@dataclass(frozen=True)
class Rehearsal:
    """Stand-in libraries in `folder`."""

    folder: Path

    def open(self, model: Path, options: dict[str, Any] | None = None, *, warm_up: bool = True) -> dict[str, Any]:
        """Open a model strictly on CUDA in a process of its own.

        Returns `nodes`, `copies`, `options`, `taken`, or `error` (the class) and `words`. Without `warm_up` the run
        that proves cuDNN is left out: there is none here.
        """
        return open_strictly(model, options, warm_up=warm_up, libraries=self.folder)

    def script(self, code: str, *arguments: object) -> tuple[Any, list[str]]:
        """Run Python in a process that finds the stand-ins; returns the JSON it prints last, and the calls.

        Calls are those of the CUDA runtime as the stand-ins log them, "Memcpy 32 kind 1", and "# ..." for each line
        that the script writes to stderr with that beginning.
        """
        done = subprocess.run(
            [sys.executable, "-c", QUIETLY + code, *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=120,
            env=_environment(self.folder) | {"CUDA_REHEARSAL_LOG": "1"},
        )
        assert done.returncode == 0, done.stderr
        lines = [
            line.removeprefix("[cuda] ") for line in done.stderr.splitlines() if line.startswith(("[cuda] ", "# "))
        ]
        return json.loads(done.stdout.splitlines()[-1]), lines

    def placement_of(self, model: Path) -> dict[str, str]:
        """Return {"0 Conv 'name'": provider, ...} of a strict session; a refusal fails the test with its words."""
        answer = self.open(model, warm_up=False)
        if "error" in answer:
            pytest.fail(f"{model}: {answer['words']}")
        return {f"{number} {label}": provider for number, (label, _, provider) in enumerate(answer["nodes"])}


def open_strictly(
    model: Path, options: dict[str, Any] | None = None, *, warm_up: bool = True, libraries: Path | None = None
) -> dict[str, Any]:
    """Open a model strictly on CUDA in a new process that finds CUDA libraries in one folder at most."""
    done = subprocess.run(
        [sys.executable, "-c", QUIETLY + SCRIPT.format(warm_up=warm_up), str(model), json.dumps(options or {})],
        capture_output=True,
        text=True,
        timeout=120,
        env=_environment(libraries),
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


def onnx_file(folder: Path, text: str, opset: int = 20) -> Path:
    """Write a graph in ONNX's text form as `model.onnx`."""
    onnx = pytest.importorskip("onnx", reason="needs onnx to make a graph")
    model = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["": {opset}]> {text}')
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, folder / "model.onnx")
    return folder / "model.onnx"


def _environment(libraries: Path | None) -> dict[str, str]:
    environment = {key: value for key, value in os.environ.items() if key != "LD_LIBRARY_PATH"}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [_deploy_root(), environment.get("PYTHONPATH", "")]))
    if libraries:
        environment["LD_LIBRARY_PATH"] = str(libraries)
    return environment


def build(folder: Path, change: tuple[str, str] | None = None) -> Path:
    """Build the stand-ins into a folder, with one text of the CUDA runtime replaced."""
    sources = folder / "sources"
    sources.mkdir(parents=True)
    for source in SOURCES.iterdir():
        shutil.copyfile(source, sources / source.name)
    if change:
        before, after = change
        code = (sources / "runtime.c").read_text()
        assert before in code
        (sources / "runtime.c").write_text(code.replace(before, after))
    subprocess.run([sys.executable, sources / "build.py", folder / "lib"], check=True, capture_output=True)
    return folder / "lib"


def _deploy_root() -> str:
    """Return where this process finds `deploy`, so that its children find the same one."""
    import deploy

    return str(Path(deploy.__file__).parents[1])


def require_rehearsal() -> None:
    """Skip the running test, with the reason, where the stand-ins cannot be built."""
    if not (SOURCES / "build.py").is_file():
        pytest.skip(f"no CUDA stand-ins in {SOURCES}; set ONNXWAY_CUDA_REHEARSAL to their folder")
    missing = [tool for tool in ("gcc", "nm") if not shutil.which(tool)]
    if missing:
        pytest.skip(f"{' and '.join(missing)} not installed: the CUDA stand-ins cannot be built")
    import onnxruntime

    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime has no CUDA provider: there is nothing to rehearse")


@pytest.fixture(scope="session")
def cuda_rehearsal(tmp_path_factory: pytest.TempPathFactory) -> Rehearsal:
    """Stand-ins for a machine with one GPU and no cuDNN."""
    require_rehearsal()
    return Rehearsal(build(tmp_path_factory.mktemp("cuda")))

"""Sessions on the provider that was asked for, or an error with cause and remedy: never a silent CPU run.

`open_session` reads the file first (opset, operators, weights stored elsewhere), creates the session strictly, proves
where each node runs, and on CUDA runs it once, because a missing cuDNN shows only there. A session belongs to the
process that opened it: after a fork, open a new one.
"""

import math
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

import numpy as np
import onnxruntime

from deploy import cuda, onnxfile
from deploy.arrays import Array
from deploy.bundle import TensorSpec
from deploy.errors import BundleError, NotFoundError, OnnxwayError, ProviderError, UsageError
from deploy.placement import CPU, CUDA, Placement, read_placement
from deploy.rows import by_batch, fixed_batch, free_specs

Provider = Literal["cpu", "cuda"]
Threads = int | Literal["auto"] | None
"""Threads within one run; "auto", and None as commands pass it: the cores that this process may use."""

T = TypeVar("T")

Optimization = Literal["all", "extended", "basic", "none"]

_EP = {"cpu": CPU, "cuda": CUDA}
_LEVELS = {
    "all": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL,
    "extended": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    "basic": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    "none": onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL,
}
_DTYPES = {"float": "float32", "double": "float64"}
_FATAL_ONLY = 4
EAGER = -1
_CGROUP = Path("/sys/fs/cgroup")
CORES_VARIABLE = "ONNXWAY_CORES"


@dataclass(frozen=True)
class Session:
    """An open session: `run` takes and returns numpy arrays by name. Threads may share it."""

    raw: Any = field(repr=False)
    provider: Provider
    options: dict[str, str]
    threads: int
    placement: Placement
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    _names: tuple[str, ...] = field(repr=False)
    _turn: AbstractContextManager[object] | None = field(default=None, repr=False)
    _run_options: Any = field(default=None, repr=False)

    def run(self, arrays: Mapping[str, Array], outputs: Sequence[str] | None = None) -> dict[str, Array]:
        """Run once; returns `outputs`, or all. `OnnxwayError` when ONNX Runtime cannot run these tensors."""
        names = self._names if outputs is None else outputs
        feed = arrays if type(arrays) is dict else dict(arrays)
        values = self.exclusively(lambda: self.raw.run(names, feed, self._run_options))
        return dict(zip(names, values, strict=True))

    def exclusively(self, call: Callable[[], T]) -> T:
        """Call `raw` when it is this session's turn on its device; what it raises becomes an `OnnxwayError`."""
        try:
            if self._turn is None:
                return call()
            with self._turn:
                return call()
        except Exception as error:  # ONNX Runtime's exceptions have no common base
            raise _run_error(self.provider, error) from None


@dataclass(frozen=True)
class FixedBatchSession(Session):
    """A session of a file that takes `batch` rows at a time; `run` takes any number, see `deploy.rows`."""

    batch: int = 1

    def run(self, arrays: Mapping[str, Array], outputs: Sequence[str] | None = None) -> dict[str, Array]:
        """Run as often as it takes."""
        return by_batch(partial(super().run, outputs=outputs), self.batch)(arrays)


def open_session(
    model: Path | str | bytes,
    provider: Provider = "cpu",
    options: Mapping[str, object] | None = None,
    *,
    threads: Threads = "auto",
    optimize: Optimization = "all",
    warmup: Mapping[str, Array] | None = None,
) -> Session:
    """Open a model strictly on one provider.

    options     provider options over `cuda.DEFAULTS` (TF32 is off: what was verified is what is served)
    threads     within one run on the CPU; "auto": the cores this process may use (affinity, cgroup)
    optimize    graph optimization level of ONNX Runtime
    warmup      input of the first run on CUDA; default: zeros, one row, free sizes 32

    Raises `ProviderError` with cause and remedy when the provider is not really used, `BundleError` for a file that
    cannot be opened as a model, `UsageError` for options that do not exist.

    A file with a fixed batch is opened as one that takes any number of rows (`deploy.rows`).
    """
    if provider not in get_args(Provider):
        raise UsageError(f"provider {provider!r}: choose from: {', '.join(get_args(Provider))}")
    data = model if isinstance(model, bytes) else _read(Path(model))
    content = onnxfile.inspect(data)
    if content.external_data:
        raise BundleError("the model keeps weights in other files; export it self-contained (one file)")
    chosen = _provider_options(provider, options or {})
    graphs = provider == "cuda" and cuda.captures(chosen)
    if provider == "cuda":
        cuda.require_runnable(content)
        if graphs:
            cuda.require_capturable(content)
        cuda.preload()
    settings = _settings(threads, optimize)
    raw, copies = _create(data, provider, chosen, settings)
    used = raw.get_providers()[0]
    if used != _EP[provider]:
        raise ProviderError(f"provider {provider} is not used ({used} is): {cuda.diagnose()}")
    placement = read_placement(raw, copies)
    placement.prove(_EP[provider])
    inputs, outputs = tuple(map(_spec, raw.get_inputs())), tuple(map(_spec, raw.get_outputs()))
    batch = fixed_batch(inputs, outputs)
    make = Session if batch is None else partial(FixedBatchSession, batch=batch)
    session = make(
        raw=raw,
        provider=provider,
        options=chosen,
        threads=settings.intra_op_num_threads,
        placement=placement,
        inputs=inputs if batch is None else free_specs(inputs),
        outputs=outputs if batch is None else free_specs(outputs),
        _names=tuple(port.name for port in raw.get_outputs()),
        _turn=cuda.turn(int(chosen["device_id"])) if provider == "cuda" else None,
        _run_options=graph_id(EAGER) if graphs else None,  # captured or not, `run` takes tensors of any shape
    )
    if provider == "cuda":
        session.run(warmup or _zeros(session.inputs))
    return session


def graph_id(number: int) -> Any:
    """Return run options that capture, and later replay, the CUDA graph of this number; `EAGER` does neither."""
    options = onnxruntime.RunOptions()
    options.add_run_config_entry("gpu_graph_id", str(number))
    return options


def usable_cores() -> int:
    """Return the cores that this process may use: its CPU affinity, cut by its cgroup's quota and `ONNXWAY_CORES`."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    wanted = os.environ.get(CORES_VARIABLE, "")
    return max(1, min(affinity, _cgroup_cores() or affinity, int(wanted) if wanted.isdecimal() else affinity))


def _cgroup_cores() -> int | None:
    """Return the CPU quota in cores, rounded up: cgroup v2, then v1; None when there is none."""
    try:
        quota, period = (_CGROUP / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota = (_CGROUP / "cpu/cpu.cfs_quota_us").read_text().strip()
            period = (_CGROUP / "cpu/cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    if not quota.isdigit() or not int(period):
        return None  # "max" or -1: unlimited
    return math.ceil(int(quota) / int(period))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise NotFoundError(f"{path}: no such file") from None


def _provider_options(provider: Provider, options: Mapping[str, object]) -> dict[str, str]:
    if provider == "cuda":
        return cuda.options(options)
    if options:
        raise UsageError(f"provider cpu takes no options, got {', '.join(sorted(options))}")
    return {}


def _settings(threads: Threads, optimize: Optimization) -> Any:
    count = usable_cores() if threads is None or threads == "auto" else threads
    if count < 1:
        raise UsageError(f"threads {threads}: expected 1 or more, or auto")
    if optimize not in _LEVELS:
        raise UsageError(f"optimize {optimize!r}: choose from: {', '.join(_LEVELS)}")
    settings = onnxruntime.SessionOptions()
    settings.graph_optimization_level = _LEVELS[optimize]
    settings.intra_op_num_threads = count
    settings.log_severity_level = _FATAL_ONLY  # all else is checked, and raised as an error with a remedy
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    settings.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    return settings


def _create(data: bytes, provider: Provider, options: dict[str, str], settings: Any) -> tuple[Any, int]:
    """Return the session and the number of Memcpy nodes in its graph."""
    if provider == "cpu":
        return _create_strictly(data, provider, [CPU], settings), 0
    # Memcpy nodes are added after the placement is recorded; the optimised graph on disk is the only place to see them.
    with cuda.making, _temporary_folder() as folder:
        settings.optimized_model_filepath = str(Path(folder) / "optimized.onnx")
        raw = _create_strictly(data, provider, [(CUDA, options), CPU], settings)
        operators = onnxfile.inspect(_read(Path(settings.optimized_model_filepath))).operators
    return raw, operators["MemcpyToHost"] + operators["MemcpyFromHost"]


def _temporary_folder() -> AbstractContextManager[str]:
    import tempfile  # here, because it is slow to import and only CUDA needs it

    try:
        return tempfile.TemporaryDirectory(prefix="onnxway.")
    except OSError as error:
        raise ProviderError(
            f"provider cuda: no place for the temporary file that shows the placement ({error.strerror}); "
            "set TMPDIR to a folder that can be written, such as /dev/shm"
        ) from None


def _create_strictly(data: bytes, provider: Provider, providers: list[Any], settings: Any) -> Any:
    try:
        return onnxruntime.InferenceSession(data, settings, providers=providers, enable_fallback=0)
    except Exception as error:  # ONNX Runtime's exceptions have no common base
        if provider == "cuda":
            raise cuda.creation_error(error) from None
        raise BundleError(f"ONNX Runtime cannot open the model: {one_line(error)}") from None


def _run_error(provider: Provider, error: Exception) -> OnnxwayError:
    if provider == "cuda":
        return cuda.run_error(error)
    return OnnxwayError(f"ONNX Runtime cannot run the model on these tensors: {one_line(error)}")


def one_line(error: Exception) -> str:
    """Return the words of an error of ONNX Runtime in one line."""
    return " ".join(str(error).split())


def _spec(argument: Any) -> TensorSpec:
    inner = argument.type.removeprefix("tensor(").removesuffix(")")
    shape = tuple("?" if size is None else size for size in argument.shape)
    return TensorSpec(argument.name, _DTYPES.get(inner, inner), shape)


def _zeros(specs: Sequence[TensorSpec]) -> dict[str, Array]:
    return {
        spec.name: np.zeros([_size(size, axis) for axis, size in enumerate(spec.shape)], spec.dtype) for spec in specs
    }


def _size(size: int | str, axis: int) -> int:
    if isinstance(size, int):
        return size
    return 1 if axis == 0 else 32

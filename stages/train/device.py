"""Where training runs, and under which global settings of torch; all are put back afterwards."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F  # noqa: N812

from stages.errors import TrainingError
from stages.observer import Observer
from stages.ranks import Ranks
from stages.recipe import TrainConfig


def choose(config: TrainConfig, observer: Observer, ranks: Ranks = Ranks()) -> torch.device:  # noqa: B008
    """Return the device to train on, said in one line; raise `TrainingError` when the recipe cannot run on it.

    Each process of a distributed training takes the GPU of its number on this machine.
    """
    if config.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS reads it when CUDA starts
    trouble = "" if config.device == "cpu" else _cuda_trouble()
    if config.device == "cuda" and trouble:
        raise TrainingError(
            f"train.device is 'cuda', but CUDA does not work here: {trouble}; see what is missing: pipeline doctor, "
            "or train on the CPU: --set train.device=cpu"
        )
    if config.device == "cpu" or trouble:
        reason = f" (CUDA does not work here: {trouble})" if trouble else ""
        threads = config.threads or torch.get_num_threads()
        observer.say(f"training on the CPU, {threads} thread{'s' if threads > 1 else ''}{_among(ranks)}{reason}")
        device = torch.device("cpu")
    else:
        if ranks.size > 1:
            _take(ranks)
        device = torch.device("cuda", torch.cuda.current_device())
        gib = torch.cuda.get_device_properties(device).total_memory / 2**30
        observer.say(f"training on {torch.cuda.get_device_name(device)} ({device}, {gib:.0f} GiB){_among(ranks)}")
    if config.precision == "fp16" and device.type != "cuda":
        raise TrainingError(
            "train.precision is 'fp16', which needs a CUDA device for its loss scaling; "
            "use --set train.precision=bf16 or fp32"
        )
    return device


def _take(ranks: Ranks) -> None:
    if ranks.local >= torch.cuda.device_count():
        raise TrainingError(
            f"process {ranks.local} of this machine has no GPU of its own, there are {torch.cuda.device_count()}; "
            "start as many: torchrun --nproc-per-node, or train on the CPU: --set train.device=cpu"
        )
    torch.cuda.set_device(ranks.local)


def _among(ranks: Ranks) -> str:
    return f", in {ranks.size} processes" if ranks.size > 1 else ""


def _cuda_trouble() -> str:
    """Return why CUDA cannot be used, in one line; empty when a convolution really ran on it."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            if not torch.cuda.is_available():
                said = [str(warning.message).partition("\n")[0] for warning in caught]
                built = torch.version.cuda
                return said[0] if said else "no CUDA device found" if built else "this torch is built without CUDA"
            F.conv2d(torch.ones(1, 1, 8, 8, device="cuda"), torch.ones(1, 1, 3, 3, device="cuda")).sum().item()
        except RuntimeError as error:  # driver, cuDNN and kernel failures are all RuntimeErrors
            return str(error).partition("\n")[0]
    return ""


@contextmanager
def numerics(config: TrainConfig, device: torch.device) -> Iterator[None]:
    """Seed torch's generators and set threads, algorithms and TF32 for training, for the length of a block."""
    deterministic = torch.are_deterministic_algorithms_enabled()
    benchmark, threads = torch.backends.cudnn.benchmark, torch.get_num_threads()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), tf32(device, allowed=True):
        torch.manual_seed(config.seed)
        torch.set_num_threads(config.threads or threads)
        torch.use_deterministic_algorithms(config.deterministic or deterministic)
        torch.backends.cudnn.benchmark = not config.deterministic
        try:
            yield
        finally:
            torch.set_num_threads(threads)
            torch.use_deterministic_algorithms(deterministic)
            torch.backends.cudnn.benchmark = benchmark


def seed(device: torch.device, number: int) -> None:
    """Seed the generators that layers draw from; `torch.manual_seed` asks every kind of device, in 0.2 ms."""
    torch.default_generator.manual_seed(number)
    if device.type == "cuda":
        torch.cuda.default_generators[device.index].manual_seed(number)


@contextmanager
def out_of_memory_in_words(config: TrainConfig) -> Iterator[None]:
    """Turn what torch raises when the device's memory is full into a `TrainingError` that says what to do."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        reason = str(error).partition(". ")[0]
        raise TrainingError(
            f"{reason}; lower train.batch_size ({config.batch_size}) or train.memory_mb ({config.memory_mb}), "
            "or use --set train.precision=bf16"
        ) from None


@contextmanager
def tf32(device: torch.device, *, allowed: bool) -> Iterator[None]:
    """Allow TF32 (training) or not (evaluation: the figures of the graph as it will be served), on CUDA only.

    The old names on purpose: once the new ones are set, reading an old one raises, and Inductor reads it.
    """
    if device.type != "cuda":
        yield
        return
    matmul, convolution = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("high" if allowed else "highest")
    torch.backends.cudnn.allow_tf32 = allowed
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(matmul)
        torch.backends.cudnn.allow_tf32 = convolution

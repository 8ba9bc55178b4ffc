"""What a recipe is: frozen dataclasses, one `Config` a stage. No torch here.

A recipe is a function without arguments that returns a `Recipe`; a variant calls another one and replaces fields. Data,
input, model and task are *components*: a name that `stages.discover` finds in a folder, and the keyword-only
options of the function behind that name.
"""

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal

Option = bool | int | float | str | tuple[int, ...] | tuple[float, ...]
Precision = Literal["fp32", "tf32", "bf16", "fp16"]


@dataclass(frozen=True)
class Component:
    """Something found by name in a folder of `stages/`, with values for its keyword-only parameters."""

    name: str
    options: dict[str, Option] = field(default_factory=dict)


def use(name: str, **options: Option) -> Component:
    """Return `Component(name, options)`: `use("image", height=28, width=28)`."""
    return Component(name, options)


@dataclass(frozen=True)
class TrainConfig:
    """How a network is trained. Rates are per step, `schedule` runs over all steps after `warmup` of them.

    epochs, batch_size          the last, smaller batch of an epoch is trained on too
    shuffle                     off: the order of the file
    optimizer, lr, momentum, nesterov, weight_decay
    groups                      other values for parameters by name prefix: {"head": {"momentum": 0.0}}
    schedule                    constant; exponential: lr * decay**epoch; linear, cosine: to 0; onecycle: up, then down
    warmup                      fraction of all steps in which the rate rises linearly from 0 (onecycle: its rise)
    clip_norm                   largest gradient norm; 0: no clipping
    ema                         decay of an exponential moving average of the weights (starts after warm-up); 0: none
    early_stop                  epochs without a better validation metric after which training stops; 0: never
    select                      which weights are kept: those of the best validation epoch, or the last
    precision                   fp32, bf16 or fp16 (autocast; fp16 with loss scaling, CUDA only); auto: fp32, or bf16
                                where a few steps of a training of half a minute or more show that it pays
    channels_last, compile      memory format (auto: as for precision; bf16 and format as chosen are kept in the
                                result's recipe); torch.compile
    deterministic               deterministic algorithms, slower; results repeat bit for bit on one machine
    seed                        of weights, order, augmentation and dropout
    device                      auto (CUDA when it works, else CPU), cpu or cuda
    threads                     of the CPU; 0: torch's choice; 1 is fastest for small nets and batches, and makes the
                                result independent of the number of cores
    memory_mb                   data up to this size is held on the device as uint8; more is streamed by `workers`
    checkpoint_s                seconds between checkpoints (there is one after every epoch too)
    """

    epochs: int = 10
    batch_size: int = 128
    shuffle: bool = True
    optimizer: Literal["sgd", "adam", "adamw"] = "adamw"
    lr: float = 1e-3
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 0.0
    groups: dict[str, dict[str, float]] = field(default_factory=dict)
    schedule: Literal["constant", "exponential", "linear", "cosine", "onecycle"] = "constant"
    decay: float = 0.95
    warmup: float = 0.0
    clip_norm: float = 0.0
    ema: float = 0.0
    early_stop: int = 0
    select: Literal["best", "last"] = "best"
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    channels_last: bool | Literal["auto"] = "auto"
    compile: bool = False
    deterministic: bool = False
    seed: int = 0
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int = 0
    memory_mb: int = 2048
    workers: int = 2
    checkpoint_s: float = 60.0


@dataclass(frozen=True)
class ExportConfig:
    """opset: 20 or 21; later ones place MaxPool on the CPU under the CUDA provider of ONNX Runtime 1.31."""

    opset: int = 20


@dataclass(frozen=True)
class VerifyConfig:
    """How an export is judged.

    precision    the arithmetic that is certified, whose rounding is the yardstick; tf32: fp32 with TF32 on CUDA
    limit        how many times the rounding noise of that arithmetic the ONNX model may be away from the float64 twin
    rows         rows over which noise is pooled, at least
    max_batch    the largest batch that is tried (1, 2, 3 and an odd one are tried always)
    providers    execution providers to verify on, each strictly
    max_flip_rate    rate of other decisions, in [0, 1), that the test rows must rule out at 95 %; 0: only said
    witness      rows on which onnx's numpy ReferenceEvaluator must decide the same; null: a few, as many as take some
                 seconds; 0: none
    budget_s     seconds for hunting worst cases, on each provider; small networks need fewer; 0: no hunt
    blame_s      seconds that naming the place may take when the verdict fails
    """

    precision: Precision = "fp32"
    limit: float = 8.0
    rows: int = 1000
    max_batch: int = 64
    providers: tuple[Literal["cpu", "cuda"], ...] = ("cpu",)
    max_flip_rate: float = 0.0
    witness: int | None = None
    budget_s: float = 20.0
    blame_s: float = 60.0


@dataclass(frozen=True)
class PackageConfig:
    """samples: golden rows that are kept in the bundle and replayed at load; version: of the bundle."""

    samples: int = 8
    version: str = "1"


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what comes out; equal recipes on equal data give equal runs."""

    name: str
    data: Component
    input: Component
    model: Component
    task: Component
    train: TrainConfig = TrainConfig()
    export: ExportConfig = ExportConfig()
    verify: VerifyConfig = VerifyConfig()
    package: PackageConfig = PackageConfig()


def replace(recipe: Recipe, **changes: Any) -> Recipe:
    """Return `recipe` with other fields; a dict for a config replaces fields inside it.

    `replace(lenet5(), name="long", train={"epochs": 20})`
    """
    nested = {
        name: dataclasses.replace(getattr(recipe, name), **change) if isinstance(change, dict) else change
        for name, change in changes.items()
    }
    return dataclasses.replace(recipe, **nested)

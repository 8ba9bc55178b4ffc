"""How high and how low the values in every layer go, row by row, in each forward pass of a module."""

from types import TracebackType
from typing import Any

import torch
from torch import nn


class Levels:
    """Hooks on the innermost modules while the block lasts.

    seen    by layer, (largest, smallest) value of each row (N,) in the last forward pass, with gradients where the pass
            has them; what has not one entry a row is passed over. What goes into a module is a layer of its own when no
            module gave it: a sum, a function's value.
    """

    def __init__(self, module: nn.Module) -> None:
        self.seen: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
        self._tensors: dict[int, torch.Tensor] = {}  # held, so that no other tensor takes their identity
        self._module = module
        self._rows = 0
        self._hooks: list[Any] = []

    def __enter__(self) -> "Levels":
        self._hooks.append(self._module.register_forward_pre_hook(lambda _, inputs: self._clear(len(inputs[0]))))
        self._hooks.append(self._module.register_forward_hook(lambda *_: self._tensors.clear()))
        for name, module in self._module.named_modules():
            if name and not any(True for _ in module.children()):
                self._hooks.append(module.register_forward_hook(self._hook(name)))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for hook in self._hooks:
            hook.remove()

    def _clear(self, rows: int) -> None:
        self._rows = rows
        self.seen = {}
        self._tensors = {}

    def _hook(self, name: str) -> Any:
        def look(_: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            self._note(f"{name} (input)", inputs[:1])
            self._note(name, output if isinstance(output, tuple) else (output,))

        return look

    def _note(self, name: str, values: tuple[Any, ...]) -> None:
        for value in values[:1]:
            if not isinstance(value, torch.Tensor) or not value.is_floating_point() or id(value) in self._tensors:
                continue
            if value.dim() > 1 and len(value) == self._rows:
                self._tensors[id(value)] = value
                flat = value.clone().flatten(1)  # a copy: the next layer may overwrite its input
                self.seen.setdefault(name, (flat.amax(1), flat.amin(1)))

"""Numbers drawn on the generator's device, a row for each sample."""

import torch

from deploy.errors import UsageError


def uniform(rows: int, columns: int, generator: torch.Generator) -> torch.Tensor:
    """Return numbers in [-1, 1), (rows, columns)."""
    return torch.rand(rows, columns, generator=generator, device=generator.device) * 2 - 1


def beta(rows: int, alpha: float, generator: torch.Generator) -> torch.Tensor:
    """Return (rows,) numbers from Beta(alpha, alpha): x / (x + y) of two gamma variables."""
    shape = torch.full((2, rows), alpha, device=generator.device)
    first, second = torch._standard_gamma(shape, generator).clamp_min(torch.finfo(shape.dtype).tiny)
    share: torch.Tensor = first / (first + second)
    return share


def within(centre: torch.Tensor, radius: torch.Tensor | float, length: int) -> torch.Tensor:
    """Return (N, length): which places of a side lie within `radius` of `centre` (N, 1), both as parts of the side."""
    place = (torch.arange(length, device=centre.device) + 0.5) / length
    return (place - centre).abs() < radius


def require(options: object, **ranges: tuple[float, float]) -> None:
    """Raise `UsageError` for a field of `options` outside of its range, both ends included."""
    for name, (low, high) in ranges.items():
        value = getattr(options, name)
        if not low <= value <= high:
            raise UsageError(f"task option {name!r} is {value:g}, expected {low:g} to {high:g}; set task.{name}")

"""All mutations, by what must become of them."""

from types import ModuleType

from tests.mutants import batch, decisions, equivalent, form, layers, pixels, recurrent, rewrites, weights
from tests.mutants.mutation import Mutation


def _of(*modules: ModuleType) -> tuple[Mutation, ...]:
    return tuple(entry for module in modules for entry in vars(module).values() if isinstance(entry, Mutation))


FAULTS = _of(pixels, weights, layers, recurrent, batch, decisions, form)
FAITHFUL = _of(rewrites)
EQUIVALENT = _of(equivalent)

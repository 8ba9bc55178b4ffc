"""Faults to refuse and faithful rewrites to pass, over small trained networks of many kinds.

`FAULTS`, `FAITHFUL` and `EQUIVALENT` list `Mutation`s; `subjects.build(name, seed, folder)` trains and exports the
network that they are applied to. Each mutation says which of `subjects.NAMES` it fits.
"""

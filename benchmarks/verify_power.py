"""What verify catches of faults in exported graphs, next to what others' comparisons catch of the same ones.

python -m benchmarks.verify_power                    everything: 573 s on one busy core
python -m benchmarks.verify_power --most 2           each kind of fault on two networks at most
"""

import argparse
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnxruntime
import torch

from benchmarks.comparators import ON_EXAMPLE, RULES, Outputs
from deploy.passport import Check
from stages.export.convert import example
from stages.recipe import VerifyConfig
from stages.verify.certify import certify
from stages.verify.reference import Feeds
from tests.mutants import catalogue, clamps, subjects
from tests.mutants.mutation import IMAGES, Mutation
from tests.mutants.subjects import Subject

VERIFY = "verify"


@dataclass
class Table:
    """Models of each kind that were tried, and how many of them each rule refused."""

    tried: Counter[str] = field(default_factory=Counter)
    refused: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    notes: list[str] = field(default_factory=list)

    def add(self, kind: str, refused_by: Iterable[str]) -> None:
        """Count one model of a kind."""
        self.tried[kind] += 1
        for rule in refused_by:
            self.refused[rule][kind] += 1


class Bench:
    """Builds each network once, and tries models on it."""

    def __init__(self, folder: Path, budget_s: float) -> None:
        self.folder, self.config = folder, VerifyConfig(budget_s=budget_s)
        self.built: dict[tuple[str, int], Subject] = {}

    def subject(self, name: str, seed: int) -> Subject:
        """Return a network, trained and exported once."""
        if (name, seed) not in self.built:
            _say(f"training and exporting {name}, seed {seed}")
            self.built[name, seed] = subjects.build(name, seed, self.folder / f"{name}_{seed}")
        return self.built[name, seed]

    def judge(self, subject: Subject, mutation: Mutation) -> tuple[list[str], tuple[Check, ...]]:
        """Return the rules that refuse the mutated model, and the checks that verify says it fails."""
        path = self.folder / "mutant.onnx"
        mutation.write(subject.model, path)
        passport = certify(path, subject.twin, subject.material, self.config).passport
        others = [rule for rule in RULES if not agrees(rule, path, subject)]
        return others if passport else [VERIFY, *others], passport.failures()


def agrees(rule: str, path: Path, subject: Subject) -> bool:
    """Ask one of the others' rules, on the sample that it looks at; what cannot be run is refused."""
    feeds = _example(subject) if rule in ON_EXAMPLE else _random(subject)
    try:
        session = onnxruntime.InferenceSession(path, _quiet(), providers=["CPUExecutionProvider"])
        names = [value.name for value in session.get_outputs()]
        found: Outputs = dict(zip(names, session.run(names, feeds), strict=True))
    except Exception:  # ONNX Runtime's exceptions have no common base
        return False
    return RULES[rule](subject.twin.rounded(feeds), found)


def run(bench: Bench, most: int, seeds: range, *, faulty: bool) -> tuple[Table, Table, Table]:
    """Try all faults, all faithful models and all equivalent mutants, on networks of the first seed."""
    first = seeds[0]
    faults, faithful, equivalent = Table(), Table(), Table()
    for mutation in catalogue.FAULTS if faulty else ():
        for name in mutation.on[:most]:
            _try(bench, faults, bench.subject(name, first), mutation, refuse=True)
    for name in IMAGES[:most] if faulty else ():
        subject = bench.subject(name, first)
        _try(bench, faults, subject, clamps.above_test_rows(subject), refuse=True)
    for mutation in catalogue.FAITHFUL:
        for seed in seeds if mutation.name == "unchanged" else seeds[:1]:
            for name in mutation.on[:most]:
                _try(bench, faithful, bench.subject(name, seed), mutation, refuse=False)
    for mutation in catalogue.EQUIVALENT:
        for name in mutation.on[:most]:
            _try(bench, equivalent, bench.subject(name, first), mutation, refuse=False)
    return faults, faithful, equivalent


def _try(bench: Bench, table: Table, subject: Subject, mutation: Mutation, *, refuse: bool) -> None:
    refused, failures = bench.judge(subject, mutation)
    table.add(mutation.name, refused)
    if (VERIFY in refused) is not refuse:
        why = "; ".join(f"{check.name} {check.value or 0:.3g}" for check in failures)
        found = "missed" if refuse else f"a false alarm ({why})"
        note = f"- {mutation.name} on {subject.name}, seed {subject.seed}: {found}"
        table.notes.append(note)
        _say(note)


def lines(table: Table) -> Iterator[str]:
    """Yield the table as Markdown, and its totals."""
    rules = [VERIFY, *RULES]
    yield f"| kind | models | {' | '.join(rules)} |"
    yield f"| --- | ---: |{' ---: |' * len(rules)}"
    for kind, tried in table.tried.items():
        yield f"| {kind.replace('_', ' ')} | {tried} | {' | '.join(str(table.refused[r][kind]) for r in rules)} |"
    total = sum(table.tried.values())
    shares = [f"**{table.refused[r].total()}** ({table.refused[r].total() / total:.1%})" for r in rules]
    yield f"| **{len(table.tried)} kinds** | **{total}** | {' | '.join(shares)} |"


def _example(subject: Subject) -> Feeds:
    return {spec.name: example(spec).numpy() for spec in subject.twin.input.tensors}


def _random(subject: Subject) -> Feeds:
    """Return one row of the test rows' shape, uniform over the input's range."""
    like, generator = next(subject.material.test(1)), np.random.default_rng(0)
    return {
        spec.name: generator.uniform(*spec.range, like[spec.name].shape).astype(spec.dtype)
        for spec in subject.twin.input.tensors
        if spec.range is not None
    }


def _quiet() -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    return options


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--most", type=int, default=99, help="networks that each kind of fault is tried on")
    parser.add_argument("--seeds", type=int, default=3, help="of the unchanged exports")
    parser.add_argument("--first-seed", type=int, default=0, help="of the networks; verify was tuned on seed 0")
    parser.add_argument("--faithful", action="store_true", help="only models that must pass")
    parser.add_argument("--budget", type=float, default=10.0, help="seconds that each hunt may take")
    options = parser.parse_args()
    torch.set_num_threads(1)
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        seeds = range(options.first_seed, options.first_seed + options.seeds)
        tables = run(Bench(Path(folder), options.budget), options.most, seeds, faulty=not options.faithful)
    for title, table in zip(("Faults", "Faithful models", "Equivalent mutants"), tables, strict=True):
        if not table.tried:
            continue
        print(f"\n## {title}: refused by\n")
        print("\n".join(lines(table)))
        print(*table.notes, sep="\n")
    print(f"\n{time.monotonic() - begun:.0f} s")


if __name__ == "__main__":
    main()

"""How often the node that was changed is the node that is named."""

from pathlib import Path

import pytest

from tests.mutants.architectures import mobilenet, resnet
from tests.stages.verify.blame.cases import Subject, mutants, rename_everything, subject


def test_the_changed_node_is_named_in_nine_of_ten_mutants(
    lenet: Subject, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three architectures, changed at random nodes; every other file without the names and notes of the exporter."""
    missed, total, longest = [], 0, 0.0
    for seed, network in enumerate((lenet, subject(resnet), subject(mobilenet))):
        for number, (what, model, name) in enumerate(mutants(network.model, seed)):
            if number % 2:
                rename_everything(model)
            found = network.blame(model, tmp_path)
            total += 1
            longest = max(longest, found.seconds)
            if (found.node, found.step, found.error) != (name, "the file on disk", "local"):
                missed.append(f"{what}: {found.sentence}")
    with capsys.disabled():
        print(f"\nblame: {total - len(missed)} of {total} single-node mutants named, {longest:.1f} s at most")
    assert total >= 35
    assert len(missed) <= 0.1 * total, "\n".join(missed)

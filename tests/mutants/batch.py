"""Faults that look at the batch: its size, its order, the neighbours."""

import numpy as np
from onnx import TensorProto

from tests.mutants.edit import add, after, attribute, insert, make, node, nodes, rewire, scores
from tests.mutants.mutation import CLASSIFIERS, Model, fault


@fault(*CLASSIFIERS)
def softmax_over_the_batch(model: Model) -> str:
    return attribute(node(model, "Softmax"), axis=0)


@fault(*CLASSIFIERS, found_by="")
def rows_look_at_their_neighbours(model: Model) -> None:
    """A thousandth of the batch's mean is added: nothing shows where every row is tried in the same company."""
    source = scores(model)
    axes = add(model, "over_rows", np.array([0], np.int64))
    made = [
        make("ReduceMean", [source, axes], "company"),
        make("Mul", ["company", add(model, "tiny", np.float32(1e-3))], "influence"),
        make("Add", [source, "influence"], "influenced"),
    ]
    _between(model, source, made)


@fault(*CLASSIFIERS, found_by="")
def branch_for_large_batches(model: Model) -> None:
    """`if x.shape[0] > 2:` decides otherwise for one and two rows."""
    _between(model, scores(model), _by_size(model, scores(model), "Less", 3))


@fault(*CLASSIFIERS, found_by="")
def wrong_for_a_single_row(model: Model) -> None:
    _between(model, scores(model), _by_size(model, scores(model), "Less", 2))


@fault(*CLASSIFIERS)
def first_row_for_all(model: Model) -> None:
    """Each row is answered as the first one is."""
    source = scores(model)
    zero, one = (add(model, name, np.array([number], np.int64)) for name, number in (("row_0", 0), ("row_1", 1)))
    made = [
        make("Shape", [source], "asked"),
        make("Slice", [source, zero, one, zero], "only_first"),
        make("Expand", ["only_first", "asked"], "repeated"),
    ]
    _between(model, source, made)


@fault(*CLASSIFIERS)
def rows_in_reverse(model: Model) -> str:
    names = (("r_last", -1), ("r_before", -(2**31)), ("r_axis", 0), ("r_step", -1))
    return after(model, scores(model), "Slice", *(add(model, name, np.array([n], np.int64)) for name, n in names))


@fault("lenet5", "alexnet", "resnet_small", "densenet", "mobilenet", "shufflenet", found_by="")
def batch_size_baked_into_a_reshape(model: Model) -> str:
    """Batches of 64 rows, the largest that is tried, still work."""
    flat = nodes(model, "Reshape")[-1]
    width = int(_constant(model, flat.input[1])[1])
    flat.input[1] = add(model, "baked", np.array([64, width], np.int64))
    return str(flat.name)


def _by_size(model: Model, source: str, comparison: str, than: int) -> list:
    return [
        make("Shape", [source], "rows", start=0, end=1),
        make(comparison, ["rows", add(model, "few", np.array([than], np.int64))], "is_few"),
        make("Cast", ["is_few"], "as_number", to=TensorProto.FLOAT),
        make("Mul", ["as_number", add(model, "shift", np.array([0.01, 0, 0, 0], np.float32))], "by_size"),
        make("Add", [source, "by_size"], "branched"),
    ]


def _between(model: Model, source: str, made: list) -> None:
    readers = [reader for reader in model.graph.node if source in reader.input]
    for reader in readers:
        rewire(reader, source, made[-1].output[0])
    insert(model, readers[0], *made)


def _constant(model: Model, name: str):
    from onnx import numpy_helper

    return numpy_helper.to_array(next(t for t in model.graph.initializer if t.name == name))

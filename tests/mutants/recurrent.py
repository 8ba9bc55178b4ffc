"""Faults of recurrent layers: gates, directions, states."""

import numpy as np

from tests.mutants.edit import add, attribute, become, change, insert, make, node, nodes
from tests.mutants.mutation import Model, fault


@fault("lstm")
def gates_in_torch_order(model: Model) -> str:
    """Torch keeps input, forget, cell, output; ONNX input, output, forget, cell."""
    rnn = node(model, "LSTM")

    def reordered(array: np.ndarray) -> np.ndarray:
        gates = np.split(array, array.shape[1] // 8, axis=1)
        order = [start + gate for start in range(0, len(gates), 4) for gate in (0, 2, 3, 1)]
        return np.concatenate([gates[gate] for gate in order], axis=1)

    for number in (1, 2, 3):
        change(model, rnn, number, reordered)
    return str(rnn.name)


@fault("lstm")
def directions_swapped(model: Model) -> str:
    rnn = node(model, "LSTM")
    for number in (1, 2, 3):
        change(model, rnn, number, lambda array: array[::-1])
    return str(rnn.name)


@fault("lstm")
def forget_gate_tied_to_the_input_gate(model: Model) -> str:
    return attribute(node(model, "LSTM"), input_forget=1)


@fault("gru")
def reset_gate_before_the_product(model: Model) -> str:
    """Keras's GRU of version 1 and ONNX's default; torch's is the other."""
    return attribute(node(model, "GRU"), linear_before_reset=0)


@fault("lstm", "gru")
def initial_state_left_over(model: Model) -> str:
    """The state of the export example is kept as a constant."""
    return change(model, node(model, "Expand"), 0, lambda state: state + 0.1)


@fault("gru", found_by="batch")
def state_not_reset_between_rows(model: Model) -> None:
    """Each row starts where the row before it ended."""
    rnn = node(model, "GRU")
    start = rnn.input[5]
    numbers = {"zero": 0, "one": 1, "minus_one": -1}
    zero, one, minus = (add(model, f"row_{name}", np.array([number], np.int64)) for name, number in numbers.items())
    again = make("GRU", list(rnn.input), "all_steps")
    again.output.append("ended")
    again.attribute.extend(rnn.attribute)
    insert(
        model,
        rnn,
        again,
        make("Slice", ["ended", zero, minus, one], "before"),
        make("Slice", [start, zero, one, one], "row_first"),
        make("Concat", ["row_first", "before"], "carried", axis=1),
    )
    rnn.input[5] = "carried"


@fault("lstm", "gru")
def cell_clipped(model: Model) -> str:
    return attribute(nodes(model, "LSTM", "GRU")[0], clip=0.3)


@fault("lstm", "gru", found_by="")
def time_length_baked_into_a_reshape(model: Model) -> str:
    rnn = nodes(model, "LSTM", "GRU")[0]
    back = nodes(model, "Reshape")[-1]
    width = {"LSTM": 16, "GRU": 12}[rnn.op_type]
    back.input[1] = add(model, "baked", np.array([24, -1, width], np.int64))
    return str(back.name)


@fault("gru", found_by="")
def read_one_step_early(model: Model) -> str:
    return change(model, node(model, "Gather"), 1, lambda _: -2)


@fault("lstm")
def sum_over_time_instead_of_mean(model: Model) -> str:
    return become(node(model, "ReduceMean"), "ReduceSum", keep=("keepdims", "noop_with_empty_axes"))

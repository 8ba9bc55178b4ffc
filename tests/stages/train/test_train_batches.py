import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from deploy.errors import InputError
from stages import discover, train
from stages.dataset import Split
from stages.errors import DataError, TrainingError
from stages.graph import build
from stages.recipe import TrainConfig, use
from stages.train.batches import Order, Resident, Streamed, derived_seed, load
from stages.train.evaluate import batch_rows, outputs

CPU = torch.device("cpu")


def test_an_epoch_s_order_is_a_function_of_seed_and_epoch():
    order = Order(TrainConfig(seed=3, batch_size=4), 10)
    assert order.steps == 3
    assert torch.equal(order.epoch(5), Order(TrainConfig(seed=3, batch_size=4), 10).epoch(5))
    assert sorted(order.epoch(5).tolist()) == list(range(10))
    others = [order.epoch(6), Order(TrainConfig(seed=4), 10).epoch(5)]
    assert not any(torch.equal(order.epoch(5), other) for other in others)


def test_the_rows_of_a_step_can_be_named_afterwards():
    order = Order(TrainConfig(batch_size=4), 10)
    assert order.named(5) == ", ".join(map(str, order.epoch(1)[8:].tolist()))
    assert Order(TrainConfig(batch_size=8, shuffle=False), 10).named(0) == "0, 1, 2, 3, 4, ..."


def test_seeds_differ_by_seed_purpose_and_number():
    seeds = {derived_seed(s, p, n) for s in range(3) for p in ("order", "augment") for n in range(50)}
    assert len(seeds) == 300
    assert all(0 <= seed < 2**63 for seed in seeds)


def sources(split, pre, recorder, **config):
    config = TrainConfig(batch_size=16, **config)
    heard = recorder()
    return load(split, pre, config, Order(config, len(split)), CPU, heard), heard.lines


@pytest.fixture
def pre(digits):
    return discover.call("inputs", use("image", height=12, width=12), digits.info)


def all_batches(batches, epoch=1, skip=0):
    return [(inputs.clone(), targets.clone()) for inputs, targets in batches.epoch(epoch, skip)]


def equal(first, second):
    assert len(first) == len(second) > 0
    for (a, b), (c, d) in zip(first, second, strict=True):
        assert a.dtype == c.dtype
        assert torch.equal(a, c)
        assert torch.equal(b, d)


@pytest.mark.parametrize("shuffle", [True, False])
def test_resident_batches_are_the_rows_of_the_order(digits, pre, recorder, shuffle):
    batches, lines = sources(digits.train, pre, recorder, shuffle=shuffle)
    assert isinstance(batches, Resident)
    assert lines == []
    rows = batches.order.epoch(1).numpy()
    inputs, targets = (torch.cat(parts).numpy() for parts in zip(*all_batches(batches), strict=True))
    assert np.array_equal(inputs, digits.train.inputs[rows])
    assert np.array_equal(targets, digits.train.targets[rows])
    equal(all_batches(batches, skip=7), all_batches(batches)[7:])


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("shuffle", [True, False])
def test_streamed_batches_equal_resized_ones_in_memory(ragged, pre, recorder, workers, shuffle):
    memory, said = sources(ragged.train, pre, recorder, workers=workers, shuffle=shuffle)
    streamed, also_said = sources(ragged.train, pre, recorder, workers=workers, shuffle=shuffle, memory_mb=0)
    assert isinstance(memory, Resident)
    assert isinstance(streamed, Streamed)
    assert said == ["resizing 150 training samples once, into memory"]
    assert also_said == ["streaming 150 training samples: more than train.memory_mb=0 holds"]
    equal(all_batches(memory), all_batches(streamed))
    equal(all_batches(streamed)[3:], all_batches(streamed, skip=3))
    assert memory.inputs.shape == (150, 12, 12, 1)


def test_samples_are_resized_as_the_graph_does(ragged, pre, recorder):
    batches, _ = sources(ragged.train, pre, recorder, shuffle=False)
    for row in (0, 1, 77, 149):
        exact = pre.resize(torch.from_numpy(ragged.train.inputs[row])[None])[0].permute(1, 2, 0)
        assert (batches.inputs[row].float() - exact).abs().max() <= 0.5


def test_streaming_pictures_of_the_network_s_size_changes_nothing(digits, recorder, fast, tmp_path):
    inputs = {"input": use("image", height=8, width=8)}
    model = {"model": use("resnet_small", width=4)}
    recipe = fast(inputs | model, epochs=1)
    memory = train.run(recipe, digits, tmp_path / "memory")
    streamed = train.run(fast(inputs | model, epochs=1, memory_mb=0, workers=1), digits, tmp_path / "streamed")
    assert memory.weights.read_bytes() == streamed.weights.read_bytes()


def test_read_only_arrays_are_taken(digits, pre, recorder):
    inputs = digits.train.inputs.copy()
    inputs.flags.writeable = False
    batches, _ = sources(Split(inputs, digits.train.targets), pre, recorder)
    equal(all_batches(batches), all_batches(sources(digits.train, pre, recorder)[0]))


def test_samples_of_several_shapes_need_an_input_that_resizes(ragged, recorder):
    with pytest.raises(TrainingError, match="several shapes and input Identity has no `resize`"):
        sources(ragged.train, nn.Identity(), recorder)


def test_other_samples_are_streamed_as_they_are(recorder):
    series = Split(np.arange(40, dtype=np.float32).reshape(20, 2), np.arange(20))
    batches, _ = sources(series, nn.Identity(), recorder, memory_mb=0, workers=0, shuffle=False)
    ((first, targets), (second, _)) = all_batches(batches)
    assert torch.equal(torch.cat([first, second]), torch.from_numpy(series.inputs))
    assert targets.tolist() == list(range(16))


class Vanishing:
    """Samples of two shapes, one of which cannot be had any more."""

    def __len__(self):
        return 4

    def __getitem__(self, row):
        if row == 2:
            raise InputError("c.png: cannot be read (gone)")
        return np.zeros((8, 8 + row % 2, 1), np.uint8)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_picture_that_vanishes_is_named_in_one_line(pre, recorder, workers):
    batches, _ = sources(Split(Vanishing(), np.arange(4)), pre, recorder, memory_mb=0, workers=workers)
    with pytest.raises(DataError, match=r"^c\.png: cannot be read \(gone\)$"):
        list(batches.epoch(0))


def test_a_worker_s_signals_are_its_parent_s_business():
    import signal

    from stages.train.batches import _leave_signals_to_the_parent

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        _leave_signals_to_the_parent(0)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@pytest.fixture
def graph(fast, digits):
    torch.manual_seed(0)
    return build(fast(), digits.info)


def test_ragged_evaluation_equals_one_by_one(graph, ragged):
    together = outputs(graph, ragged.test, CPU)
    with torch.no_grad():
        alone = [graph.eval()(torch.from_numpy(picture)[None]) for picture in ragged.test.inputs]
    assert np.allclose(together["probabilities"], np.concatenate([p.numpy() for p, _ in alone]), atol=1e-6)
    assert np.array_equal(together["class_index"], np.concatenate([c.numpy() for _, c in alone]))


def test_evaluation_of_one_shape_equals_ragged_evaluation(graph, digits):
    as_list = dataclasses.replace(digits.test, inputs=list(digits.test.inputs))
    uniform, ragged = outputs(graph, digits.test, CPU), outputs(graph, as_list, CPU)
    assert uniform.keys() == ragged.keys() == {"probabilities", "class_index"}
    for name in uniform:
        assert uniform[name].dtype == ragged[name].dtype
        assert np.allclose(uniform[name], ragged[name], atol=1e-6)


def test_evaluation_ticks_after_each_batch_and_keeps_the_mode(graph, digits, monkeypatch):
    monkeypatch.setattr("stages.train.evaluate._ROWS", 25)
    ticks = []
    graph.train()
    small = outputs(graph, digits.test, CPU, lambda: ticks.append(graph.training))
    assert ticks == [False] * 3
    assert graph.training
    monkeypatch.undo()
    assert np.allclose(small["probabilities"], outputs(graph, digits.test, CPU)["probabilities"], atol=1e-6)


def test_large_inputs_are_evaluated_in_small_batches(graph, digits):
    assert batch_rows(graph, digits.test) == 512
    graph.pre.preprocessed_shape = (3, 1000, 1000)
    assert batch_rows(graph, digits.test) == 2
    graph.pre.preprocessed_shape = (3, 5000, 5000)
    assert batch_rows(graph, digits.test) == 1


def test_of_free_sizes_the_samples_count(graph):
    graph.pre.preprocessed_shape = (3, "height", "width")
    pictures = np.zeros((3, 1000, 1000, 4), np.uint8)
    assert batch_rows(graph, Split(pictures, np.zeros(3, np.int64))) == 2


def test_ragged_pictures_train(fast, ragged, tmp_path, recorder):
    heard = recorder()
    outcome = train.run(fast(epochs=8), ragged, tmp_path / "train", heard)
    assert outcome.metrics["accuracy"] > 0.5
    assert heard.lines[1] == "resizing 150 training samples once, into memory"

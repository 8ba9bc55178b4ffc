"""Golden samples: rows and answers that every later load of the bundle must reproduce."""

from pathlib import Path

import numpy as np

from deploy.passport import Passport
from deploy.samples import Sample
from stages.dataset import Dataset
from stages.graph import Graph
from stages.verify.cases import edges
from stages.verify.session import open_model


def golden_samples(model: Path, graph: Graph, dataset: Dataset, passport: Passport, rows: int) -> list[Sample]:
    """Return `rows` test rows spread over the split, and the edge inputs, each with the file's own answers on the CPU.

    A batch in which rounding alone could turn a decision on another machine is left out.
    """
    answer = open_model(model, "cpu")
    name = graph.input.tensors[0].name
    tie_margin = 4 * passport.limit * max(passport.noise.values())
    test = dataset.test.inputs
    chosen = np.unique(np.linspace(0, len(test) - 1, rows).astype(int))
    real = [{name: np.asarray(test[i])[None]} for i in chosen]
    made = [feeds for _, feeds in edges(graph.input, real[0])]
    samples = [Sample(feeds, answer(feeds)) for feeds in real + made]
    return [sample for sample in samples if graph.task.decide(sample.outputs)[1].min() > tie_margin]

"""What walks of whole recipes share: rows to ask, and whether two answers to them are alike."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from starlette.testclient import TestClient

from deploy import Predictor
from deploy.server.dataplane import DataPlane
from deploy.server.protocol.messages import DATATYPES
from deploy.server.rest.app import create_app
from stages.dataset import Dataset
from stages.deployed import deployed
from stages.result import PackageResult
from stages.train.weights import load_graph
from stages.verify.material import Material
from stages.verify.places import held
from stages.verify.twin import Twin

Arrays = Mapping[str, np.ndarray]


class Trained:
    """The trained graph of a packaged run, and some test rows."""

    def __init__(self, packaged: PackageResult, data: Dataset, rows: int = 5) -> None:
        module = deployed(load_graph(packaged.verified.exported.trained))
        self.twin = Twin(module)
        self.noise = packaged.verified.passport.noise
        self.feeds = next(Material.deployed(module, data).test(rows))
        self.answers: Arrays = self.twin.rounded(self.feeds)

    def require_alike(self, found: Mapping[str, Any], expected: Arrays) -> None:
        """Real numbers within noise, and the same decisions wherever rounding alone does not decide."""
        assert list(found) == list(expected)
        known = {name: np.asarray(found[name]).astype(value.dtype) for name, value in expected.items()}
        assert {name: value.shape for name, value in known.items()} == {k: v.shape for k, v in expected.items()}
        matched = held(self.twin, known, dict(expected))
        differing = matched.expected != matched.decided
        assert not (differing & (matched.margins > 200 * max(self.noise.values()))).any()
        for name, value in expected.items():
            if value.dtype.kind == "f":
                np.testing.assert_allclose(
                    matched.aligned[name], value, rtol=0, atol=200 * self.noise[name], err_msg=name
                )


def first_rows(feeds: Arrays, rows: int) -> dict[str, np.ndarray]:
    return {name: array[:rows] for name, array in feeds.items()}


def served(packaged: PackageResult) -> Iterator[TestClient]:
    """A client of a server that has the bundle."""
    plane = DataPlane(workers=1)
    plane.add(Predictor.load(packaged.bundle, threads=1))
    with TestClient(create_app(plane)) as made:
        yield made


def inferred(client: TestClient, model: str, feeds: Arrays) -> dict[str, np.ndarray]:
    """The output tensors that a server answers with."""
    tensors = [
        {"name": name, "datatype": DATATYPES[str(array.dtype)], "shape": array.shape, "data": array.ravel().tolist()}
        for name, array in feeds.items()
    ]
    answer = client.post(f"/v2/models/{model}/infer", json={"inputs": tensors})
    assert answer.status_code == 200, answer.text
    return {output["name"]: np.reshape(output["data"], output["shape"]) for output in answer.json()["outputs"]}


def alone(predictor: Predictor, feeds: Arrays) -> dict[str, np.ndarray]:
    """The answers to rows that are asked one by one."""
    rows = len(next(iter(feeds.values())))
    each = [predictor.infer({name: array[i : i + 1] for name, array in feeds.items()}) for i in range(rows)]
    return {name: np.concatenate([one[name] for one in each]) for name in each[0]}

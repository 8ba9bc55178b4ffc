"""Parity on the CUDA provider, with TF32 off and on. Skipped where there is no GPU."""

from typing import Any

import numpy as np
import pytest
import torch

from deploy.providers import open_session
from stages.recipe import VerifyConfig
from stages.train.weights import load_graph
from stages.verify.certify import certify
from stages.verify.material import Material
from stages.verify.noise import Pool
from stages.verify.twin import Twin

pytestmark = pytest.mark.gpu


def test_both_providers_pass_with_tf32_off(colour_run: Any, colour_data: Any) -> None:
    exported = colour_run.exported
    twin, material = Twin(load_graph(exported.trained)), Material.of(colour_data, exported.input)
    verdict = certify(exported.model, twin, material, VerifyConfig(providers=("cpu", "cuda")))
    assert verdict.passport, verdict.passport.failures()
    assert verdict.passport.providers == ("cpu", "cuda")


def test_tf32_passes_by_the_yardstick_that_rounds_alike(colour_run: Any, colour_data: Any) -> None:
    exported = colour_run.exported
    twin, material = Twin(load_graph(exported.trained)), Material.of(colour_data, exported.input)
    verdict = certify(exported.model, twin, material, VerifyConfig(providers=("cuda",), precision="tf32", budget_s=0))
    assert verdict.passport, verdict.passport.failures()
    assert verdict.findings["cuda"]["yardstick"] == "torch rounded to TF32"


def test_with_tf32_on_the_noise_is_that_of_torch_with_tf32(colour_run: Any, colour_data: Any) -> None:
    """TF32 rounds far more than float32; against a torch twin that rounds alike, the ratio is within the same limit."""
    graph = load_graph(colour_run.exported.trained)
    twin = Twin(graph)
    session = open_session(colour_run.exported.model, "cuda", {"use_tf32": "1"})
    raw = colour_data.test.inputs
    found = session.run({"image": raw})["probabilities"]
    truth = twin.truth({"image": raw})["probabilities"]
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.allow_tf32 = True
    try:
        with torch.inference_mode():
            rounded = graph.cuda()(torch.from_numpy(raw).cuda())[0].cpu().numpy()
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]
    pool = Pool()
    pool.add(found, rounded, truth)
    assert pool.ratio() <= VerifyConfig().limit
    assert np.isfinite(found).all()

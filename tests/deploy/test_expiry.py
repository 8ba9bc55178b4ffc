"""On whose word a bundle is loaded: every change of place is settled, or refused with the command to run."""

import dataclasses
import json
import logging
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from deploy import Predictor, bundle, expiry
from deploy.bundle import Bundle
from deploy.errors import BundleError, UsageError
from deploy.expiry import changes
from deploy.passport import Check, Conditions, Machine, Recertification
from tests.deploy.conftest import certify

PLACE = Machine("Linux x86_64", "A CPU", "avx2", "A100", "570.86.15", "9.10.2", "1.31.1", "some build")
OPTIONS = Conditions("all", {"use_tf32": "0", "device_id": "0", "cudnn_conv_algo_search": "HEURISTIC"})


@pytest.mark.parametrize(
    ("provider", "different", "words"),
    [
        ("cpu", {}, []),
        ("cpu", {"onnxruntime": "1.31.2"}, [(False, "ONNX Runtime 1.31.1, here 1.31.2")]),
        ("cpu", {"onnxruntime": "1.32.0"}, [(True, "ONNX Runtime 1.31.1, here 1.32.0")]),
        ("cpu", {"onnxruntime": "2.31.1"}, [(True, "ONNX Runtime 1.31.1, here 2.31.1")]),
        ("cpu", {"build": "mine"}, [(False, "build of ONNX Runtime some build, here mine")]),
        ("cpu", {"cpu": "B CPU", "instructions": ""},
         [(False, "cpu A CPU, here B CPU"), (False, "instructions avx2, here unknown")]),
        ("cpu", {"gpu": "H100", "driver": "1", "cudnn": "8.0.0"}, []),
        ("cuda", {"cpu": "B CPU", "system": "Windows AMD64"}, []),
        ("cuda", {"gpu": "H100"}, [(True, "GPU A100, here H100")]),
        ("cuda", {"gpu": ""}, [(True, "GPU A100, here unknown")]),
        ("cuda", {"driver": "570.124.6"}, [(False, "driver 570.86.15, here 570.124.6")]),
        ("cuda", {"driver": "580.1"}, [(True, "driver 570.86.15, here 580.1")]),
        ("cuda", {"cudnn": "9.10.3"}, [(False, "cuDNN 9.10.2, here 9.10.3")]),
        ("cuda", {"cudnn": "9.11.0"}, [(True, "cuDNN 9.10.2, here 9.11.0")]),
    ],
    ids=str,
)  # fmt: skip
def test_changes_of_machine(provider: str, different: dict[str, str], words: list[tuple[bool, str]]) -> None:
    found = changes(provider, PLACE, OPTIONS, dataclasses.replace(PLACE, **different), OPTIONS)
    assert [(change.grave, change.words) for change in found] == words


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"device_id": "1", "gpu_mem_limit": "5"}, []),
        ({"use_tf32": "1"}, ["use_tf32 0, here 1"]),
        ({"prefer_nhwc": "1"}, ["prefer_nhwc unknown, here 1"]),
    ],
)
def test_changes_of_options_are_for_the_replay(options: dict[str, str], words: list[str]) -> None:
    found = changes("cuda", PLACE, OPTIONS, PLACE, Conditions("all", OPTIONS.provider_options | options))
    assert [change.words for change in found] == words
    assert not any(change.grave for change in found)
    assert [c.words for c in changes("cpu", PLACE, OPTIONS, PLACE, Conditions("basic", OPTIONS.provider_options))] == [
        "optimization all, here basic"
    ]


def test_of_an_older_passport_nothing_is_known() -> None:
    assert changes("cpu", Machine(), Conditions(), PLACE, OPTIONS) == ()


def test_where_it_was_certified_it_loads_without_more(certified: Path) -> None:
    with Predictor.load(certified) as predictor:
        assert [check.name for check in predictor.info.replayed][2:] == [
            "probabilities against float64",
            "class_index against float64",
        ]
    assert Predictor.load(certified, replay=False).info.replayed == ()


@pytest.mark.parametrize("changed", [{"cpu": "Another CPU"}, {"onnxruntime": "patched"}])
def test_another_cpu_or_patch_is_settled_by_the_replay(
    colours: Path, tmp_path: Path, here: Machine, changed: dict[str, str]
) -> None:
    if "onnxruntime" in changed:
        changed = {"onnxruntime": ".".join([*here.onnxruntime.split(".")[:2], "99"])}
    elsewhere = dataclasses.replace(here, **changed)
    folder = certify(tmp_path / "good", colours, elsewhere)
    assert all(Predictor.load(folder).info.replayed)
    with pytest.raises(UsageError, match=r"replay=False: the bundle was certified elsewhere \(.* leave the replay on"):
        Predictor.load(folder, replay=False)
    assert Predictor.load(folder, replay=False, unverified=True)
    off = certify(tmp_path / "off", colours, elsewhere, error=3e-7)  # the limit is 8 times 3e-8
    with pytest.raises(BundleError, match="'probabilities against float64' is 3e-07"):
        Predictor.load(off)


def test_another_runtime_asks_for_recertification(
    colours: Path, tmp_path: Path, here: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    folder = certify(tmp_path / "old", colours, dataclasses.replace(here, onnxruntime="1.2.3"))
    with pytest.raises(BundleError) as caught:
        Predictor.load(folder)
    assert str(caught.value) == (
        f"{folder} (fp32): certified for another place (ONNX Runtime 1.2.3, here {here.onnxruntime}); recertify it on "
        f"this machine: pipeline verify {folder} --provider cpu (python -m deploy.recertify {folder} --provider cpu)"
    )
    with caplog.at_level(logging.WARNING):
        Predictor.load(folder, unverified=True)
    assert "certified for another place" in caplog.text


def on_cuda(machine: Machine = PLACE) -> Any:
    """What `require` looks at, of a session on a GPU that is not there."""
    raw = SimpleNamespace(
        get_session_options=lambda: SimpleNamespace(graph_optimization_level=SimpleNamespace(name="ORT_ENABLE_ALL")),
        get_provider_options=lambda: {"CUDAExecutionProvider": dict(OPTIONS.provider_options)},
    )
    return SimpleNamespace(provider="cuda", options={"device_id": "0"}, raw=raw, machine=machine)


@pytest.fixture
def source(certified: Path, monkeypatch: pytest.MonkeyPatch) -> Bundle:
    monkeypatch.setattr(expiry, "session_machine", lambda session: session.machine)
    return bundle.load(certified)


def record(source: Bundle, machine: Machine = PLACE, *, passed: bool = True, **fields: Any) -> Recertification:
    passport = source.variant("fp32").passport
    checks = (Check("probabilities against float64", passed, 1.0, 2.0),)
    made = Recertification(source.digest, passport.model_sha256, "fp32", "cuda", machine, OPTIONS, checks, 6, "now")
    return dataclasses.replace(made, **fields)


def test_a_provider_that_was_never_certified_is_refused_until_it_is(source: Bundle) -> None:
    with pytest.raises(BundleError, match=r"certified on cpu, not on cuda; .*: pipeline verify .* --provider cuda"):
        expiry.require(source, "fp32", on_cuda())
    path = expiry.save(source, record(source))
    assert path.parent == source.folder.with_name("certified.recertified")
    assert path.name.startswith("fp32-cuda-")
    assert expiry.require(source, "fp32", on_cuda()) == ()
    bundle.load(source.folder)


def test_a_foreign_machines_recertification_is_refused_with_what_is_different(source: Bundle) -> None:
    expiry.save(source, record(source, dataclasses.replace(PLACE, gpu="H100")))
    with pytest.raises(BundleError, match=r"recertified beside it is another machine's \(GPU H100, here A100\)"):
        expiry.require(source, "fp32", on_cuda())
    expiry.save(source, record(source))  # both lie there, and each machine finds its own
    assert expiry.require(source, "fp32", on_cuda()) == ()
    assert expiry.require(source, "fp32", on_cuda(dataclasses.replace(PLACE, gpu="H100"))) == ()
    assert len(list(source.folder.with_name("certified.recertified").iterdir())) == 2


def test_a_failed_one_refuses_here_and_only_here(source: Bundle) -> None:
    expiry.save(source, record(source, passed=False))
    with pytest.raises(BundleError, match=r"failed on this machine \(probabilities against float64\); serve it else"):
        expiry.require(source, "fp32", on_cuda())
    with pytest.raises(BundleError, match="not on cuda; recertify it on this machine"):
        expiry.require(source, "fp32", on_cuda(dataclasses.replace(PLACE, gpu="H100")))
    expiry.save(source, record(source))  # the same place: the later finding counts
    assert expiry.require(source, "fp32", on_cuda()) == ()


@pytest.mark.parametrize("fields", [{"bundle_sha256": "0" * 64}, {"variant": "int8"}, {"provider": "cpu"}], ids=str)
def test_one_for_something_else_does_not_count(source: Bundle, fields: dict[str, str]) -> None:
    path = expiry.save(source, record(source, **fields))
    path.rename(path.with_name("fp32-cuda-0.json"))
    with pytest.raises(BundleError, match="not on cuda; recertify"):
        expiry.require(source, "fp32", on_cuda())


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"schema": 2}', "\udcff"])
def test_a_damaged_one_is_as_none(source: Bundle, text: str) -> None:
    path = expiry.save(source, record(source))
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(BundleError, match="not on cuda; recertify"):
        expiry.require(source, "fp32", on_cuda())


def test_repackaging_voids_it(source: Bundle, colours: Path, here: Machine) -> None:
    expiry.save(source, record(source))
    shutil.rmtree(source.folder)
    again = bundle.load(certify(source.folder, colours, dataclasses.replace(here, system="x")))
    with pytest.raises(BundleError, match="not on cuda; recertify"):
        expiry.require(again, "fp32", on_cuda())


def test_what_is_written_says_all(source: Bundle) -> None:
    plain = json.loads(expiry.save(source, record(source)).read_text())
    assert plain["bundle_sha256"] == source.digest
    assert plain["machine"]["gpu"] == "A100"
    assert plain["conditions"]["provider_options"]["use_tf32"] == "0"


def test_a_place_that_cannot_be_written_is_named(source: Bundle) -> None:
    source.folder.with_name("certified.recertified").write_text("in the way")
    with pytest.raises(BundleError, match=r"cannot be written .* copy the bundle"):
        expiry.save(source, record(source))

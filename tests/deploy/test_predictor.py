import asyncio
import multiprocessing
import re
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from deploy import Predictor, bundle, files, samples
from deploy import predictor as module
from deploy.errors import BundleError, DeadlineError, InputError, NotFoundError, OnnxwayError, ProviderError, UsageError
from deploy.providers import open_session
from deploy.warmup import Serving
from tests.deploy.conftest import plain, png
from tests.deploy.test_bundle import failing, reseal

COLOURS = {"red": (250, 10, 20), "green": (10, 250, 20), "blue": (10, 20, 250)}


def test_all_payloads_of_a_picture_get_the_same_answer(predictor: Predictor, blue_png: bytes, tmp_path: Path) -> None:
    (tmp_path / "blue.png").write_bytes(blue_png)
    payloads = [blue_png, tmp_path / "blue.png", str(tmp_path / "blue.png"), plain((0, 0, 255))]
    payloads.append(Image.fromarray(plain((0, 0, 255))))
    for payload in payloads:
        result = predictor.predict(payload)
        assert result.label == "blue"
        assert np.array_equal(result.probabilities, predictor.predict(blue_png).probabilities)


@pytest.mark.parametrize("label", COLOURS)
def test_it_decides(predictor: Predictor, label: str) -> None:
    result = predictor.predict(plain(COLOURS[label], 100, 3))
    assert result.label == label
    assert result.probability > 0.9


def test_a_batch_gives_a_list(predictor: Predictor) -> None:
    batch = np.stack([plain(colour) for colour in COLOURS.values()])
    assert [result.label for result in predictor.predict(batch)] == list(COLOURS)
    assert [result.label for result in predictor.predict(batch[:1])] == ["red"]


def test_many_of_all_sizes_keep_their_order(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    labels = generator.choice(list(COLOURS), 150)
    pictures = [
        plain(COLOURS[label], int(h), 8) for label, h in zip(labels, generator.integers(4, 8, 150), strict=True)
    ]
    sizes: list[int] = []
    run = predictor.infer
    monkeypatch.setattr(predictor, "infer", lambda arrays: (sizes.append(len(arrays["image"])), run(arrays))[1])
    found = predictor.predict_many(iter(pictures))
    assert [result.label for result in found] == list(labels)
    assert max(sizes) == module.MAX_ROWS
    assert sum(sizes) == 150
    monkeypatch.setattr(module, "MAX_BYTES", 2 * 7 * 8 * 3)
    sizes.clear()
    assert [result.label for result in predictor.predict_many(pictures)] == list(labels)
    assert max(sizes) <= 3


def test_many_of_none_is_none(predictor: Predictor) -> None:
    assert predictor.predict_many([]) == []


def test_a_bad_payload_among_many_is_named_by_its_number(predictor: Predictor, blue_png: bytes) -> None:
    with pytest.raises(InputError, match="payload 1: image of 3 bytes: not a picture"):
        predictor.predict_many([blue_png, b"bad"])
    with pytest.raises(InputError, match="payload 0: is a batch"):
        predictor.predict_many([np.zeros((2, 3, 3, 3), np.uint8)])
    with pytest.raises(InputError, match="dtype float32"):
        predictor.predict(np.zeros((2, 3, 3, 3), np.float32))


def test_infer_checks_and_returns_tensors(predictor: Predictor) -> None:
    outputs = predictor.infer({"image": plain((255, 0, 0))[None]})
    assert outputs["class_index"].tolist() == [0]
    assert outputs["probabilities"].shape == (1, 3)
    with pytest.raises(InputError, match="input 'image': missing"):
        predictor.infer({})


def test_info_says_what_is_served(predictor: Predictor, colours: Path) -> None:
    info = predictor.info
    assert (info.name, info.version, info.variant, info.provider) == ("colours", "1", "fp32", "cpu")
    assert info.digest == files.sha256_file(colours / "manifest.json")
    assert info.labels == ("red", "green", "blue")
    assert set(info.nodes) == {"CPUExecutionProvider"}
    assert info.threads == 1
    assert info.passport
    assert [check.name for check in info.replayed] == ["probabilities", "class_index"]


def test_after_close_there_is_a_clear_error(colours: Path) -> None:
    with Predictor.load(colours) as loaded:
        loaded.predict(plain((0, 0, 0)))
    with pytest.raises(OnnxwayError, match="predictor 'colours' is closed; load it again"):
        loaded.predict(plain((0, 0, 0)))
    loaded.close()


def test_threads_share_it(predictor: Predictor) -> None:
    start = threading.Barrier(4)

    def work(label: str) -> set[str]:
        start.wait()
        return {predictor.predict(plain(COLOURS[label], 16, 16)).label for _ in range(50)}

    labels = ["red", "green", "blue", "red"]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, labels)) == [{label} for label in labels]


def _ask(predictor: Predictor, queue: Any) -> None:
    try:
        queue.put(predictor.predict(plain((255, 0, 0))).label)
    except OnnxwayError as error:
        queue.put(str(error))


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_after_a_fork_there_is_an_error_and_no_hang(predictor: Predictor) -> None:
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    process = context.Process(target=_ask, args=(predictor, queue))
    process.start()
    process.join(30)
    alive = process.is_alive()
    process.kill()
    assert not alive
    assert "loaded before this process was forked; load it in each process" in queue.get()


@pytest.mark.parametrize("inside", ["", "package/bundle", "bundle"])
def test_a_run_folder_will_do(colours: Path, tmp_path: Path, inside: str) -> None:
    shutil.copytree(colours, tmp_path / "run" / inside)
    assert Predictor.load(tmp_path / "run").info.name == "colours"


@pytest.mark.parametrize("reference", ["models:/digits@champion", "runs:/abc"])
def test_a_registry_reference_says_what_to_use(reference: str) -> None:
    with pytest.raises(UsageError, match="deploy reads folders only; use pipeline serve or pipeline predict"):
        Predictor.load(reference)


def test_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no bundle there"):
        Predictor.load(tmp_path)


def test_a_flipped_byte_is_refused(copied: Path) -> None:
    data = bytearray((copied / "model.onnx").read_bytes())
    data[-1] ^= 1
    (copied / "model.onnx").write_bytes(data)
    with pytest.raises(BundleError, match=r"model\.onnx: SHA-256 is"):
        Predictor.load(copied)


def test_a_model_that_changes_after_the_check_is_refused(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checked = bundle.load(copied)
    (copied / "model.onnx").write_bytes((copied / "net.onnx").read_bytes())
    monkeypatch.setattr(bundle, "load", lambda *_, **__: checked)
    with pytest.raises(BundleError, match="changed while it was loaded"):
        Predictor.load(copied)


def repack(folder: Path, manifest: bundle.Manifest, source: Path, **content: bytes) -> None:
    """Write a bundle with some files replaced, everything sealed anew."""
    with bundle.writing(folder, manifest) as temporary:
        for name in manifest.files:
            (temporary / name).write_bytes(content.get(name.replace(".", "_")) or (source / name).read_bytes())


def test_samples_that_this_machine_does_not_reproduce_are_refused(colours: Path, tmp_path: Path) -> None:
    golden = list(samples.load(colours / "samples.npz"))
    golden[0].outputs["probabilities"][0, 0] += 1e-4
    samples.save(tmp_path / "off.npz", golden)
    repack(tmp_path / "b", bundle.load(colours).manifest, colours, samples_npz=(tmp_path / "off.npz").read_bytes())
    with pytest.raises(BundleError, match=r"golden samples: output 'probabilities' is .* from what is stored"):
        Predictor.load(tmp_path / "b")
    assert Predictor.load(tmp_path / "b", replay=False).info.replayed == ()


def test_a_provider_that_the_passport_lacks_needs_the_replay(colours: Path) -> None:
    with pytest.raises(UsageError, match="replay=False: the passport covers cpu, not cuda"):
        Predictor.load(colours, "cuda", replay=False)


def test_an_unverified_model_needs_a_flag_and_is_loud(copied: Path, caplog: pytest.LogCaptureFixture) -> None:
    plain_manifest = bundle.to_plain(failing(bundle.load(copied).manifest))
    reseal(copied, {"variants": plain_manifest["variants"]})
    with pytest.raises(BundleError, match="did not pass verification"):
        Predictor.load(copied)
    assert not caplog.records
    assert Predictor.load(copied, unverified=True).predict(plain((0, 0, 255))).label == "blue"
    assert "its answers are not verified" in caplog.text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"dtype": "float32"}, r"input 'image' is float32 .* in the manifest and uint8"),
        ({"shape": ["batch", "height", "width", 1]}, r"input 'image' is uint8 .* in the model"),
        ({"shape": ["batch", 8, 8, 3]}, r"input 'image' is uint8"),
        ({"name": "picture"}, "input 'picture' .* and nothing in the model"),
    ],
)
def test_a_manifest_that_does_not_fit_the_graph_is_refused(copied: Path, change: dict[str, Any], words: str) -> None:
    signature = bundle.to_plain(bundle.load(copied).manifest.input)
    signature["tensors"][0] |= change
    reseal(copied, {"input": signature})
    with pytest.raises(BundleError, match=words):
        Predictor.load(copied)


def test_an_output_that_the_manifest_lacks_is_refused(copied: Path) -> None:
    signature = bundle.to_plain(bundle.load(copied).manifest.output)
    reseal(copied, {"output": signature | {"tensors": signature["tensors"][:1]}})
    with pytest.raises(BundleError, match="outputs that the manifest lacks: class_index"):
        Predictor.load(copied)


def test_an_unknown_variant_is_a_usage_error(colours: Path) -> None:
    with pytest.raises(UsageError, match="variant 'int8'"):
        Predictor.load(colours, variant="int8")


def test_the_cut_graph_gives_the_answers_of_the_whole(colours: Path) -> None:
    batch = np.random.default_rng(0).integers(0, 256, (4, 20, 11, 3), np.uint8)
    whole = open_session(colours / "model.onnx").run({"image": batch})
    half = open_session(colours / "pre.onnx").run({"image": batch})
    both = open_session(colours / "net.onnx").run(half)
    for name, values in whole.items():
        assert np.allclose(values, both[name], atol=1e-6)


def test_cuda_is_used_or_refused(colours: Path) -> None:
    """Wherever this runs: a strict request is kept, or it is an error with a remedy."""
    with pytest.raises((ProviderError, BundleError)) as caught:  # never the CPU, and no CUDA without a certification
        Predictor.load(colours, "cuda")
    assert re.search(r"onnxway\[cuda\]|driver|device|pipeline verify .* --provider cuda", str(caught.value))


def test_png_helper_makes_what_it_says(predictor: Predictor) -> None:
    assert predictor.predict(png((255, 0, 0), (3, 3))).label == "red"


def test_many_callers_share_batches(colours: Path) -> None:
    with Predictor.load(colours) as loaded:
        loaded.warm_up()
        pictures = [(label, plain(COLOURS[label], 4 + n % 5, 8)) for n, label in enumerate(list(COLOURS) * 20)]
        futures = [(label, loaded.submit(picture, deadline=60)) for label, picture in pictures]
        assert all(future.result(10).label == label for label, future in futures)
        batch = np.stack([plain(colour) for colour in COLOURS.values()])
        assert [result.label for result in loaded.submit(batch).result(10)] == list(COLOURS)
        with pytest.raises(InputError, match="dtype float32"):
            loaded.submit(np.zeros((2, 3, 3, 3), np.float32))
        with pytest.raises(DeadlineError, match="allow more time"):
            loaded.submit(pictures[0][1], deadline=-1)
        waiting = loaded.submit(pictures[0][1])
    assert waiting.result(0).label == "red"  # close finishes what was asked
    with pytest.raises(OnnxwayError, match="closed"):
        loaded.submit(pictures[0][1])


def test_an_event_loop_asks_the_batcher(colours: Path) -> None:
    with Predictor.load(colours) as loaded:

        async def main() -> list[int]:
            asked = [loaded.batcher.run({"image": plain(colour)[None]}) for colour in COLOURS.values()]
            return [int(answer["class_index"][0]) for answer in await asyncio.gather(*asked)]

        assert asyncio.run(main()) == [0, 1, 2]


def test_it_warms_up_once(colours: Path) -> None:
    with Predictor.load(colours) as loaded:
        assert loaded.warm_up() is loaded.warm_up() is loaded.batcher
        with pytest.raises(UsageError, match="warm already"):
            loaded.warm_up(Serving())

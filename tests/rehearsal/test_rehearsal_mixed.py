"""Pictures of several sizes in one batch, with the real provider over stand-ins: which calls, in which order."""

from pathlib import Path

import pytest

from tests.deploy.conftest import COLOURS
from tests.rehearsal.plugin import Rehearsal, onnx_file
from tests.rehearsal.test_rehearsal_graphs import PARTS, phases

NETWORK = """g (float[n, 3, 8, 8] preprocessed) => (float[n, 192] y, int64[n] k) {
    a = Flatten<axis = 1>(preprocessed)
    y = Sin(a)
    k = ArgMax<axis = 1, keepdims = 0>(y)
}"""

SCRIPT = (
    PARTS.split("session = ")[0]
    + """
files, options = {"pre": sys.argv[1], "net": sys.argv[2]}, json.loads(sys.argv[3])
opened = []

def reopen(file, threads, *, graphs=True):
    its = {key: value for key, value in options.items() if graphs or key != cuda.GRAPHS}
    session = providers.open_session(files[file], "cuda", its)
    opened.append([file, cuda.captures(session.options)])
    return session

def pictures(rows, height, width):
    return {"image": np.zeros((rows, height, width, 3), np.uint8)}

warmup._REPEATS, warmup._MEASURE_S = 1, 0.0
whole = reopen("pre", 1)  # what the model takes is all that is asked of it
opened.clear()
passport = SimpleNamespace(noise={"y": 1e-6}, limit=4.0)
golden = [Sample(pictures(1, 5, 4)), Sample(pictures(2, 6, 4))]
parts = Parts(whole, True, reopen, "model", Cut("preprocessed", "pre", "net"), golden, passport)
say("warm-up")
run, _, batcher = warmup.warm_up(parts, Serving(sizes=(1, 4)))
runner = batcher._runner
for turn in ("first", "second"):  # memory is taken the first time
    say(f"{turn} mixed")
    answers = runner([pictures(1, 7, 9), pictures(2, 5, 4)])
    say(f"{turn} one size")
    answers += runner([pictures(1, 5, 4), pictures(1, 5, 4)])
    say(f"{turn} at once")
    answers.append(run(pictures(1, 20, 11)))
say("closing")
batcher.close()
print(json.dumps([opened, [len(answer["y"]) for answer in answers]]))
"""
)

UP, WITHIN, DOWN = "Memcpy {} kind 1", "Memcpy {} kind 3", "Memcpy {} kind 2"
ROW = 3 * 8 * 8 * 4


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return onnx_file(tmp_path_factory.mktemp("network"), NETWORK)


def down(rows: int) -> list[str]:
    return [DOWN.format(rows * 192 * 4), DOWN.format(rows * 8)]


def written(nbytes: int, rows: int) -> list[str]:
    return [UP.format(nbytes), WITHIN.format(rows * ROW)]


@pytest.mark.parametrize("graphs", [False, True], ids=["eager", "graphs"])
def test_rehearsal_pictures_of_all_sizes_share_a_batch(
    cuda_rehearsal: Rehearsal, network: Path, *, graphs: bool
) -> None:
    """A job goes up once, and what is made of it stays there: no tensor comes down before the answers."""
    options = '{"enable_cuda_graph": true}' if graphs else "{}"
    (opened, rows), lines = cuda_rehearsal.script(SCRIPT, COLOURS / "pre.onnx", network, options)
    assert opened == [["pre", False], ["net", graphs]]
    assert rows == [1, 2, 1, 1, 1]
    calls = phases(lines)
    assert calls["warm-up"].count("BeginCapture mode 0") == 2 * graphs
    for phase, copies in (
        ("second mixed", [*written(7 * 9 * 3, 1), *written(2 * 5 * 4 * 3, 2), *down(4)]),
        ("second one size", [*written(2 * 5 * 4 * 3, 2), *down(4)]),
        ("second at once", [*written(20 * 11 * 3, 1), *down(1)]),
    ):
        assert [call for call in calls[phase] if call.startswith("Memcpy")] == copies
        assert not any("Malloc" in call or "Capture" in call for call in calls[phase])
        assert calls[phase].count("GraphLaunch") == graphs
        last = len(calls[phase]) - calls[phase][::-1].index(copies[-3])  # the last rows are in place
        launched = "GraphLaunch" if graphs else "kernel"
        assert launched in calls[phase][last:]
        assert ("kernel" in calls[phase][last:]) is not graphs


def test_rehearsal_a_picture_is_written_once_it_is_made(cuda_rehearsal: Rehearsal, network: Path) -> None:
    """The copy up is done before the kernels run, and they are done before their rows are copied to their place."""
    _, lines = cuda_rehearsal.script(SCRIPT, COLOURS / "pre.onnx", network, "{}")
    calls = phases(lines)["second at once"]
    up, within = calls.index(UP.format(20 * 11 * 3)), calls.index(WITHIN.format(ROW))
    kernels = [at for at, call in enumerate(calls) if call == "kernel" and at < within]
    assert calls[up + 1] == "StreamSynchronize"
    assert up + 1 < kernels[0]
    assert "StreamSynchronize" in calls[kernels[-1] : within]
    assert calls[within + 1] == "StreamSynchronize"

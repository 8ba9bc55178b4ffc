"""Of the processes that torchrun starts, the first one walks, writes and logs; the others only train along."""

import mlflow
import pytest

from pipeline import __main__ as program
from stages import train


@pytest.fixture
def second(monkeypatch):
    """This process is the second of two."""
    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "MASTER_ADDR": "localhost"}.items():
        monkeypatch.setenv(name, value)


def test_the_second_process_trains_and_leaves_no_trace(invoke, workplace, second, monkeypatch):
    seen = []
    monkeypatch.setattr(
        train, "run", lambda recipe, data, out, observer: seen.append((recipe.name, len(data.train), out))
    )
    done = invoke("run", "lenet_digits")
    assert done.exit_code == 0, done.stderr
    (name, rows, out), *more = seen
    assert not more
    assert (name, rows, out.name) == ("lenet_digits", 1258, "train")
    assert not (workplace / "runs").exists()
    assert mlflow.search_runs(search_all_experiments=True).empty


def test_a_training_that_is_kept_needs_no_second_process(invoke, fakes, untracked, request, monkeypatch):
    assert invoke("train", "lenet_digits").exit_code == 0
    assert fakes.take() == ["train"]
    request.getfixturevalue("second")
    assert invoke("train", "lenet_digits").exit_code == 0
    assert fakes.take() == []
    assert invoke("train", "lenet_digits", "--force").exit_code == 0
    assert fakes.take() == ["train"]


@pytest.mark.usefixtures("second")
def test_only_the_first_process_answers(capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["pipeline", "list", "recipes"])
    with pytest.raises(SystemExit) as ended:
        program.main()
    assert ended.value.code == 0
    assert capsys.readouterr().out == ""

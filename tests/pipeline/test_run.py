"""The walk: what is made, what is kept, what happens when something stops it."""

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline import folder as folders
from pipeline import run as walk
from pipeline.folder import BusyError, RunFolder
from stages import discover
from stages.recipe import replace
from tests.pipeline.conftest import Fakes, Invoke

pytestmark = pytest.mark.usefixtures("untracked")

ALL = ["train", "export", "verify", "package"]


def only_run(workplace: Path) -> Path:
    (found,) = folders.all_runs(workplace / "runs")
    return found


def test_run_makes_every_stage_and_prints_the_folder(invoke: Invoke, fakes: Fakes, workplace: Path) -> None:
    done = invoke("run", "lenet_digits")
    assert done.exit_code == 0, done.stderr
    assert fakes.take() == ALL
    assert done.stdout == f"{only_run(workplace).relative_to(workplace)}\n"
    assert "  train    accuracy 0.9889\n" in done.stderr
    assert "  verify   passed: noise ratio 1.00 of 8, 0 flips in 1000 rows\n" in done.stderr
    assert (only_run(workplace) / "report.html").is_file()


def test_the_folder_is_named_by_recipe_and_train_key(invoke: Invoke, fakes: Fakes, workplace: Path) -> None:
    invoke("train", "lenet_digits")
    name = only_run(workplace).name
    inputs = json.loads((only_run(workplace) / "train" / "inputs.json").read_text())
    assert name == f"lenet_digits-{inputs['key'][:8]}"
    assert set(inputs) == {"stage", "config", "data", "code", "key", "files"}


def test_nothing_is_made_twice(invoke: Invoke, fakes: Fakes) -> None:
    invoke("run")
    fakes.take()
    done = invoke("run")
    assert fakes.take() == []
    assert done.stderr == (
        "  train    unchanged, kept: accuracy 0.9889\n"
        f"  export   unchanged, kept: {kept_digest()} (SHA-256)\n"
        "  verify   unchanged, kept: passed: noise ratio 1.00 of 8, 0 flips in 1000 rows\n"
        f"  package  unchanged, kept: {kept_digest('package')} (SHA-256)\n"
        f"  report   {folders.latest(Path('runs'))}/report.html\n"
    )


def kept_digest(stage: str = "export") -> str:
    return RunFolder(folders.latest(Path("runs"))).result(stage).digest[:12]


@pytest.mark.parametrize(
    ("setting", "made"),
    [
        ("train.epochs=2", ALL),
        ("model=lenet_numpy", ALL),
        ("data.seed=1", ALL),
        ("export.opset=21", ["export", "verify", "package"]),
        ("verify.rows=500", ["verify", "package"]),
        ("package.version=2", ["package"]),
        ("train.checkpoint_s=1", []),
        ("train.workers=0", []),
    ],
)
def test_what_changed_and_what_comes_after_is_made_again(
    invoke: Invoke, fakes: Fakes, setting: str, made: list[str]
) -> None:
    invoke("run")
    fakes.take()
    assert invoke("run", "--set", setting).exit_code == 0
    assert fakes.take() == made


def test_code_changes_make_a_stage_again(invoke: Invoke, fakes: Fakes, monkeypatch: pytest.MonkeyPatch) -> None:
    invoke("run")
    fakes.take()
    before = walk.code_version
    monkeypatch.setattr(walk, "code_version", lambda stage: "new" if stage == "verify" else before(stage))
    invoke("run")
    assert fakes.take() == ["verify", "package"]


def test_force_starts_over_in_an_empty_folder(invoke: Invoke, fakes: Fakes, workplace: Path) -> None:
    invoke("run")
    fakes.take()
    (only_run(workplace) / "train" / "checkpoint").mkdir()
    assert invoke("run", "--force").exit_code == 0
    assert fakes.take() == ALL
    assert not (only_run(workplace) / "train" / "checkpoint").exists()


@pytest.mark.parametrize("damage", ["weights.safetensors", "result.json", "inputs.json"])
def test_a_damaged_stage_is_made_again(invoke: Invoke, fakes: Fakes, workplace: Path, damage: str) -> None:
    invoke("run")
    fakes.take()
    (only_run(workplace) / "train" / damage).write_bytes(b"{}")
    assert invoke("run").exit_code == 0
    assert fakes.take()[0] == "train"


def test_a_lost_artefact_is_made_again(invoke: Invoke, fakes: Fakes, workplace: Path) -> None:
    invoke("run")
    fakes.take()
    (only_run(workplace) / "export" / "model.onnx").unlink()
    invoke("run")
    assert fakes.take()[0] == "export"


@pytest.mark.parametrize("stage", ALL)
def test_ctrl_c_keeps_what_is_done_and_the_same_command_continues(
    invoke: Invoke, fakes: Fakes, workplace: Path, stage: str
) -> None:
    def stop(out: Path) -> None:
        raise KeyboardInterrupt

    fakes.before[stage] = stop
    done = invoke("run")
    run = only_run(workplace).relative_to(workplace)
    assert done.exit_code == 1
    assert done.stderr.splitlines()[-1] == (
        f"Error: interrupted in {stage}; finished stages and the last checkpoint are kept in {run}; "
        "run the same command to continue"
    )
    assert not (run / stage / "result.json").exists()
    fakes.before.clear()
    fakes.take()
    assert invoke("run").exit_code == 0
    assert fakes.take() == ALL[ALL.index(stage) :]


def test_a_stopped_training_finds_its_checkpoint(invoke: Invoke, fakes: Fakes, workplace: Path) -> None:
    def stop(out: Path) -> None:
        (out / "checkpoint").mkdir()
        raise KeyboardInterrupt

    fakes.before["train"] = stop
    invoke("run")
    seen = []
    fakes.before["train"] = lambda out: seen.append((out / "checkpoint").is_dir())
    invoke("run")
    assert seen == [True]


def test_a_stage_never_sees_what_an_older_one_left(invoke: Invoke, fakes: Fakes, workplace: Path) -> None:
    invoke("run")
    (only_run(workplace) / "export" / "old").write_text("")
    seen = []
    fakes.before["export"] = lambda out: seen.append((out / "old").exists())
    invoke("export", "--force")
    assert seen == [False]


def test_a_stage_made_again_unmakes_what_came_after(invoke: Invoke, fakes: Fakes, workplace: Path) -> None:
    invoke("run")
    invoke("export", "--set", "export.opset=21")
    run = only_run(workplace)
    assert [stage for stage in ALL if (run / stage / "result.json").exists()] == ["train", "export"]
    assert (run / "package" / "bundle" / "manifest.json").exists()  # until there is a new one


def test_a_failing_verdict_stops_the_run(invoke: Invoke, fakes: Fakes, workplace: Path) -> None:
    fakes.verdict = False
    done = invoke("run")
    assert done.exit_code == 1
    assert fakes.take() == ["train", "export", "verify"]
    run = only_run(workplace).relative_to(workplace)
    assert done.stderr.splitlines()[-1] == (
        f"Error: verify failed: noise (noise ratio 1.0 of 8); nothing after it was made; see {run / 'report.html'}"
    )
    assert (run / "report.html").is_file()
    again = invoke("run")
    assert again.exit_code == 1
    assert fakes.take() == []


@pytest.mark.parametrize("stage", ALL)
@pytest.mark.parametrize(
    ("error", "line"),
    [
        (lambda: OSError(errno.ENOSPC, "No space left on device"), "Error: disk full: {stage}; free some space"),
        (lambda: OSError(errno.EROFS, "Read-only file system", "/x/y"), "Error: read-only: /x/y; choose a folder"),
        (lambda: PermissionError(errno.EACCES, "Permission denied", "/x/y"), "Error: permission denied: /x/y; choose"),
        (lambda: RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), "Error: out of memory ("),
        (MemoryError, "Error: out of memory (MemoryError)"),
        (lambda: ValueError("two\nlines"), "Error: unexpected ValueError: two lines; run again with pipeline --debug"),
    ],
)
def test_trouble_in_a_stage_is_one_line(
    invoke: Invoke, fakes: Fakes, workplace: Path, stage: str, error: Callable[[], Exception], line: str
) -> None:
    def fail(out: Path) -> None:
        raise error()

    fakes.before[stage] = fail
    done = invoke("run")
    assert done.exit_code == 1
    place = only_run(workplace).relative_to(workplace) / stage
    assert done.stderr.splitlines()[-1].startswith(line.format(stage=place))
    assert "Traceback" not in done.stderr
    assert not (place / "result.json").exists()


def test_debug_shows_the_traceback_too(invoke: Invoke, fakes: Fakes) -> None:
    fakes.before["train"] = lambda out: 1 / 0
    done = invoke("--debug", "run")
    assert done.exit_code == 1
    assert "Traceback" in done.stderr
    assert "ZeroDivisionError" in done.stderr


def test_a_folder_that_cannot_be_made(invoke: Invoke, fakes: Fakes, workplace: Path) -> None:
    (workplace / "file").write_text("")
    done = invoke("run", "--runs", "file/runs")
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: Not a directory: file/runs/lenet_digits-")
    assert fakes.take() == []


def test_two_commands_in_one_folder(invoke: Invoke, fakes: Fakes, workplace: Path) -> None:
    invoke("run")
    run = only_run(workplace)
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys; from pathlib import Path; from pipeline.folder import RunFolder\n"
            "with RunFolder(Path(sys.argv[1])).locked(): print('held', flush=True); sys.stdin.read()",
            str(run),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(walk.__file__).parents[1],
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        done = invoke("run")
        assert done.exit_code == 1
        assert done.stderr == (
            f"Error: runs/{run.name}: another pipeline command works there (process {holder.pid}); wait for it, "
            "or use another folder: --runs FOLDER\n"
        )
        holder.communicate("")
    assert invoke("run").exit_code == 0


def test_a_lock_is_free_again_after_a_failure(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    with pytest.raises(ZeroDivisionError), run.locked():
        1 / 0  # noqa: B018
    with run.locked(), pytest.raises(BusyError), run.locked():
        pass


def test_the_latest_run_is_the_one_last_worked_in(invoke: Invoke, fakes: Fakes, workplace: Path) -> None:
    first = invoke("run").stdout.strip()
    second = invoke("run", "--set", "train.epochs=2").stdout.strip()
    done = invoke("verify")
    assert done.stdout.strip() == second
    assert done.stderr.startswith(f"  latest run: {second}\n")
    invoke("run")
    assert invoke("verify", "latest").stdout.strip() == first


def test_a_run_that_was_made_aside_is_not_the_latest(tmp_path: Path) -> None:
    made = [RunFolder(tmp_path / name) for name in ("aside", "first", "second")]
    for run in made:
        with run.locked(aside=run.path.name == "aside"):
            run.stage("train").mkdir()
            (run.stage("train") / "result.json").touch()
    assert [path.name for path in folders.all_runs(tmp_path)] == ["second", "first", "aside"]
    with made[1].locked(aside=True):
        pass
    assert [path.name for path in folders.all_runs(tmp_path)] == ["second", "first", "aside"]
    with made[0].locked():
        pass
    assert folders.latest(tmp_path) == made[0].path


def test_a_stage_command_works_as_configured_before(invoke: Invoke, fakes: Fakes) -> None:
    run = invoke("run", "--set", "verify.rows=500").stdout.strip()
    fakes.take()
    assert "unchanged" in invoke("verify", run).stderr
    assert "0 flips in 700 rows" in invoke("verify", Path(run).name, "--set", "verify.rows=700").stderr
    assert fakes.take() == ["verify"]
    assert "0 flips in 700 rows" in invoke("verify", run).stderr
    assert fakes.take() == []
    assert invoke("package", run).exit_code == 0
    assert fakes.take() == ["package"]


def test_a_stage_command_says_what_to_run_first(invoke: Invoke, fakes: Fakes) -> None:
    run = invoke("train").stdout.strip()
    done = invoke("verify", run)
    assert done.exit_code == 1
    assert done.stderr == f"Error: {run}: no result of 'export' there; run: pipeline export {run}\n"


def test_a_stage_command_takes_keys_of_its_own_stage(invoke: Invoke, fakes: Fakes) -> None:
    run = invoke("run").stdout.strip()
    done = invoke("verify", run, "--set", "train.epochs=3")
    assert done.exit_code == 2
    assert done.stderr == (
        "Error: --set train.epochs=3: pipeline verify takes keys of its own stage, verify.KEY=VALUE; "
        "for others start from the recipe: pipeline run lenet_digits --set train.epochs=3\n"
    )


def test_a_run_that_was_never_trained_is_not_the_latest(invoke: Invoke, fakes: Fakes) -> None:
    good = invoke("run").stdout.strip()
    fakes.before["train"] = lambda out: 1 / 0
    invoke("run", "--set", "train.epochs=2")
    assert len(folders.all_runs(Path("runs"))) == 2
    assert invoke("verify").stdout.strip() == good


def test_a_recipe_name_cannot_leave_the_folder_of_runs(invoke: Invoke, fakes: Fakes, workplace: Path) -> None:
    done = invoke("run", "--set", "name=../elsewhere")
    assert done.exit_code == 2
    assert done.stderr == ("Error: recipe name '../elsewhere': expected letters, digits, '.', '_' and '-' only\n")


def test_export_alone_needs_no_data(invoke: Invoke, fakes: Fakes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run fetched to a machine without the data can be exported there."""
    run = invoke("train").stdout.strip()
    monkeypatch.setattr(discover, "call", lambda *arguments: pytest.fail("data were read"))
    done = invoke("export", run)
    assert done.exit_code == 0, done.stderr


def test_a_report_is_written_again_when_something_changed(invoke: Invoke, fakes: Fakes, workplace: Path) -> None:
    invoke("run")
    page = only_run(workplace) / "report.html"
    page.write_text("older")
    invoke("run")
    assert page.read_text() == "older"
    invoke("verify", "--set", "verify.rows=500")
    assert page.read_text() == "report"
    page.unlink()
    invoke("verify")
    assert page.read_text() == "report"


def test_another_device_goes_on_with_what_is_there() -> None:
    from stages.train import checkpoint

    assert set(walk.WHERE_NOT_WHAT) == set(checkpoint._WHERE_NOT_WHAT)
    recipe = discover.recipe("lenet_digits")
    keys = {walk.train_inputs(replace(recipe, train={"device": device}), "d")["key"] for device in ("cpu", "cuda")}
    assert len(keys) == 1


def test_sigterm_is_an_interruption(workplace: Path, generated_data: Path) -> None:
    """A real training, stopped from outside, ends with one line and goes on from its checkpoint."""
    command = [sys.executable, "-m", "pipeline", "train", "--set", "train.epochs=2000", "--device", "cpu"]
    environment = os.environ | {"PYTHONPATH": str(Path(walk.__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    with process:
        assert process.stderr is not None
        lines = iter(process.stderr.readline, "")
        assert any("epoch   1" in line for line in lines)
        process.terminate()
        rest = process.stderr.read()
    assert process.returncode == 1
    assert rest.splitlines()[-1].startswith("Error: interrupted in train; finished stages and the last checkpoint")
    assert (only_run(workplace) / "train" / "checkpoint").is_dir()


def test_latest_leads_to_the_last_run(invoke: Invoke, fakes: Fakes, workplace: Path) -> None:
    invoke("run", "lenet_digits")
    first = only_run(workplace)
    assert (workplace / "runs" / "latest").resolve() == first.resolve()
    invoke("run", "lenet_digits", "--set", "train.seed=1")
    assert len(folders.all_runs(workplace / "runs")) == 2
    assert (workplace / "runs" / "latest").resolve() == folders.latest(workplace / "runs").resolve() != first.resolve()

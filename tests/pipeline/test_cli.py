"""The surface: commands, options, help, exit codes, and what is imported for it."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from pipeline.__main__ import main
from pipeline.cli import cli
from tests.pipeline.conftest import Invoke

ROOT = Path(__file__).parents[2]
CONTEXT = click.Context(cli)
COMMANDS = cli.list_commands(CONTEXT)

SURFACE = {
    "compare": ["RUN RUN...", "--html", "--runs", "--data-root"],
    "doctor": ["--json", "--runs", "--data-root"],
    "embed": [
        "[REF]",
        "FILE|FOLDER...",
        "--text",
        "--out",
        "--raw",
        "--provider",
        "--trusted-key",
        "--force",
        "--runs",
        "--data-root",
    ],
    "export": ["[REF]", "--set", "--force", "--runs", "--data-root"],
    "init": ["FOLDER_OF_IMAGES", "--out"],
    "list": ["KIND", "--runs"],
    "package": [
        "[REF]",
        "--onnx",
        "--torch",
        "--weights",
        "--against",
        "--inputs",
        "--name",
        "--out",
        "--sign",
        "--set",
        "--force",
        "--runs",
        "--data-root",
    ],
    "predict": ["REF", "FILE...", "--text", "--object", "--json", "--out", "--provider", "--trusted-key", "--runs"],
    "promote": ["NAME", "--from", "--runs"],
    "run": ["RECIPE", "--set", "--device", "--force", "--runs", "--data-root"],
    "serve": [
        "[REF]",
        "--watch",
        "--canary",
        "--shadow",
        "--provider",
        "--trusted-key",
        "--runs",
        "--host",
        "--port",
        "--grpc-port",
        "--processes",
        "--max-body",
        "--max-rows",
        "--max-pixels",
        "--max-connections",
        "--max-queue",
        "--api-keys",
        "--tls-cert",
        "--tls-key",
        "--admin-port",
        "--admin-host",
        "--admin-token-file",
        "--metrics",
        "--access-log",
        "--log-level",
    ],
    "sweep": ["RECIPE", "--grid", "--search", "--trials", "--set", "--device", "--runs", "--data-root"],
    "train": ["RECIPE", "--set", "--device", "--force", "--runs", "--data-root"],
    "verify": [
        "[REF]",
        "--torch",
        "--weights",
        "--against",
        "--inputs",
        "--out",
        "--provider",
        "--budget",
        "--json",
        "--trusted-key",
        "--set",
        "--force",
        "--runs",
        "--data-root",
    ],
}


def command(name: str) -> click.Command:
    found = cli.get_command(CONTEXT, name)
    assert found is not None
    return found


def test_the_surface_is_frozen() -> None:
    """Scripts depend on these names: change them only with a word in the changelog."""
    surface = {
        name: [
            p.metavar or p.name.upper() if isinstance(p, click.Argument) else p.opts[0] for p in command(name).params
        ]
        for name in COMMANDS
    }
    assert surface == SURFACE


@pytest.mark.parametrize("name", COMMANDS)
def test_every_help_describes_and_shows_an_example(invoke: Invoke, name: str) -> None:
    done = invoke(name, "--help")
    assert done.exit_code == 0
    assert done.stdout.startswith(f"Usage: pipeline {name} ")
    assert command(name).get_short_help_str(200)
    assert f"\n  Examples:\n    pipeline {name}" in done.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_every_example_is_accepted(name: str, invoke: Invoke) -> None:
    for line in examples(name):
        words = shlex.split(line)
        assert words[:2] == ["pipeline", name]
        command(name).make_context(name, words[2:])


def examples(name: str) -> list[str]:
    epilog = command(name).epilog or ""
    return [line.strip() for line in epilog.splitlines() if line.startswith("  ")]


def test_the_group_shows_one_line_for_each(invoke: Invoke) -> None:
    text = invoke("--help").stdout
    for name in COMMANDS:
        summary = (command(name).help or "").partition("\n")[0]
        assert any(line.split() == [name, *summary.split()] for line in text.splitlines()), name


def test_group_help_is_quick_and_light() -> None:
    script = (
        "import json, resource, sys\n"
        "sys.argv = ['pipeline', '--help']\n"
        "from pipeline.__main__ import main\n"
        "try:\n    main()\n"
        "except SystemExit as done:\n    assert not done.code\n"
        "used = resource.getrusage(resource.RUSAGE_SELF)\n"
        "print(json.dumps([sorted(sys.modules), used.ru_utime + used.ru_stime]))"
    )
    runs = [subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT) for _ in range(3)]
    answers = [json.loads(run.stdout.splitlines()[-1]) for run in runs]
    loaded = {name.partition(".")[0] for name in answers[0][0]}
    assert "click" in loaded
    assert not loaded & {"torch", "mlflow", "onnxruntime", "numpy", "onnx"}
    assert min(seconds for _, seconds in answers) < 0.2


def test_without_click_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "click", None)
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == (
        "Error: the command line needs more than the base install; run: pip install 'onnxway[pipeline]'"
    )


def test_python_m_pipeline_is_the_command() -> None:
    done = subprocess.run([sys.executable, "-m", "pipeline", "--version"], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0
    assert done.stdout.startswith("onnxway, version ")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["rn"], "Error: no such command 'rn'; did you mean 'run'? choose from: " + ", ".join(COMMANDS)),
        (["run", "lenet_digit"], "Error: unknown recipe 'lenet_digit'; did you mean 'lenet_digits'? choose from: "),
        (["run", "./none.py"], "Error: none.py: no such recipe file; write one: pipeline init FOLDER_OF_IMAGES"),
        (["run", "--set", "train.epoch=3"], "no such key 'epoch'; did you mean 'epochs'? choose from: "),
        (["run", "--set", "train.epochs=three"], "Error: --set train.epochs=three: train.epochs: expected int, got "),
        (["run", "--set", "train.epochs"], "Error: --set 'train.epochs': expected KEY=VALUE"),
        (["run", "--set", "model=lenet"], "Error: unknown model 'lenet'; did you mean 'lenet5'? choose from: "),
        (["run", "--set", "model.width=3"], "Error: models lenet5, option 'width': no such option; choose from: "),
        (["verify", "models:/a"], "Error: 'models:/a': expected models:/<name>@<alias> or models:/<name>/<version>"),
        (["run", "--device", "tpu"], "Error: Invalid value for '--device': 'tpu' is not one of "),
    ],
)
def test_wrong_usage_exits_with_2(invoke: Invoke, arguments: list[str], line: str) -> None:
    done = invoke(*arguments)
    assert done.exit_code == 2
    assert line in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert not Path("runs").exists()


def test_nothing_there_yet(invoke: Invoke) -> None:
    done = invoke("verify")
    assert (done.exit_code, done.stderr) == (
        1,
        "Error: runs: no trained run there; make one: pipeline run, or name another folder: --runs FOLDER\n",
    )
    done = invoke("predict", "nowhere", "picture.png")
    assert (done.exit_code, done.stderr) == (1, "Error: nowhere: no such run folder; choose from: (none)\n")


def test_ctrl_c_before_anything_began(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline import walks

    def stop(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(walks, "walk", stop)
    done = invoke("run")
    assert (done.exit_code, done.stderr) == (
        1,
        "Error: interrupted; nothing half-written is left, run the same command again\n",
    )


@pytest.mark.parametrize("kind", ["recipes", "models", "data", "tasks"])
def test_list_shows_what_discovery_finds(invoke: Invoke, kind: str) -> None:
    from stages import discover

    lines = invoke("list", kind).stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(discover.found(kind))


def test_list_of_nothing(invoke: Invoke) -> None:
    assert invoke("list", "runs").stdout == "no runs in runs yet; make some: pipeline run\n"
    assert invoke("list", "registered").stdout == "no registered models yet; make some: pipeline run\n"

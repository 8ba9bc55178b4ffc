"""The click group: finds commands by file name in `pipeline/commands`, and shows every failure in one line.

A command's file is imported when the command is used, not before; the help of the group reads the first line of each
docstring from the source text. So `pipeline --help` imports neither torch nor mlflow, and nothing is registered.
"""

import ast
import errno
import importlib
import traceback
from pathlib import Path
from typing import IO, Any

import click

from deploy.schema import closest
from pipeline import failures
from pipeline.options import example

COMMANDS = Path(__file__).parent / "commands"


class Refusal(click.ClickException):
    """A failure that is shown as one line on stderr and decides the exit code."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.code = exit_code

    @property
    def exit_code(self) -> int:  # type: ignore[override]
        """What the process answers."""
        return self.code

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the line."""
        click.echo(f"Error: {self.message}", file=file, err=file is None)


class Commands(click.Group):
    """The files of a folder as commands: `<verb>.py` holds a click command called `command`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the verbs, sorted."""
        return sorted(path.stem for path in COMMANDS.glob("*.py") if path.stem != "__init__")

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command's file and return its command."""
        if cmd_name not in self.list_commands(ctx):
            return None
        command: click.Command = importlib.import_module(f"pipeline.commands.{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; an unknown one is answered with the closest one and the choices."""
        names = self.list_commands(ctx)
        if args and not args[0].startswith("-") and args[0] not in names:
            ctx.fail(f"no such command {args[0]!r}; {closest(args[0], names)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one line for each command, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, _summary(name)) for name in self.list_commands(ctx)])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; whatever goes wrong becomes one line and an exit code."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except (Exception, KeyboardInterrupt) as error:
            if isinstance(error, OSError) and error.errno == errno.EPIPE:
                raise  # the reader went away (`pipeline list | head`): click ends quietly
            if ctx.params["debug"]:
                click.echo("".join(traceback.format_exception(error)), err=True, nl=False)
            raise Refusal(*failures.explain(error)) from None


def _summary(name: str) -> str:
    """Return the first line of the docstring of the function `command` in a command's file."""
    for node in ast.parse((COMMANDS / f"{name}.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef) and node.name == "command":
            return (ast.get_docstring(node) or "").partition("\n")[0]
    return ""


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog=example("pipeline run lenet_digits", "pipeline predict --help"),
)
@click.option("--debug", is_flag=True, help="Show the traceback when something goes wrong.")
@click.version_option(package_name="onnxway", prog_name="onnxway")
def cli(debug: bool) -> None:
    """Train CNNs in PyTorch, export them to ONNX, prove that they decide the same, and serve them."""

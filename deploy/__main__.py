"""`python -m deploy FOLDER`: serve bundles over HTTP, with the base install and the extra `serve` only."""

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

from deploy.errors import OnnxwayError, UsageError
from deploy.server.arguments import add_arguments, from_arguments
from deploy.server.lifecycle.routing import read_share


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or Ctrl-C; returns the exit code, errors are one line on stderr."""
    options = _parser().parse_args(arguments)
    try:
        _serve(options)
    except OnnxwayError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    return 0


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the list of all options."""

    def error(self, message: str) -> NoReturn:
        print(f"error: {message}; see python -m deploy --help", file=sys.stderr)
        self.exit(2)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m deploy",
        usage="python -m deploy [options] [FOLDER ...]",
        allow_abbrev=False,
        description="Serve verified bundles: Open Inference Protocol v2 over HTTP and gRPC, and pictures on /predict.",
        epilog="""examples:
  python -m deploy runs/lenet_digits/package/bundle --port 8000
  python -m deploy runs/latest --watch 10                        what a new run made is swapped in, if it passes
  python -m deploy lenet-1 --canary lenet-2=0.1                  a tenth of the requests that name no version
  python -m deploy lenet-1 --shadow lenet-2=1                    a copy of all requests; how answers differ is counted
  python -m deploy --repository models --watch 10                what comes, changes and goes in a folder of bundles""",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", metavar="FOLDER", nargs="*", help="a bundle, or a run folder that holds one")
    models = parser.add_argument_group("which models")
    models.add_argument("--repository", metavar="FOLDER", help="folder of bundles that may be loaded and unloaded")
    models.add_argument(
        "--watch", type=float, metavar="SECONDS", help="look so often for other bundles there, and swap them in"
    )
    models.add_argument(
        "--canary", action="append", default=[], metavar="FOLDER=WEIGHT", help="version that gets a share; repeatable"
    )
    models.add_argument(
        "--shadow", action="append", default=[], metavar="FOLDER=SHARE", help="version that gets copies; repeatable"
    )
    models.add_argument("--variant", default="fp32", help="form of the model (default: %(default)s)")
    models.add_argument("--unverified", action="store_true", help="serve even without a passing passport")
    models.add_argument(
        "--trusted-key", metavar="PEM", help="serve only bundles signed with this public key's other half"
    )
    running = parser.add_argument_group("on what")
    running.add_argument("--provider", choices=["cpu", "cuda"], default="cpu", help="where it runs, strictly")
    running.add_argument(
        "--option", action="append", default=[], metavar="KEY=VALUE", help="provider option; repeatable"
    )
    running.add_argument("--threads", type=int, help="within one run (default: the cores this process may use)")
    add_arguments(parser)
    return parser


def _serve(options: argparse.Namespace) -> None:
    provider_options = dict(map(_pair, options.option))
    server = from_arguments(options)
    if not options.folder and (options.repository is None or options.watch is None):
        raise UsageError("no folder: name a bundle, or a folder of bundles to follow: --repository FOLDER --watch 10")
    # Imported here: `--help` and a wrong option answer at once.
    import onnxruntime

    from deploy.server import serve_bundles

    onnxruntime.set_default_logger_severity(4)  # its lines say less than the errors here
    serve_bundles(
        options.folder,
        options.provider,
        variant=options.variant,
        provider_options=provider_options,
        threads=options.threads,
        unverified=options.unverified,
        trusted_key=options.trusted_key,
        options=server,
        repository=options.repository,
        watch=options.watch,
        canaries=[read_share(text, "--canary") for text in options.canary],
        shadows=[read_share(text, "--shadow") for text in options.shadow],
    )


def _pair(text: str) -> tuple[str, str]:
    key, sign, value = text.partition("=")
    if not key or not sign:
        raise UsageError(f"--option {text!r}: expected KEY=VALUE")
    return key, value


if __name__ == "__main__":
    sys.exit(main())

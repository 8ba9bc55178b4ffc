"""`python -m deploy FOLDER`: serve bundles over HTTP, with the base install and the extra `serve` only."""

import argparse
import sys
from collections.abc import Sequence

from deploy.errors import OnnxwayError, UsageError


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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m deploy",
        description="Serve verified bundles: Open Inference Protocol v2 over HTTP and gRPC, and pictures on /predict.",
        epilog="example: python -m deploy runs/lenet_digits/package/bundle --port 8000",
    )
    parser.add_argument("folder", nargs="+", help="a bundle, or a run folder that holds one")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8000, help="0 takes a free one (default: %(default)s)")
    parser.add_argument("--grpc-port", type=int, metavar="PORT", help="serve over gRPC too; 0 takes a free one")
    parser.add_argument("--repository", metavar="FOLDER", help="bundles that clients may load and unload")
    parser.add_argument("--provider", choices=["cpu", "cuda"], default="cpu", help="where it runs, strictly")
    parser.add_argument(
        "--option", action="append", default=[], metavar="KEY=VALUE", help="provider option; repeatable"
    )
    parser.add_argument("--variant", default="fp32", help="form of the model (default: %(default)s)")
    parser.add_argument("--threads", type=int, help="within one run (default: the cores this process may use)")
    parser.add_argument("--unverified", action="store_true", help="serve even without a passing passport")
    parser.add_argument(
        "--trusted-key", metavar="PEM", help="serve only bundles signed with this public key's other half"
    )
    return parser


def _serve(options: argparse.Namespace) -> None:
    provider_options = dict(map(_pair, options.option))
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
        host=options.host,
        port=options.port,
        grpc_port=options.grpc_port,
        repository=options.repository,
    )


def _pair(text: str) -> tuple[str, str]:
    key, sign, value = text.partition("=")
    if not key or not sign:
        raise UsageError(f"--option {text!r}: expected KEY=VALUE")
    return key, value


if __name__ == "__main__":
    sys.exit(main())

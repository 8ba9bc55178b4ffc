"""What a server can be told, each option once: `python -m deploy` and `pipeline serve` are made from this."""

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

from deploy.errors import UsageError

TOKEN_VARIABLE = "ONNXWAY_ADMIN_TOKEN"

LOOPBACK = ("127.0.0.1", "::1", "localhost")

Metrics = Literal["public", "admin", "off"]
LogLevel = Literal["debug", "info", "warning", "error"]


@dataclass(frozen=True)
class About:
    """How an option is shown: under which heading, with which words, and what stands for its value."""

    group: str
    words: str
    metavar: str | None = None
    choices: tuple[str, ...] = ()


def _about(group: str, words: str, metavar: str | None = None, choices: Any = None) -> dict[str, About]:
    return {"about": About(group, words, metavar, get_args(choices) if choices else ())}


@dataclass(frozen=True)
class ServerOptions:
    """Addresses, limits, security and records of a server; `UsageError` for what contradicts itself.

    Sizes are in bytes. What each field means its `words` say.
    """

    host: str = field(default="127.0.0.1", metadata=_about("addresses", "address to listen on"))
    port: int = field(default=8000, metadata=_about("addresses", "for HTTP; 0 takes a free one", "PORT"))
    grpc_port: int | None = field(
        default=None, metadata=_about("addresses", "serve over gRPC too; 0 takes a free one", "PORT")
    )

    processes: int = field(
        default=1,
        metadata=_about(
            "addresses", "that answer there, each with its own copy of the models and its part of the cores", "N"
        ),
    )

    max_body: int = field(
        default=64 * 2**20, metadata=_about("limits", "bytes of a request, as it comes and decompressed", "BYTES")
    )
    max_rows: int = field(default=1024, metadata=_about("limits", "rows of a request", "ROWS"))
    max_pixels: int = field(
        default=64 * 2**20, metadata=_about("limits", "pixels of a picture, by its header", "PIXELS")
    )
    max_connections: int = field(default=20_000, metadata=_about("limits", "open at once", "N"))
    max_queue: int = field(
        default=4096, metadata=_about("limits", "rows of one model that may wait; more is refused with 503", "ROWS")
    )

    api_keys: Path | None = field(
        default=None,
        metadata=_about(
            "security", "keys, or sha256:HEX of them, one a line: requests must have one; read when it changes", "FILE"
        ),
    )
    tls_cert: Path | None = field(
        default=None, metadata=_about("security", "certificate with its chain: TLS on all ports", "PEM")
    )
    tls_key: Path | None = field(
        default=None, metadata=_about("security", "its key (default: in the same file)", "PEM")
    )
    admin_port: int | None = field(
        default=None,
        metadata=_about(
            "security", "load, unload, metrics and the log's level are there, for whoever has the token", "PORT"
        ),
    )
    admin_host: str = field(default="127.0.0.1", metadata=_about("security", "address of the admin port", "HOST"))
    admin_token_file: Path | None = field(
        default=None,
        metadata=_about("security", f"file with the token; else it is in the variable {TOKEN_VARIABLE}", "FILE"),
    )

    metrics: Metrics = field(default="public", metadata=_about("records", "where /metrics is", None, Metrics))
    access_log: bool = field(default=True, metadata=_about("records", "a line of JSON for each request on stderr"))
    log_level: LogLevel = field(
        default="info", metadata=_about("records", "of what else is said on stderr", None, LogLevel)
    )

    def __post_init__(self) -> None:
        for one in fields(self):
            value, name = getattr(self, one.name), flag(one.name)
            if (one.name.startswith("max_") or one.name == "processes") and value < 1:
                raise UsageError(f"{name} {value}: expected a whole number from 1 up")
            if one.name.endswith("port") and value is not None and not 0 <= value <= 65535:
                raise UsageError(f"{name} {value}: expected 0 to 65535")
        if self.max_rows > self.max_queue:
            raise UsageError(
                f"--max-rows {self.max_rows} is over --max-queue {self.max_queue}: what is larger than the queue is "
                "never answered; lower the one or raise the other"
            )
        self._require_pairs()

    def _require_pairs(self) -> None:
        """Check what needs something else."""
        if self.tls_key is not None and self.tls_cert is None:
            raise UsageError("--tls-key without --tls-cert: a key is of no use alone; give both")
        if self.admin_port is None:
            for name, there in (
                ("--admin-token-file", self.admin_token_file is not None),
                ("--metrics admin", self.metrics == "admin"),
                (f"--admin-host {self.admin_host}", self.admin_host not in LOOPBACK),
            ):
                if there:
                    raise UsageError(
                        f"{name} without --admin-port: there is no such port; give one, 0 takes a free one"
                    )
        elif self.admin_host not in LOOPBACK and self.tls_cert is None:
            raise UsageError(
                f"--admin-host {self.admin_host} without --tls-cert: the token would be read on its way; give both"
            )

    def require_control(self, repository: object) -> None:
        """Check that not everybody may load and unload what is in a repository."""
        if repository is not None and self.admin_port is None and self.host not in LOOPBACK:
            raise UsageError(
                f"--repository with --host {self.host}: whoever reaches it could load and unload; add --admin-port PORT"
            )


def flag(name: str) -> str:
    """Return an option as it is typed."""
    return "--" + name.replace("_", "-")


def about(name: str) -> About:
    """Return how an option is shown."""
    found: About = ServerOptions.__dataclass_fields__[name].metadata["about"]
    return found

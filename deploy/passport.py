"""The verdict on one model file, bound to that file by digest: without a passing one nothing is packaged or served.

`docs/passport.md` says what every field means; a test holds it against the classes here.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path

from deploy import files
from deploy.errors import BundleError, NotFoundError, UsageError
from deploy.schema import from_plain, to_plain

SCHEMA = 2
"""1 had no `schema`, `weights_sha256`, `data_sha256`, `machine` and `conditions`: they are then unknown."""


@dataclass(frozen=True)
class Check:
    """One thing that was looked at: what was measured, what was allowed, and words for a person."""

    name: str
    passed: bool
    value: float | None = None
    limit: float | None = None
    detail: str = ""

    def __bool__(self) -> bool:
        return self.passed


@dataclass(frozen=True)
class Machine:
    """Where sessions ran; an empty text means unknown, or not there. `deploy.machine` reads it.

    system          operating system and architecture
    cpu             model name
    instructions    the vector instruction sets by which ONNX Runtime chooses its CPU kernels
    gpu, driver, cudnn      name of the device, version of its driver, version of cuDNN
    onnxruntime, build      version, and the build information that ONNX Runtime gives
    """

    system: str = ""
    cpu: str = ""
    instructions: str = ""
    gpu: str = ""
    driver: str = ""
    cudnn: str = ""
    onnxruntime: str = ""
    build: str = ""


@dataclass(frozen=True)
class Conditions:
    """How the sessions on one provider were set.

    optimization        graph optimization level of ONNX Runtime
    provider_options    all of them, as read back from the session: TF32, search of algorithms, layout, ...
    """

    optimization: str = ""
    provider_options: dict[str, str] = field(default_factory=dict)


class Checked:
    """What a set of checks adds up to: truthy when there are any and all of them passed."""

    checks: tuple[Check, ...]

    def __bool__(self) -> bool:
        return bool(self.checks) and all(self.checks)

    @property
    def verdict(self) -> str:
        """`passed` or `failed`, as `passport.json` has it."""
        return "passed" if self else "failed"

    def failures(self) -> tuple[Check, ...]:
        """Return the checks that did not pass."""
        return tuple(check for check in self.checks if not check)


@dataclass(frozen=True)
class Passport(Checked):
    """What verification found for the file whose SHA-256 is `model_sha256`; truthy when every check passed.

    `noise` is the root mean square rounding noise of torch float32 against the float64 twin, by output and in that
    output's own unit: the yardstick by which later differences (golden samples, other providers) are judged.
    `limit` is how many times that noise an honest model may be away from the truth; `precision` is the arithmetic that
    was certified, whose rounding that noise is. `machine` and `conditions` (by
    provider) are what the verdict holds for: `deploy.expiry` compares them with where the model is loaded.
    `reference` says in words what the file was held against, `unproven` what could not be verified that way.
    """

    model_sha256: str
    checks: tuple[Check, ...]
    noise: dict[str, float]
    limit: float
    rows: int
    providers: tuple[str, ...]
    created: str
    environment: dict[str, str] = field(default_factory=dict)
    weights_sha256: str = ""
    data_sha256: str = ""
    precision: str = "fp32"
    machine: Machine = Machine()
    conditions: dict[str, Conditions] = field(default_factory=dict)
    reference: str = ""
    unproven: tuple[str, ...] = ()
    schema: int = 1  # what a passport without the key is; whoever issues one says SCHEMA

    def require(self, model_sha256: str) -> None:
        """Raise `BundleError` unless this passport passes and was issued for exactly this file."""
        if self.schema > SCHEMA:
            raise BundleError(
                f"the passport has schema {self.schema}, newer than this onnxway reads ({SCHEMA}); "
                "upgrade: pip install -U onnxway"
            )
        if self.model_sha256 != model_sha256:
            raise BundleError(
                f"the passport was issued for the file with SHA-256 {self.model_sha256[:12]}..., "
                f"this one has {model_sha256[:12]}...; verify this file: pipeline verify"
            )
        if not self:
            names = ", ".join(check.name for check in self.failures()) or "no check was made"
            raise BundleError(f"the model did not pass verification ({names}); see the report, mend it, verify again")


@dataclass(frozen=True)
class Recertification(Checked):
    """What the golden samples showed for one bundle on one machine, long after its passport; truthy when all passed.

    `bundle_sha256` (of the manifest) binds it to the bundle, `machine` and `conditions` to the place.
    """

    bundle_sha256: str
    model_sha256: str
    variant: str
    provider: str
    machine: Machine
    conditions: Conditions
    checks: tuple[Check, ...]
    rows: int
    created: str
    schema: int = SCHEMA


def save(path: Path, passport: Passport) -> None:
    """Write `passport.json`, atomically: all fields, and the verdict that follows from the checks."""
    files.write_json(path, to_plain(passport) | {"verdict": passport.verdict})


def load(path: Path) -> Passport:
    """Read `passport.json`.

    Raises `NotFoundError` when there is none, `BundleError` for another form and for a verdict that the checks do not
    bear out.
    """
    try:
        plain = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise NotFoundError(f"{path}: no passport there; make one: pipeline verify") from None
    except (OSError, ValueError, RecursionError):
        plain = None
    if not isinstance(plain, dict):
        raise BundleError(f"{path}: no passport, or a damaged one; verify again: pipeline verify")
    stated = plain.pop("verdict", None)
    if isinstance(plain.get("schema"), int) and plain["schema"] > SCHEMA:
        raise BundleError(
            f"{path}: schema {plain['schema']} is newer than this onnxway reads ({SCHEMA}); "
            "upgrade: pip install -U onnxway"
        )
    try:
        passport = from_plain(Passport, plain)
    except UsageError as error:
        raise BundleError(f"{path}: not a passport of schema {SCHEMA}: {error}") from None
    if stated != passport.verdict:
        raise BundleError(
            f"{path}: says {stated!r}, its checks say {passport.verdict!r}; verify again: pipeline verify"
        )
    return passport

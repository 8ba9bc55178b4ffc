"""The verdict on one model file, bound to that file by digest: without a passing one nothing is packaged or served."""

from dataclasses import dataclass, field

from deploy.errors import BundleError


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
class Passport:
    """What verification found for the file whose SHA-256 is `model_sha256`; truthy when every check passed.

    `noise` is the root mean square rounding noise of torch float32 against the float64 twin, by output and in that
    output's own unit: the yardstick by which later differences (golden samples, other providers) are judged.
    `limit` is how many times that noise an honest model may be away from the truth.
    """

    model_sha256: str
    checks: tuple[Check, ...]
    noise: dict[str, float]
    limit: float
    rows: int
    providers: tuple[str, ...]
    created: str
    environment: dict[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.checks) and all(self.checks)

    def failures(self) -> tuple[Check, ...]:
        """Return the checks that did not pass."""
        return tuple(check for check in self.checks if not check)

    def require(self, model_sha256: str) -> None:
        """Raise `BundleError` unless this passport passes and was issued for exactly this file."""
        if self.model_sha256 != model_sha256:
            raise BundleError(
                f"the passport was issued for the file with SHA-256 {self.model_sha256[:12]}..., "
                f"this one has {model_sha256[:12]}...; verify this file: pipeline verify"
            )
        if not self:
            names = ", ".join(check.name for check in self.failures()) or "no check was made"
            raise BundleError(f"the model did not pass verification ({names}); see the report, mend it, verify again")

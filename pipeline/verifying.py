"""What `pipeline verify` is pointed at: a run of ours, any ONNX file, or a bundle on the machine that will serve it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

from deploy import bundle
from deploy.errors import UsageError
from deploy.passport import Passport, Recertification
from pipeline import verdict, walks
from pipeline.console import Console
from pipeline.references import bundle_folder
from pipeline.run import VerdictError
from stages import result
from stages.recipe import VerifyConfig
from stages.result import VerifyResult

if TYPE_CHECKING:
    from deploy.providers import Provider
    from stages.verify.certify import Verdict
    from stages.verify.foreign import Subject


@dataclass(frozen=True)
class Foreign:
    """What an ONNX file from elsewhere is judged against, and on what."""

    torch: str | None = None
    weights: Path | None = None
    against: Path | None = None
    inputs: str | None = None
    out: Path | None = None

    def __bool__(self) -> bool:
        return any(value is not None for value in (self.torch, self.weights, self.against, self.inputs, self.out))

    def subject(self, path: Path) -> "Subject":
        """Open an ONNX file with what it is held against."""
        from stages.verify import foreign

        return foreign.subject(path, foreign.Sources(self.torch, self.weights, self.against, self.inputs))


@dataclass(frozen=True)
class _Configs:
    """What `--set` can change where there is no recipe."""

    verify: VerifyConfig = field(default_factory=VerifyConfig)


def is_model(reference: str | None) -> bool:
    """Tell whether a reference is an ONNX file."""
    return reference is not None and reference.endswith(".onnx")


def is_bundle(reference: str | None) -> bool:
    """Tell whether a reference is the folder of a bundle."""
    return reference is not None and (Path(reference) / bundle.MANIFEST).is_file()


def stage_settings(settings: tuple[str, ...], providers: tuple[str, ...], budget: float | None) -> tuple[str, ...]:
    """Return the options of the command as settings of the stage, before those that were given by `--set`."""
    chosen = []
    if providers:
        listed = ", ".join(f'"{provider}"' for provider in dict.fromkeys(providers))
        chosen.append(f"verify.providers=[{listed}]")
    if budget is not None:
        chosen.append(f"verify.budget_s={budget}")
    return (*chosen, *settings)


def model(path: Path, foreign: Foreign, settings: tuple[str, ...]) -> tuple[Passport, Path]:
    """Judge an ONNX file from elsewhere; return its passport and the folder with what was found."""
    from stages.settings import apply

    out = foreign.out or Path(f"verify-{path.stem}")
    config = apply(_Configs(), settings).verify
    return judge(foreign.subject(path), config, out).passport, out


def judge(subject: "Subject", config: VerifyConfig, out: Path) -> "Verdict":
    """Judge an ONNX file that was opened: leave what is found in `out`, and say the verdict."""
    from stages import report
    from stages.verify import foreign

    observer, name = Console(), subject.model.name
    found = foreign.verify(subject, config, out, observer)
    report.write_verdict(name, found.passport, out)
    for line in verdict.lines(found.passport, name):
        observer.say(line)
    return found


def served(
    reference: str, runs: Path, providers: tuple[str, ...], trusted_key: Path | None
) -> tuple[list[Recertification], Path]:
    """Certify a bundle on this machine for each provider, without torch; return what was found, and the bundle."""
    from deploy import recertify, signing

    folder = bundle_folder(reference, runs)
    if trusted_key is not None:
        signing.check(folder, trusted_key)
    found = [recertify.recertify(folder, cast("Provider", name)) for name in providers or ("cpu",)]
    observer = Console()
    for record in found:
        for line in recertify.render(record).splitlines():
            observer.say(line)
    return found, folder


def run(
    reference: str | None, settings: tuple[str, ...], *, force: bool, runs: Path, data_root: Path
) -> tuple[Passport, Path]:
    """Make the verify stage of a run again, unless nothing has changed; return its passport and the run folder."""
    try:
        folder = walks.again(reference, "verify", settings, force=force, runs=runs, data_root=data_root)
    except VerdictError as refusal:
        folder = refusal.folder
    return result.load(VerifyResult, folder).passport, folder


def require(passport: Passport | Recertification, where: Path, more: str = "") -> None:
    """Raise `VerdictError` for a failing verdict, so that the command exits with 1; `more` is what that entails."""
    if not passport:
        names = ", ".join(check.name for check in passport.failures())
        raise VerdictError(f"verification failed: {names}; {f'{more}; ' if more else ''}see {where}", where)


def reject_foreign(foreign: Foreign, reference: str | None) -> None:
    """Raise `UsageError` when options for ONNX files were given with something else."""
    if foreign:
        raise UsageError(
            f"{reference or 'the latest run'}: --torch, --weights, --against, --inputs and --out are for an ONNX file; "
            "give one: pipeline verify model.onnx"
        )

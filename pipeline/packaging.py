"""`pipeline package --onnx`: an ONNX file from elsewhere becomes a bundle, if it passes."""

from dataclasses import dataclass, field
from pathlib import Path

from deploy.errors import NotFoundError, UsageError
from pipeline import verifying
from pipeline.console import Console
from pipeline.verifying import Foreign
from stages.recipe import PackageConfig, VerifyConfig


@dataclass(frozen=True)
class _Configs:
    """What `--set` can change where there is no recipe."""

    verify: VerifyConfig = field(default_factory=VerifyConfig)
    package: PackageConfig = field(default_factory=PackageConfig)


def file(
    path: Path, foreign: Foreign, settings: tuple[str, ...], *, name: str | None, force: bool, sign: Path | None
) -> Path:
    """Verify an ONNX file and write its bundle; return the bundle's folder.

    What was found lies in `verify/` beside it. Raises `VerdictError` for a failing verdict; an older bundle then stays.
    """
    from stages import adopt
    from stages.settings import apply

    config = apply(_Configs(), settings)
    chosen = adopt.name_of(path, name, config.package.version)
    out = foreign.out or Path(f"package-{chosen}")
    folder = out / "bundle"
    adopt.require_place(folder, chosen, force=force)
    if sign is not None:
        _require_key(sign)
    subject = foreign.subject(path)
    found = verifying.judge(subject, config.verify, out / "verify")
    verifying.require(found.passport, out / "verify", "no bundle was written")
    written = adopt.package_file(subject, found, config.verify, config.package, folder, chosen)
    if sign is not None:
        from deploy import signing

        signing.sign(written.folder, sign)
    Console().say(f"bundle of {chosen} {config.package.version}; serve it: pipeline serve {folder}")
    return folder


def reject_foreign(foreign: Foreign, name: str | None, reference: str | None) -> None:
    """Raise `UsageError` when options for ONNX files were given without one."""
    if foreign or name is not None:
        raise UsageError(
            f"{reference or 'the latest run'}: --torch, --weights, --against, --inputs, --name and --out are for an "
            "ONNX file; give one: pipeline package --onnx model.onnx"
        )


def _require_key(path: Path) -> None:
    """Raise for a key of no use before anything is done."""
    from deploy import dsse

    if not path.is_file():
        raise NotFoundError(f"--sign {path}: no such file")
    dsse.seal(b"", path)

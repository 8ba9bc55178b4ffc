"""Where a verdict holds, and where it asks to be made again.

What another place changes falls in three classes:

    provider                        other kernels altogether: only a certification on that provider counts
    ONNX Runtime, cuDNN (1.31 -> 1.32), driver (570 -> 580), GPU
                                    other kernels are chosen and other operators fused: recertify
    patch releases, builds, the CPU, options
                                    the same kernels in another order of rounding: the golden samples, which are
                                    replayed at every load, settle it

A provider that the passport lacks, and a change of the second class, are certified again by `deploy.recertify`, on the
machine in question. What it finds lies beside the bundle, never in it: `<bundle>.recertified/`, a file for each
variant, provider and machine, so that machines which share a disk do not overwrite each other's.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy import files
from deploy.bundle import Bundle
from deploy.errors import BundleError, UsageError
from deploy.machine import session_conditions, session_machine
from deploy.passport import Conditions, Machine, Recertification
from deploy.schema import from_plain, to_plain

# Where memory lies and who waits for whom: no number depends on it.
_HARMLESS = frozenset(
    {"device_id", "gpu_mem_limit", "arena_extend_strategy", "do_copy_in_default_stream", "has_user_compute_stream"}
    | {"user_compute_stream", "use_ep_level_unified_stream", "external_data_loader_reading_threads"}
    | {"gpu_external_alloc", "gpu_external_free", "gpu_external_empty_cache"}
)


@dataclass(frozen=True)
class Change:
    """What is different here from where a verdict was reached: `grave` asks for a new one, else a replay will do."""

    grave: bool
    words: str


def require(source: Bundle, variant: str, session: Any) -> tuple[Change, ...]:
    """Return what is different here from the best certification there is: nothing, or what a replay must settle.

    `session` is a `deploy.providers.Session` of that variant, open on the provider in question. Raises `BundleError`
    with the command to run when no certification holds here, or when the one made here failed.
    """
    passport, provider = source.variant(variant).passport, str(session.provider)
    here, conditions = session_machine(session), session_conditions(session)
    found: list[tuple[Change, ...]] = []
    if provider in passport.providers:
        certified = passport.conditions.get(provider, Conditions())
        found.append(changes(provider, passport.machine, certified, here, conditions))
    for record in recertifications(source, variant, provider):
        different = changes(provider, record.machine, record.conditions, here, conditions)
        if not record and not different:
            names = ", ".join(check.name for check in record.failures()) or "no check was made"
            raise BundleError(
                f"{source.folder} ({variant}): recertification on {provider} failed on this machine ({names}); "
                f"serve it elsewhere, or find the cause: {command(source.folder, provider)}"
            )
        if record:
            found.append(different)
    held = [different for different in found if not any(change.grave for change in different)]
    if held:
        return min(held, key=len)
    raise BundleError(f"{source.folder} ({variant}): {_reason(provider, passport.providers, found)}; recertify it on "
                      f"this machine: {command(source.folder, provider)}")  # fmt: skip


def changes(
    provider: str, machine: Machine, conditions: Conditions, here: Machine, now: Conditions
) -> tuple[Change, ...]:
    """Return what is different between where a verdict was reached and here; nothing where the former is not known."""
    return tuple(_changes(provider, machine, conditions, here, now)) if machine.onnxruntime else ()


def recertifications(source: Bundle, variant: str, provider: str) -> list[Recertification]:
    """Return what was found for exactly this bundle on any machine; files that cannot be read are left out."""
    found = []
    for path in sorted(_folder(source.folder).glob(f"{variant}-{provider}-*.json")):
        try:
            record = from_plain(Recertification, json.loads(path.read_bytes()))
        except (OSError, ValueError, RecursionError, UsageError):
            continue  # as if it were not there: whoever needs it is asked to make it again
        if (record.bundle_sha256, record.variant, record.provider) == (source.digest, variant, provider):
            found.append(record)
    return found


def save(source: Bundle, record: Recertification) -> Path:
    """Write what was found beside the bundle, over an older finding of the same place; return the file."""
    place = files.sha256(files.render_json(to_plain([record.machine, record.conditions])))
    path = _folder(source.folder) / f"{record.variant}-{record.provider}-{place[:12]}.json"
    try:
        path.parent.mkdir(exist_ok=True)
        files.write_json(path, to_plain(record))
    except OSError as error:
        raise BundleError(
            f"{path.parent}: cannot be written ({error.strerror}); copy the bundle to a place that can be"
        ) from None
    return path


def command(folder: Path, provider: str) -> str:
    """Return the two commands, with the pipeline and without, that certify a bundle on this machine."""
    return f"pipeline verify {folder} --provider {provider} (python -m deploy.recertify {folder} --provider {provider})"


def _folder(bundle: Path) -> Path:
    bundle = bundle.resolve()
    return bundle.with_name(f"{bundle.name}.recertified")


def _changes(
    provider: str, machine: Machine, conditions: Conditions, here: Machine, now: Conditions
) -> Iterator[Change]:
    yield from _versions("ONNX Runtime", machine.onnxruntime, here.onnxruntime, parts=2)
    yield from _plain("build of ONNX Runtime", machine.build, here.build)
    if provider == "cuda":
        if machine.gpu != here.gpu:
            yield Change(True, f"GPU {machine.gpu or 'unknown'}, here {here.gpu or 'unknown'}")
        yield from _versions("driver", machine.driver, here.driver, parts=1)
        yield from _versions("cuDNN", machine.cudnn, here.cudnn, parts=2)
    else:
        for name in ("system", "cpu", "instructions"):
            yield from _plain(name, getattr(machine, name), getattr(here, name))
    yield from _plain("optimization", conditions.optimization, now.optimization)
    options = conditions.provider_options, now.provider_options
    for key in sorted((options[0].keys() | options[1].keys()) - _HARMLESS):
        yield from _plain(key, options[0].get(key, ""), options[1].get(key, ""))


def _versions(name: str, then: str, now: str, *, parts: int) -> Iterator[Change]:
    """Yield a change of version, a grave one when it is in the first `parts` numbers."""
    if then != now:
        grave = then.split(".")[:parts] != now.split(".")[:parts]
        yield Change(grave, f"{name} {then or 'unknown'}, here {now or 'unknown'}")


def _plain(name: str, then: str, now: str) -> Iterator[Change]:
    if then != now:
        yield Change(False, f"{name} {then or 'unknown'}, here {now or 'unknown'}")


def _reason(provider: str, providers: tuple[str, ...], found: list[tuple[Change, ...]]) -> str:
    """Return why no certification holds: whom it lacks, or what is different from the nearest one."""
    lacking = "" if provider in providers else f"certified on {', '.join(providers) or 'nothing'}, not on {provider}"
    if not found:
        return lacking
    nearest = min(found, key=lambda different: sum(change.grave for change in different))
    grave = "; ".join(change.words for change in nearest if change.grave)
    if lacking:
        return f"{lacking}; what was recertified beside it is another machine's ({grave})"
    return f"certified for another place ({grave})"

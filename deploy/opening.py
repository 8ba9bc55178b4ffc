"""From a folder to what may be opened: the bundle, checked, its model's bytes, and whether the verdict holds here."""

from pathlib import Path

from deploy import bundle, expiry, files
from deploy.bundle import Bundle, Signature, TensorSpec
from deploy.errors import BundleError, UsageError
from deploy.providers import Provider, Session
from deploy.rows import fixed_batch, freed


def find_bundle(reference: Path | str) -> Path:
    """Return the bundle's folder for a bundle or for a run folder that holds one; a registry reference is explained."""
    text = str(reference)
    if text.startswith(("models:", "runs:")):
        raise UsageError(
            f"{text}: deploy reads folders only; use pipeline serve or pipeline predict, or download it: "
            f"mlflow artifacts download --artifact-uri {text}"
        )
    folder = Path(reference)
    for candidate in (folder, folder / "package" / "bundle", folder / "bundle"):
        if (candidate / bundle.MANIFEST).exists():
            return candidate
    return folder


def checked_bundle(folder: Path, trusted_key: Path | str | None, *, unverified: bool) -> Bundle:
    """Return the checked bundle, and be sure that what was read is what was signed, if a key is given."""
    if trusted_key is None:
        return bundle.load(folder, unverified=unverified)
    from deploy import signing  # here, because only signed bundles need it

    signed = signing.check(folder, trusted_key)
    source = bundle.load(folder, unverified=unverified)
    if signed != source.manifest.files | {bundle.MANIFEST: source.digest}:
        raise BundleError(
            f"{folder}: holds files that are signed, but not listed in the manifest, or changed; fetch the bundle again"
        )
    return source


def require_named(source: Bundle, variant: str, provider: Provider) -> None:
    """Raise, before any session is opened, when nobody ever certified the model on the provider."""
    providers = source.variant(variant).passport.providers
    if provider not in providers and not expiry.recertifications(source, variant, provider):
        raise UsageError(
            f"replay=False: the passport covers {', '.join(providers) or 'no provider'}, not {provider}; "
            f"recertify it first: {expiry.command(source.folder, provider)}"
        )


def require_certified(source: Bundle, variant: str, session: Session, *, replay: bool, unverified: bool) -> None:
    """Raise unless the verdict holds on this machine and provider, as it stands or with a replay of the samples."""
    try:
        changes = expiry.require(source, variant, session)
    except BundleError as error:
        if not unverified:
            raise
        warn(source, str(error))
        return
    if changes and not replay and not unverified:
        words = "; ".join(change.words for change in changes)
        raise UsageError(f"replay=False: the bundle was certified elsewhere ({words}); leave the replay on")


def warn(source: Bundle, words: str) -> None:
    """Log a warning about a bundle."""
    import logging  # here, because it is rare

    logging.getLogger("deploy").warning("%s: %s", source.folder, words)


def verified_bytes(source: Bundle, variant: str) -> bytes:
    """Return the bytes of a variant's model, as `verified_file` does."""
    return verified_file(source, source.variant(variant).file)


def verified_file(source: Bundle, name: str) -> bytes:
    """Return a file's bytes, with the digest taken of exactly these: the file may change after it was checked."""
    path = source.folder / name
    data = path.read_bytes()
    if files.sha256(data) != source.manifest.files[path.name]:
        raise BundleError(f"{path}: changed while it was loaded; load it again")
    return data


def require_tensors(source: Bundle, session: Session) -> None:
    """Check that the graph has the inputs and outputs that the manifest states."""
    taken, answered = tensors_of(source)
    pairs = (("input", taken, session.inputs), ("output", answered, session.outputs))
    for side, signature, specs in pairs:
        found = {spec.name: spec for spec in specs}
        for spec in signature.tensors:
            there = found.pop(spec.name, None)
            if there is None or _form(there) != _form(spec):
                words = f"{there.dtype} {there.shape}" if there else "nothing"
                raise BundleError(
                    f"{source.folder}: {side} {spec.name!r} is {spec.dtype} {spec.shape} in the manifest and {words} "
                    "in the model; package the model again: pipeline package"
                )
        if found:
            raise BundleError(
                f"{source.folder}: the model has {side}s that the manifest lacks: {', '.join(found)}; "
                "package the model again: pipeline package"
            )


def tensors_of(source: Bundle) -> tuple[Signature, Signature]:
    """Return inputs and outputs as callers see them: where the file has a fixed batch, any number of rows is taken."""
    taken, answered = source.manifest.input, source.manifest.output
    if fixed_batch(taken.tensors, answered.tensors) is None:
        return taken, answered
    return freed(taken), freed(answered)


def _form(spec: TensorSpec) -> tuple[str, tuple[int | None, ...]]:
    """Return dtype and sizes; what a free size is called does not matter."""
    return spec.dtype, tuple(size if isinstance(size, int) else None for size in spec.shape)

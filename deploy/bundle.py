"""The bundle: one folder with a verified model and all that is needed to use it. This file owns its schema.

    manifest.json   this schema, as JSON; carries the SHA-256 of every other file and, last, of itself
    model.onnx      fp32, self-contained; model.<variant>.onnx for others, each with its own passport
    pre.onnx, net.onnx   the same graph cut at the tensor `preprocessed`
    samples.npz     golden inputs and outputs, replayed at load
    README.md       the model card
    model.sig       optional: a signature over all of the above (`deploy.signing`)

Any changed byte, in any of the files, is a `BundleError`. Older schemas are read; a newer one is refused with words.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deploy import files
from deploy.errors import BundleError, NotFoundError, UsageError
from deploy.passport import Passport
from deploy.schema import from_plain, to_plain

SCHEMA = 2  # 1 had shorter passports
MANIFEST = "manifest.json"
SAMPLES = "samples.npz"
UNNAMED = "?"
"""A free size without a name; sizes of one name are equal, of these each is its own."""


@dataclass(frozen=True)
class TensorSpec:
    """One tensor: numpy dtype name, shape with names for free sizes, closed range and unit of its values."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]
    range: tuple[float, float] | None = None
    unit: str = ""


@dataclass(frozen=True)
class Signature:
    """What goes in or comes out: a *kind* that `deploy.inputs` or `deploy.outputs` knows, and its tensors in order.

    options    what the kind needs besides to read or show them, as JSON values: a threshold, the form of a poem
    """

    kind: str
    tensors: tuple[TensorSpec, ...]
    labels: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Variant:
    """One form of the model (fp32, later fp16 or int8): its file and the passport of exactly that file."""

    file: str
    passport: Passport


@dataclass(frozen=True)
class Cut:
    """The graph in two files that meet at one tensor: pictures are preprocessed alone, and share a batch after it."""

    tensor: str
    pre: str
    net: str


@dataclass(frozen=True)
class Manifest:
    """What a bundle is; `files` maps every other file's name to its SHA-256."""

    name: str
    version: str
    input: Signature
    output: Signature
    variants: dict[str, Variant]
    files: dict[str, str]
    cut: Cut | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    schema: int = SCHEMA


@dataclass(frozen=True)
class Bundle:
    """A checked bundle on disk; `digest` is the SHA-256 of the manifest and, through it, of everything in it."""

    folder: Path
    manifest: Manifest
    digest: str

    def model_path(self, variant: str = "fp32") -> Path:
        """Return the path of one variant's model file."""
        return self.folder / self.variant(variant).file

    def variant(self, name: str) -> Variant:
        """Return one variant; an unknown name is a `UsageError` with the choices."""
        try:
            return self.manifest.variants[name]
        except KeyError:
            choices = ", ".join(sorted(self.manifest.variants))
            raise UsageError(f"variant {name!r}: not in this bundle; choose from: {choices}") from None


def load(folder: Path | str, *, unverified: bool = False) -> Bundle:
    """Read a bundle and check every digest and every variant's passport.

    `unverified` skips the passports (never the digests): for looking at a model that failed. Raises `NotFoundError`
    when there is no bundle, `BundleError` for one that is damaged, unverified or newer than this reader.
    """
    folder = Path(folder)
    plain, digest = _read_manifest(folder / MANIFEST)
    try:
        manifest = from_plain(Manifest, plain)
    except UsageError as error:
        raise BundleError(f"{folder / MANIFEST}: not a manifest of schema {SCHEMA}: {error}") from None
    _check_files(folder, manifest)
    if not unverified:
        for name, variant in manifest.variants.items():
            try:
                variant.passport.require(manifest.files[variant.file])
            except BundleError as error:
                raise BundleError(f"{folder} ({name}): {error}") from None
    return Bundle(folder, manifest, digest)


@contextmanager
def writing(folder: Path, manifest: Manifest) -> Iterator[Path]:
    """Yield a temporary folder to put the files in; when the block ends, digests are added and the bundle appears.

    `manifest.files` is filled in here. The bundle is loaded with all its checks before it takes its name, so what
    `load` would refuse (no passing passport, a missing file) is never written.
    """
    with files.replaced_folder(folder) as temporary:
        yield temporary
        names = sorted(path.name for path in temporary.iterdir())
        digests = {name: files.sha256_file(temporary / name) for name in names}
        body = to_plain(manifest) | {"files": digests, "schema": SCHEMA}
        sealed = body | {"sha256": files.sha256(files.render_json(body))}
        files.write_bytes(temporary / MANIFEST, files.render_json(sealed))
        load(temporary)


def _read_manifest(path: Path) -> tuple[dict[str, Any], str]:
    """Return the manifest's JSON object without its own digest, and the file's; every byte must be as written."""
    try:
        raw = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise NotFoundError(
            f"{path.parent}: no bundle there ({MANIFEST} is missing); make one: pipeline package"
        ) from None
    except OSError as error:
        raise BundleError(f"{path}: cannot be read ({error.strerror}); look at its permissions") from None
    damaged = BundleError(f"{path}: damaged (its bytes do not match its own digest); copy the bundle again")
    try:
        plain = json.loads(raw)
    except (ValueError, RecursionError):
        raise damaged from None
    if not isinstance(plain, dict):
        raise damaged
    schema = plain.get("schema")
    if isinstance(schema, int) and schema > SCHEMA:
        raise BundleError(
            f"{path}: schema {schema} is newer than this onnxway reads ({SCHEMA}); upgrade: pip install -U onnxway"
        )
    digest = plain.pop("sha256", None)
    try:
        sealed = digest == files.sha256(files.render_json(plain))
        intact = sealed and raw == files.render_json(plain | {"sha256": digest})
    except ValueError:  # NaN, or half a surrogate pair: JSON reads what it would not write
        raise damaged from None
    if not intact:
        raise damaged
    return plain, files.sha256(raw)


def _check_files(folder: Path, manifest: Manifest) -> None:
    for name, expected in manifest.files.items():
        path = folder / name
        if path.name != name or path.is_symlink() or (path.exists() and not path.is_file()):
            raise BundleError(f"{folder}: {name!r} is not a plain file of the bundle; nothing outside it is read")
        try:
            found = files.sha256_file(path)
        except FileNotFoundError:
            raise BundleError(f"{path}: missing, and the manifest lists it; copy the bundle again") from None
        except OSError as error:
            raise BundleError(f"{path}: cannot be read ({error.strerror}); look at its permissions") from None
        if found != expected:
            raise BundleError(
                f"{path}: SHA-256 is {found[:12]}..., the manifest says {expected[:12]}...; copy the bundle again"
            )
    named = [v.file for v in manifest.variants.values()] + (
        [manifest.cut.pre, manifest.cut.net] if manifest.cut else []
    )
    for name in named:
        if name not in manifest.files:
            raise BundleError(f"{folder / MANIFEST}: uses {name!r} without a digest for it; package the model again")

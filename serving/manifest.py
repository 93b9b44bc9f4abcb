"""A bundle's manifest and seal: what lies in the folder, and whether it is all there and unchanged.

``manifest.json`` names every file with its size and SHA-256, and ``manifest.sha256`` (as ``sha256sum`` writes it)
guards the manifest, so that a changed, missing, added or cut file anywhere is noticed and named.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from commerce.durable import flush_tree
from configs.errors import InputError
from serving.parts import bytes_by_part
from serving.signature import SIGNATURE, check_signature, sign

FORMAT = 2
"""Version of the bundle's layout; a runtime reads this one only. It rises where an older runtime would misread a new
bundle, or a newer one an old bundle; what is merely added has a default for bundles that lack it."""
MANIFEST = "manifest.json"
SEAL = "manifest.sha256"


class BundleError(InputError):
    """A bundle that is damaged, incomplete or of another format; the message names the file and what to do."""


def seal(folder: Path, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Write the manifest of everything in ``folder``, its seal, its signature where asked, and flush all of it to disk.

    Args:
        folder: the bundle's folder, complete but for the manifest.
        facts: what else the manifest says; JSON values.

    Returns: the manifest.
    """
    for old in (MANIFEST, SEAL, SIGNATURE):
        (folder / old).unlink(missing_ok=True)
    files: dict[str, dict[str, Any]] = {
        name: {"bytes": path.stat().st_size, "sha256": sha256(path)} for name, path in _files(folder).items()
    }
    parts = bytes_by_part({name: file["bytes"] for name, file in files.items()})
    manifest = {"format": FORMAT, **facts, "parts": parts, "files": files}
    (folder / MANIFEST).write_text(json.dumps(manifest, ensure_ascii=False, indent=1), encoding="utf-8")
    (folder / SEAL).write_text(_seal_text(folder / MANIFEST), encoding="utf-8")
    sign(folder / MANIFEST)
    flush_tree(folder)
    return manifest


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of the bundle in ``folder``, once its seal and format are found right.

    Raises:
        BundleError: if there is no bundle, the manifest was changed, or its format is another.
        SignatureError: if it must be signed and is not, or not by the right key.
    """
    if not folder.is_dir():
        raise BundleError(f"there is no bundle {folder}; make one with `mercato export CONFIG`")
    for name in (MANIFEST, SEAL, SIGNATURE):
        if (folder / name).is_symlink():
            raise BundleError(f"{folder}: {name} is a link, but a bundle holds files alone; copy or export it again")
    for name in (MANIFEST, SEAL):
        if not (folder / name).is_file():
            raise BundleError(f"{folder} has no {name}, so it is no whole bundle; copy or export it again")
    if (folder / SEAL).read_bytes() != _seal_text(folder / MANIFEST).encode():
        raise BundleError(f"{folder}: {MANIFEST} does not match {SEAL}, so one was changed; copy or export it again")
    check_signature(folder / MANIFEST)
    manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    if manifest.get("format") != FORMAT:
        raise BundleError(
            f"{folder}: {MANIFEST} says bundle format {manifest.get('format')}, but this version of Mercato reads "
            f"format {FORMAT}; install the version that made it or export the bundle again"
        )
    return manifest


def check_files(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Compare every file of the bundle with the manifest: presence, size, then SHA-256.

    Raises:
        BundleError: naming the first file that is missing, added, of another size, changed, or no file but a link.
    """
    expected: Mapping[str, Mapping[str, Any]] = manifest["files"]
    _refuse_links(folder)
    found = {name: path for name, path in _files(folder).items() if name not in (MANIFEST, SEAL, SIGNATURE)}
    for name in expected:
        if name not in found:
            raise BundleError(f"{folder}: file {name} is missing; copy or export the bundle again")
    for name in found:
        if name not in expected:
            raise BundleError(f"{folder}: file {name} is not in the manifest; remove it or export the bundle again")
    for name, facts in expected.items():
        size = found[name].stat().st_size
        if size != facts["bytes"]:
            raise BundleError(
                f"{folder}: file {name} has {size:,} bytes, but the manifest says {facts['bytes']:,}; "
                "copy or export the bundle again"
            )
    for name, facts in expected.items():
        if sha256(found[name]) != facts["sha256"]:
            raise BundleError(
                f"{folder}: file {name} was changed (its SHA-256 differs); copy or export the bundle again"
            )


def bundle_id(folder: Path) -> str:
    """Return twelve hex digits that name the bundle in logs: the head of its manifest's SHA-256."""
    return sha256(folder / MANIFEST)[:12]


def sha256(path: Path) -> str:
    """Return the hex SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _seal_text(manifest: Path) -> str:
    return f"{sha256(manifest)}  {manifest.name}\n"


def _refuse_links(folder: Path) -> None:
    """Raise BundleError for a link, a pipe or a device in the bundle: what it gives may change, or lie elsewhere.

    The bundle's own folder may be reached by a link.
    """
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not (path.is_dir() or path.is_file()):
            kind = f"a link to {os.readlink(path)}" if path.is_symlink() else "no file"
            raise BundleError(
                f"{folder}: {path.relative_to(folder).as_posix()} is {kind}, but a bundle holds files alone; copy the "
                "bundle with what its links point at, or export it again"
            )


def _files(folder: Path) -> dict[str, Path]:
    """Return everything in ``folder`` that is not a folder, by its path with forward slashes, sorted."""
    return {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if not path.is_dir()}

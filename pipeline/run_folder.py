"""The run folder: one folder a stage, each whole or absent.

A stage writes into a temporary folder; its manifest (key, inputs, outputs with hashes) is written last, everything
is fsynced, and the folder is renamed into place. So a folder with its final name is complete, always.
A long stage may keep checkpoints in ``scratch``, which survives a cut-off and is removed on success.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from commerce.durable import replace_folder, write_atomic
from configs.errors import InputError

MANIFEST = "manifest.json"
FORMAT = 1


@dataclass(frozen=True)
class RunFolder:
    """Paths of one run."""

    root: Path
    verb: str = "run"
    """``mercato``'s verb that runs all of its stages; those of ``run`` have verbs of their own too."""

    def stage(self, name: str) -> Path:
        """Return the finished folder of a stage.

        Raises:
            InputError: if that stage has not finished in this run.
        """
        folder = self.root / name
        if not (folder / MANIFEST).is_file():
            verbs = (name, self.verb) if self.verb == "run" else (self.verb,)
            raise InputError(
                f"{folder} is not there; run {' or '.join(f'`mercato {verb} CONFIG`' for verb in verbs)} first"
            )
        return folder

    def scratch(self, name: str, key: str) -> Path:
        """Return a folder for a stage's checkpoints; those of another key are removed first."""
        folder = self.root / "scratch" / name
        note = folder / "key"
        if folder.exists() and (not note.is_file() or note.read_text() != key):
            shutil.rmtree(folder)
        if not folder.exists():
            folder.mkdir(parents=True)
            write_atomic(note, key)
        return folder

    def has_scratch(self, name: str, key: str) -> bool:
        """Return whether ``scratch`` was called with this key."""
        note = self.root / "scratch" / name / "key"
        return note.is_file() and note.read_text() == key

    def manifest(self, name: str) -> dict[str, Any] | None:
        """Return the manifest of a finished stage, None before it has finished."""
        path = self.root / name / MANIFEST
        if not path.is_file():
            return None
        manifest: dict[str, Any] = json.loads(path.read_text())
        return manifest

    def open_temporary(self, name: str) -> Path:
        """Return an empty folder for a stage to write into, removing what a cut-off run left there."""
        folder = self.temporary(name)
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True)
        return folder

    def temporary(self, name: str) -> Path:
        """Return where a stage's files lie while it runs."""
        return self.root / f".{name}.tmp"

    def commit(self, name: str, temporary: Path, manifest: dict[str, Any]) -> Path:
        """Seal ``temporary`` with ``manifest`` (output hashes are added) and put it in the stage's place."""
        outputs = {
            str(path.relative_to(temporary)): {"sha256": sha256(path), "bytes": path.stat().st_size}
            for path in sorted(temporary.rglob("*"))
            if path.is_file()
        }
        (temporary / MANIFEST).write_text(json.dumps({**manifest, "outputs": outputs}, indent=1, ensure_ascii=False))
        final = self.root / name
        replace_folder(temporary, final)
        shutil.rmtree(self.root / "scratch" / name, ignore_errors=True)
        return final


def sha256(path: Path) -> str:
    """Return the hex SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

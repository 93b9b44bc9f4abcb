"""Whether a bundle is whole and answers as it did when it was made, on this machine."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from serving.golden import Replay, replay
from serving.manifest import MANIFEST, bundle_id, check_files, read_manifest
from serving.parts import bytes_by_part
from serving.signature import check_signature


@dataclass(frozen=True)
class Report:
    """What was checked, all of it found right."""

    folder: Path
    bundle: str
    """Twelve hex digits that name the bundle."""
    files: int
    bytes: int
    items: int
    golden: Replay
    signed: bool
    """Whether its signature was checked, and right."""
    personalised: bool
    """Whether it was made from a log."""
    seconds: float
    parts: dict[str, int]
    """Bytes of each part."""
    precisions: dict[str, str]
    """fp32 or int8, by graph."""


def verify(folder: str | Path) -> Report:
    """Check every file's hash, then replay the golden requests.

    Raises:
        BundleError: for any damage, naming the file, and for any answer that is not the golden one.
    """
    started = time.perf_counter()
    folder = Path(folder)
    manifest = read_manifest(folder)
    check_files(folder, manifest)
    from serving.models import GRAPHS
    from serving.runtime import Runtime  # a damaged bundle is refused before faiss and onnxruntime are loaded

    runtime = Runtime(folder, check=False, beside=False)
    golden = replay(runtime, manifest["golden"])
    return Report(
        folder,
        bundle_id(folder),
        len(manifest["files"]),
        sum(file["bytes"] for file in manifest["files"].values()),
        runtime.items,
        golden,
        check_signature(folder / MANIFEST),
        runtime.personalised,
        time.perf_counter() - started,
        bytes_by_part({name: file["bytes"] for name, file in manifest["files"].items()}),
        {
            GRAPHS[part]: facts.get("precision", "fp32")
            for part, facts in manifest["models"].items()
            if part in GRAPHS and facts
        },
    )

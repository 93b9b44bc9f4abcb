"""Export: the sealed bundle for the serving team, and beside it a plain export for anybody.

Both are written into temporary folders, flushed and renamed, so half a bundle never exists. Before that, the bundle
has to answer its own golden requests as the torch modules did.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from commerce.durable import replace_folder, write_atomic
from configs.schema import ExportConfig
from pipeline.bundle import BundleSource, write_bundle
from pipeline.cards.write import CARDS, write_cards
from pipeline.plain_export import write_plain
from pipeline.stage import Outcome, Work
from serving.golden import Shaken, golden_requests, record
from serving.manifest import bundle_id, seal
from serving.runtime import Runtime
from serving.user_keys import KEY_FILE, key_from
from serving.verify import Report, verify

BUNDLE, PLAIN = "bundle", "plain"
GOLDEN_DRAWS = 5
"""Draws from which a golden request whose answer does not hang on rounding is taken."""
GOLDEN_RERANKED = 12
"""Golden requests that the reranker answers too, every kind twice: it takes longer than all else in ``verify``."""


def export(work: Work) -> Outcome:
    """Write, prove and publish the bundle and the plain export."""
    settings = work.config.export
    root = work.run.root
    key, made = user_key(settings, root) if settings.include_histories else (None, [])
    source = BundleSource.open(work.run, work.config)
    return publish(work, source, lambda folder: write_bundle(folder, source, key), made)


def publish(work: Work, source: BundleSource, write: Callable[[Path], dict[str, Any]], lines: Sequence[str]) -> Outcome:
    """Write the bundle, let it answer its golden requests, and put it and the plain export in place.

    Args:
        work: of the stage.
        source: the run.
        write: fills a folder with everything but the manifest, and returns what that is to say.
        lines: to be said first.
    """
    root = work.run.root
    with _temporary(root, BUNDLE) as bundle, _temporary(root, PLAIN) as plain:
        facts = write(bundle)
        write_cards(bundle, work.run, work.config, facts)
        _add_golden(bundle, source, facts, work.config.run.seed)
        report = verify(bundle)
        write_plain(plain, source.item_ids, source.item_vectors, bundle / "index")
        replace_folder(bundle, root / BUNDLE)
        replace_folder(plain, root / PLAIN)
    for name in CARDS:
        write_atomic(root / name, (root / BUNDLE / name).read_text(encoding="utf-8"))
    (work.out / "export.json").write_text(json.dumps({"bundle": report.bundle, "bytes": report.bytes}, indent=1))
    files = [path for name in (BUNDLE, PLAIN) for path in sorted((root / name).rglob("*")) if path.is_file()]
    files += [root / name for name in CARDS]
    return Outcome([*lines, *_lines(root, report, facts)], published=files)


def user_key(settings: ExportConfig, root: Path) -> tuple[bytes, list[str]]:
    """Return the key of the user-id hashes, and what to say about it.

    Where the environment has none, one is made once and kept beside the bundle, readable by its owner only.
    """
    key = key_from(settings.hash_key_variable, root)
    if key is not None:
        return key, []
    path = root / KEY_FILE
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(secrets.token_hex(32) + "\n")
    made = key_from(settings.hash_key_variable, root)
    assert made is not None
    return made, [
        f"{settings.hash_key_variable} is not set, so a key for the user ids was made: {path}. Keep it secret and "
        f"apart from the bundle; a serving machine needs it as {settings.hash_key_variable}"
    ]


def _add_golden(bundle: Path, source: BundleSource, facts: dict[str, object], seed: int) -> None:
    """Let the torch modules answer the golden requests, and seal the bundle with the answers."""
    settings = source.config.export
    manifest = seal(bundle, {**facts, "golden": []})
    draws = [
        golden_requests(
            settings.golden_requests,
            source.item_ids,
            source.config.towers.history_length,
            int(manifest["window"]["end"]),
            settings.top,
            seed + draw,
        )
        for draw in range(GOLDEN_DRAWS)
    ]
    models = source.torch_models()
    runtime, shaken = (Runtime(bundle, check=False, models=used) for used in (models, Shaken(models)))
    seal(bundle, {**facts, "golden": record(runtime, shaken, draws, GOLDEN_RERANKED)})


@contextmanager
def _temporary(root: Path, name: str) -> Iterator[Path]:
    """Give an empty folder beside the final one; whatever is left of it is removed."""
    folder = root / f".{name}.tmp"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _lines(root: Path, report: Report, facts: dict[str, Any]) -> list[str]:
    golden = report.golden
    order = f"the reranker in {golden.reranked} of them"
    if facts["models"]["reranker"] is None:
        order = "without a reranker: the gate stayed shut" if facts["personalised"] else "unpersonalised: no log"
    return [
        f"{root / BUNDLE}: bundle {bundle_id(root / BUNDLE)}, {report.files} files, {report.bytes / 1e6:,.1f} MB, "
        f"{report.items:,} items",
        f"  verified in {report.seconds:.1f} s: {golden.requests} golden requests ({order}), lowest cosine to torch "
        f"{golden.lowest_cosine:.7f}, largest score difference {golden.largest_difference:.1e}",
        f"{root / PLAIN}: index, ids and vectors for anybody; python {root / PLAIN / 'read.py'} ITEM_ID",
        f"{' and '.join(str(root / name) for name in CARDS)}: what was measured, on what, and what was not",
    ]

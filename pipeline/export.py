"""Export: the sealed bundle for the serving team, and beside it a plain export for anybody.

Both are written into temporary folders, flushed and renamed, so half a bundle never exists. Before that, the bundle
has to answer its own golden requests as the torch modules did.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from commerce.durable import replace_folder, write_atomic
from pipeline.audit import audit_export, passed
from pipeline.bundle import write_bundle
from pipeline.bundle_source import BundleSource
from pipeline.cards.write import CARDS, write_cards
from pipeline.forgotten import check_bundle, listed, refuse_unfinished
from pipeline.plain_export import write_plain
from pipeline.precision import Shipped, told
from pipeline.stage import Outcome, Work
from pipeline.user_hashes import user_key
from serving.golden import Shaken, golden_requests, record
from serving.manifest import bundle_id, seal
from serving.models import OnnxModels
from serving.parts import parts_line
from serving.rights import OPT_OUT, ListFile, digests_text
from serving.runtime import Runtime
from serving.user_keys import digest
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
    key, made = None, list[str]()
    if settings.include_histories or settings.opt_out:
        key, made = user_key(settings.hash_key_variable, root)
    source = BundleSource.open(work.run, work.config)
    shipped = key if settings.include_histories else None
    return publish(work, source, lambda folder: write_bundle(folder, source, shipped), made)


def publish(work: Work, source: BundleSource, write: Callable[[Path], dict[str, Any]], lines: Sequence[str]) -> Outcome:
    """Write the bundle, let it answer its golden requests, and put it and the plain export in place.

    Args:
        work: of the stage.
        source: the run.
        write: fills a folder with everything but the manifest, and returns what that is to say.
        lines: to be said first.
    """
    root = work.run.root
    refuse_unfinished(root)
    with _temporary(root, BUNDLE) as bundle, _temporary(root, PLAIN) as plain:
        facts = write(bundle)
        _write_opt_out(bundle, work)
        write_cards(bundle, work.run, work.config, facts)
        _add_golden(bundle, source, facts, work.config.run.seed)
        report = verify(bundle)
        write_plain(plain, source.item_ids, source.item_vectors, bundle / "index")
        listed(root, work.config.export.hash_key_variable)  # refuses another key, by which nobody would be found
        forgotten = check_bundle(root, _users_of(bundle), report.bundle)
        found = audit_export(work.run, bundle, work.config.text.terms_min_users)
        findings = passed(found, work.config.export.audit)
        replace_folder(bundle, root / BUNDLE)
        replace_folder(plain, root / PLAIN)
    for name in CARDS:
        write_atomic(root / name, (root / BUNDLE / name).read_text(encoding="utf-8"))
    (work.out / "export.json").write_text(json.dumps({"bundle": report.bundle, "bytes": report.bytes}, indent=1))
    files = [path for name in (BUNDLE, PLAIN) for path in sorted((root / name).rglob("*")) if path.is_file()]
    files += [root / name for name in CARDS]
    return Outcome([*lines, *_lines(root, report, facts), *findings, *forgotten], published=files)


def _write_opt_out(bundle: Path, work: Work) -> None:
    """Put those who asked not to be profiled on a list in the bundle, where ``export.opt_out`` names them."""
    settings = work.config.export
    if settings.opt_out:
        key, _ = user_key(settings.hash_key_variable, work.run.root)
        digests = {digest(key, line) for line in ListFile(Path(settings.opt_out)).lines()}
        (bundle / OPT_OUT).write_text(digests_text(digests, key), encoding="utf-8")


def _users_of(bundle: Path) -> set[bytes]:
    """Return the keyed hashes of the users in a bundle."""
    path = bundle / "users" / "digests.npy"
    return {row.tobytes() for row in np.load(path)} if path.is_file() else set()


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
    graphs = OnnxModels(bundle, manifest["models"], 1)
    models = Shipped(source.torch_models(), graphs, manifest["models"])
    runtime, shaken = (Runtime(bundle, check=False, models=used, beside=False) for used in (models, Shaken(models)))
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
        *(f"  {line}" for line in told(facts["models"])),
        "  " + parts_line(report.parts),
        f"{root / PLAIN}: index, ids and vectors for anybody; python {root / PLAIN / 'read.py'} ITEM_ID",
        f"{' and '.join(str(root / name) for name in CARDS)}: what was measured, on what, and what was not",
    ]

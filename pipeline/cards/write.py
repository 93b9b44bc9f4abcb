"""Both cards into a bundle that is about to be sealed, so that they travel with it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from commerce.records import Requests
from configs.schema import Config
from pipeline.asked import WINDOW
from pipeline.cards.data_card import data_card
from pipeline.cards.model_card import model_card
from pipeline.cards.untested import Tested, untested
from pipeline.run_folder import RunFolder
from retrieval.index_folder import read_facts
from retrieval.promise import said
from retrieval.recall import Recall

CARDS = ("model_card.md", "data_card.md")


def write_cards(folder: Path, run: RunFolder, config: Config, facts: Mapping[str, Any]) -> None:
    """Write ``model_card.md`` and ``data_card.md`` into ``folder``.

    Args:
        folder: the bundle's, not sealed yet.
        run: that it is made from.
        config: of the run.
        facts: what its manifest is to say.
    """
    metrics, gate, asked = {}, None, None
    if not config.data.items_only:
        metrics = json.loads((run.root / "metrics.json").read_text(encoding="utf-8"))
        gate = json.loads((run.stage("train-ranker") / "gate.json").read_text(encoding="utf-8"))
        asked = Requests.read(run.stage("prepare") / "requests.parquet").of(WINDOW)
    missing = untested(Tested(config, metrics, asked, facts["models"]["reranker"] is not None))
    texts = (model_card(facts, metrics, gate, _index(run), missing), data_card(run, config, facts))
    for name, text in zip(CARDS, texts, strict=True):
        (folder / name).write_text(text, encoding="utf-8")


def _index(run: RunFolder) -> list[str]:
    """Say how the index keeps its promise."""
    facts, shards = read_facts(run.stage("index"))
    if shards is not None:
        recall = Recall(**shards["validation"])
        return [
            f"{shards['items']:,} items in {shards['shards']} shards; recall@{shards['promise']['at_k']} "
            f"{recall.mean:.4f} (at least {recall.low:.4f}) of the whole on {recall.queries:,} queries, for a promise "
            f"of {shards['promise']['target_recall']:g}"
        ]
    if "promise" not in facts:
        return [f"exact: {facts['items']:,} items, every one of them compared"]
    return [f"{facts['items']:,} items; {said(facts['promise'])}"]

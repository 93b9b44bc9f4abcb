"""Adapt the text encoder to the shop's own texts, before anything is trained with it; off unless asked for."""

from __future__ import annotations

import json
import time
from typing import Any

import numpy as np

from commerce.splits import WINDOWS
from pipeline.shop_texts import ShopTexts
from pipeline.stage import Outcome, Work


def adapt(work: Work) -> Outcome:
    """Write the adapted encoder and a summary; with ``text.adapt_steps: 0`` the summary alone.

    It learns from texts of items, and queries, that were known before the ranker window.
    """
    if not work.config.text.adapt_steps:
        _summarise(work, {"steps": 0})
        return Outcome(["text.adapt_steps is 0: texts are read by the encoder as it is"])
    # torch comes with them, which takes seconds, and a stage that is off is to take none.
    from learning.adaptation import adapt_encoder
    from pipeline.encoders import ADAPTED, named_encoder, write_tuned

    started = time.perf_counter()
    folder = named_encoder(work.run, work.config.text)
    items, queries = _known(work)
    texts = [folder.item_prefix + text for text in items if text] + [folder.query_prefix + text for text in queries]
    adapted = adapt_encoder(folder, texts, work.config.text, work.config.run.seed, work.scratch())
    write_tuned(adapted.encoder, folder, work.out / ADAPTED)
    told = {
        "steps": work.config.text.adapt_steps,
        "texts": adapted.texts,
        "held_out_texts": adapted.held_out,
        "loss_before": adapted.before,
        "loss_after": adapted.after,
        "new_head": adapted.new_head,
        "seconds": round(time.perf_counter() - started, 1),
    }
    _summarise(work, told)
    chance = " (by a head made anew)" if adapted.new_head else ""
    return Outcome(
        [
            f"encoder adapted to {adapted.texts:,} texts in {work.config.text.adapt_steps:,} steps: cross-entropy of "
            f"hidden tokens in {adapted.held_out:,} others {adapted.before:.3f}{chance} -> {adapted.after:.3f} nats"
        ]
    )


def _known(work: Work) -> tuple[list[str], list[str]]:
    """Return texts of items, and queries, from before the ranker window."""
    from pipeline.tower_inputs import Prepared

    prepared = Prepared.open(work.run.stage("prepare"))
    windows = json.loads((prepared.folder / "windows.json").read_text())["windows"]
    with np.load(prepared.folder / "availability.npz") as availability:
        available_from = availability["from"]
    texts = ShopTexts(prepared.item_texts, prepared.query_texts)
    return texts.known_before(prepared.histories, prepared.cuts, available_from, windows[WINDOWS[0]]["from"])


def _summarise(work: Work, told: dict[str, Any]) -> None:
    (work.out / "summary.json").write_text(json.dumps(told, indent=1))

"""Write the vectors of all items, and of the user behind each request of the ranker, validation and test windows."""

from __future__ import annotations

import numpy as np

from commerce.records import Requests
from commerce.splits import WINDOWS
from pipeline.encoders import towers_encoder
from pipeline.stage import Outcome, Work
from pipeline.tower_inputs import Prepared
from towers.embed import embed_items, embed_users
from towers.module import TwoTower
from towers.validation import AskedBatches


def embed(work: Work) -> Outcome:
    """Write item, user and intent arrays."""
    prepared = Prepared.open(work.run.stage("prepare"))
    module = TwoTower.load_from_checkpoint(work.run.stage("train-towers") / "model.ckpt", map_location="cpu")
    encoder = towers_encoder(work.run, work.config.text)
    told = module.settings
    module.attach(prepared.catalogue(encoder, work.config.text, told["id_min_events"], told["popularity"]))
    items = embed_items(module)
    np.save(work.out / "item_vectors.npy", items)
    requests = Requests.read(prepared.folder / "requests.parquet")
    lines = [f"{len(items):,} item vectors, {items.shape[1]} wide"]
    for window in WINDOWS:
        asked = requests.of(window)
        batches = AskedBatches(asked, prepared.histories, module.settings["history_length"])
        vectors, intents, _ = embed_users(module, items, batches)
        np.save(work.out / f"users_{window}.npy", vectors)
        np.save(work.out / f"intents_{window}.npy", intents)
        lines.append(f"{len(vectors):,} user vectors of the {window} window")
    return Outcome(lines)

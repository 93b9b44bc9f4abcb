"""Write the vectors of all items, and of the user behind each request of the ranker, validation and test windows.

Started by torchrun or srun, each process embeds a share and writes it into the same files.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from commerce.columns import INTENTS
from commerce.records import Requests
from commerce.splits import WINDOWS
from learning.encode import fill_cache
from learning.launch import Place, joined
from pipeline.encoders import towers_encoder
from pipeline.session_files import read_sessions
from pipeline.stage import Outcome, Work
from pipeline.tower_inputs import Prepared
from towers.embed import embed_batch, embed_block, embed_intents
from towers.module import TwoTower
from towers.validation import AskedBatches
from towers.whole import item_blocks

Array = NDArray[np.float32]


def embed(work: Work) -> Outcome:
    """Write item, user and intent arrays."""
    with joined() as place:
        return _embed(work, place)


def _embed(work: Work, place: Place) -> Outcome:
    prepared = Prepared.open(work.run.stage("prepare"))
    module = TwoTower.load_from_checkpoint(work.run.stage("train-towers") / "model.ckpt", map_location="cpu")
    encoder, text, told = towers_encoder(work.run, work.config.text), work.config.text, module.settings
    if place.ranks > 1:
        # Each encodes a share of the texts into the cache, from which everyone then reads them all.
        fill_cache(prepared.item_texts[place.rank :: place.ranks], encoder, text, kind="item")
        fill_cache(prepared.query_texts[place.rank :: place.ranks], encoder, text, kind="query")
        place.meet()
    module.attach(prepared.catalogue(encoder, text, told["id_min_events"], told["popularity"]))

    dim, count = told["dim"], len(module.facts.items)
    items = _shared(work.out / "item_vectors.npy", (count, dim), place)
    blocks, lenders = item_blocks(count), module.eval().lenders()
    for number in place.share(len(blocks)):
        items[blocks[number]] = embed_block(module, blocks[number], lenders)
    _finish(items, place)

    requests, sessions = Requests.read(prepared.folder / "requests.parquet"), read_sessions(prepared.folder)
    lines = [f"{count:,} item vectors, {dim} wide"]
    for window in WINDOWS:
        asked = requests.of(window)
        batches = AskedBatches(asked, prepared.histories, told["history_length"])
        vectors = _shared(work.out / f"users_{window}.npy", (len(asked), dim), place)
        intents = _shared(work.out / f"intents_{window}.npy", (len(asked), len(INTENTS)), place)
        for number in place.share(len(batches)):
            batch = batches[number]
            rows = batch.request.numpy()
            vectors[rows], states = embed_batch(module, items, batch)
            user, end, time, query = (getattr(asked, name)[rows] for name in ("user", "history_end", "time", "query"))
            told_of = sessions.statistics(prepared.histories, user, end, time, query)
            intents[rows] = embed_intents(module, states, told_of)
        _finish(vectors, place)
        _finish(intents, place)
        lines.append(f"{len(vectors):,} user vectors of the {window} window")
    return Outcome(lines)


def _shared(file: Path, shape: tuple[int, int], place: Place) -> Array:
    """Return an array of zeros in a file, float32, that every rank writes its share into; the first one makes it."""
    if place.rank == 0:
        np.save(file, np.zeros(shape, dtype=np.float32)) if 0 in shape else open_memmap(file, "w+", np.float32, shape)
    place.meet()
    array: Array = np.load(file, mmap_mode=None if 0 in shape else "r+")
    return array


def _finish(array: Array, place: Place) -> None:
    """Flush what this rank wrote, and wait for the others."""
    if isinstance(array, np.memmap):
        array.flush()
    place.meet()

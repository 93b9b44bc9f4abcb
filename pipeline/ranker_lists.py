"""What a ranker is trained on: lists of the ranker window, streamed from Parquet into a folder that its steps read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from commerce.durable import write_atomic
from commerce.noise import noised_share
from commerce.records import Requests
from configs.schema import Config
from pipeline.ranking_inputs import MAIN, RankingInputs, actions_of, filters_seen, relevant_of, without_seen
from ranking.batches import Examples
from ranking.example_file import ExampleWriter, open_examples
from ranking.lists import Lists
from ranking.pairs import Tokens
from ranking.training_lists import TrainingLists

_COUNTED = "counted.json"
"""Written last: a folder that has it is whole."""


@dataclass(frozen=True)
class Training:
    """Lists to train on, in memory-mapped files."""

    folder: Path
    item_tokens: Tokens
    lists: int
    counted: str
    """What became of the window's requests, for a person."""

    def __len__(self) -> int:
        return self.lists

    @cached_property
    def _opened(self) -> tuple[Examples, NDArray[np.float32]]:
        return open_examples(self.folder, self.item_tokens)

    @property
    def examples(self) -> Examples:
        """Return all that a ranker of whatever layers and attention is told of them; there is at least one list."""
        return self._opened[0]

    @property
    def gains(self) -> NDArray[np.float32]:
        """Return what their candidates are worth, ``[lists, length]``."""
        return self._opened[1]


def write_training(inputs: RankingInputs, config: Config, folder: Path) -> Training:
    """Choose the lists and write what a ranker is told of them; what lies whole in ``folder`` is taken as it is.

    Memory does not grow with the window's requests but by some bytes for each.

    Args:
        inputs: of the run.
        config: whole.
        folder: for the files of this very work; a cut-off may have left some there.
    """
    inputs = _with_noise(inputs, config)
    note = folder / _COUNTED
    if not note.is_file():
        chosen = _write(inputs, config, folder)
        line = "ranker window: " + ", ".join(f"{count:,} {what}" for what, count in chosen.counts.items())
        write_atomic(note, json.dumps({"lists": len(chosen), "counted": line}))
    return Training(folder, inputs.item_tokens, **json.loads(note.read_text()))


def _with_noise(inputs: RankingInputs, config: Config) -> RankingInputs:
    """Return what is trained on, a share of its texts noised; the gate reads them as they are."""
    ranking, seed = config.ranking, config.run.seed
    if not ranking.text_noise:
        return inputs
    return inputs.noised(lambda text: noised_share(text, ranking.text_noise, ranking.text_noise_strength, seed))


def _write(inputs: RankingInputs, config: Config, folder: Path) -> TrainingLists:
    asked, ranking = inputs.requests.of("ranker"), config.ranking
    if filters_seen(config, MAIN):
        asked = without_seen(asked, inputs.histories, actions_of(config))

    def read(rows: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], Lists]]:
        return inputs.stream("ranker", asked.request_id[rows], ranking.list_depth)

    chosen = TrainingLists(
        read,
        relevant_of(asked),
        length=ranking.list_length,
        most=ranking.train_requests,
        seed=config.run.seed,
    )
    with ExampleWriter(folder) as file:
        for block in chosen.blocks():
            file.append(inputs.examples("ranker", _some(asked, block.rows), block.lists), block.gains)
    return chosen


def _some(requests: Requests, rows: NDArray[np.int64]) -> Requests:
    keep = np.zeros(len(requests), dtype=bool)
    keep[rows] = True
    return requests.where(keep)

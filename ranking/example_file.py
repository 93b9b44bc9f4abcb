"""Training examples on disk: written block by block, read by memory map, so that a step reads its own lists alone.

A folder of plain arrays, end to end: what a list of any training needs, in the order in which lists were appended.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import numpy as np
from numpy.typing import NDArray

from commerce.durable import write_atomic
from ranking.batches import Examples
from ranking.pairs import Tokens

FORMAT = 1
"""Version of the folder."""
_NOTE = "examples.json"
"""How arrays are shaped; written last."""
_KINDS: dict[str, Any] = {
    "items": np.int32,
    "features": np.float32,
    "intent": np.float32,
    "gains": np.float32,
    "context_ids": np.int64,
    "context_lengths": np.int64,
}


class ExampleWriter:
    """Writes a folder of examples; leaving the context without an error seals it."""

    def __init__(self, folder: Path) -> None:
        """Begin anew in ``folder``; whatever a cut-off left there is overwritten."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _NOTE).unlink(missing_ok=True)
        self.folder = folder
        self._lists = 0
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._files: dict[str, IO[bytes]] = {name: (folder / f"{name}.bin").open("wb") for name in _KINDS}

    def append(self, examples: Examples, gains: NDArray[np.float32]) -> None:
        """Append some lists; ``gains`` is ``[lists, length]``."""
        parts: dict[str, NDArray[Any]] = {
            "items": examples.items,
            "features": examples.features,
            "intent": examples.intent,
            "gains": gains,
            "context_ids": examples.contexts.ids,
            "context_lengths": examples.contexts.lengths,
        }
        for name, part in parts.items():
            self._files[name].write(np.ascontiguousarray(part, dtype=_KINDS[name]).tobytes())
            assert self._shapes.setdefault(name, part.shape[1:]) == part.shape[1:]
        self._lists += len(examples)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for file in self._files.values():
            file.close()
        if error is None:
            told = {"format": FORMAT, "lists": self._lists, "shapes": self._shapes}
            write_atomic(self.folder / _NOTE, json.dumps(told))


def open_examples(folder: Path, item_tokens: Tokens) -> tuple[Examples, NDArray[np.float32]]:
    """Return what was written, mapped, and the gains ``[lists, length]``.

    Args:
        folder: of at least one list.
        item_tokens: of each item code; not in the folder, since they do not grow with the lists.
    """
    told = json.loads((folder / _NOTE).read_text())
    assert told["format"] == FORMAT
    arrays = {
        # A view of the map as a plain array: what is taken out of it by rows is in memory, and nothing else.
        name: np.asarray(np.memmap(folder / f"{name}.bin", kind, "r")).reshape(-1, *told["shapes"][name])
        for name, kind in _KINDS.items()
    }
    offsets = np.concatenate([[0], np.cumsum(arrays["context_lengths"])]).astype(np.int64)
    contexts = Tokens(arrays["context_ids"], offsets)
    examples = Examples(arrays["items"], arrays["features"], arrays["intent"], contexts, item_tokens)
    return examples, arrays["gains"]

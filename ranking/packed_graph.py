"""A plain pair scorer as an ONNX graph over packed pairs, in float32 or with eight-bit weights.

The graph computes what ``PairCrossEncoder`` does, without a padded token in its linear layers: where each token stands
is an input. In eight bits (``learning.eight_bits``) the linear layers are integers, which processors with VNNI or AMX
multiply several times as fast; scores then differ.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from learning.eight_bits import quantise
from learning.encode import token_batches
from ranking.full_attention import PairCrossEncoder, pair_lengths
from ranking.pairs import PairJoin, Tokens

_INPUTS = ("ids", "types", "at", "place", "there", "starts")


class _Packed(nn.Module):
    """A pair scorer as a function of tensors whose sizes alone are free."""

    def __init__(self, model: PairCrossEncoder) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: Tensor, types: Tensor, at: Tensor, place: Tensor, there: Tensor, starts: Tensor) -> Tensor:
        """Return the logits, ``[pairs]``; arguments as ``layout`` gives them."""
        scores: Tensor = self.model.head(self.model.reader.placed(ids, types, at, place, there, starts))
        return scores


def layout(left: Tokens, right: Tokens, pairs: NDArray[np.int64], join: PairJoin) -> dict[str, NDArray[Any]]:
    """Return the graph's inputs for some pairs, ``[pairs, 2]``: tokens end to end, and their places in padded rows."""
    ids, types, lengths = join.pack(left, right, pairs)
    starts = np.cumsum(lengths) - lengths
    row = np.repeat(np.arange(len(pairs)), lengths)
    at = np.arange(len(ids)) - starts[row]
    longest = int(lengths.max())
    there = np.arange(longest) < lengths[:, None]
    return dict(zip(_INPUTS, (ids, types, at, row * longest + at, there, starts), strict=True))


def export_pairs(model: PairCrossEncoder, path: Path, *, int8: bool) -> None:
    """Write the graph of a scorer whose pairs are told by their first token.

    Args:
        model: in evaluation mode.
        path: of the file.
        int8: whether linear layers are quantised.
    """
    draw = np.random.default_rng(0)
    ends = np.array([0, 5, 9, 16])
    made = Tokens(draw.integers(5, 9, 16), ends)
    told = layout(made, made, np.array([[0, 1], [2, 0], [1, 2]]), PairJoin(1, []))
    tokens, pairs, longest = (torch.export.Dim(name, min=2) for name in ("tokens", "pairs", "longest"))
    of_tokens = {name: {0: tokens} for name in ("ids", "types", "at", "place")}
    shapes = {**of_tokens, "there": {0: pairs, 1: longest}, "starts": {0: pairs}}
    with torch.no_grad():
        example = {name: torch.from_numpy(part) for name, part in told.items()}
        program = torch.export.export(_Packed(model), (), example, dynamic_shapes=shapes)
        torch.onnx.export(
            program,
            f=str(path),
            input_names=list(_INPUTS),
            output_names=["scores"],
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    if int8:
        quantise(path, path, ["MatMul"])


class PairGraph:
    """An exported scorer."""

    def __init__(self, path: Path, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def score(
        self, left: Tokens, right: Tokens, pairs: NDArray[np.int64], *, join: PairJoin, tokens_per_batch: int
    ) -> NDArray[np.float32]:
        """Return logits, ``[pairs]``; arguments as those of ``score_pairs``."""
        distinct, back = np.unique(pairs, axis=0, return_inverse=True)
        scores = np.zeros(len(distinct), dtype=np.float32)
        for batch in token_batches(pair_lengths(left, right, distinct, join).tolist(), tokens_per_batch):
            scores[batch] = self._session.run(None, layout(left, right, distinct[batch], join))[0]
        return scores[back.reshape(-1)]

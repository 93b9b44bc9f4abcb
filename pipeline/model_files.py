"""The models of a run as the graphs of a bundle, each tried on input of another shape than it was traced with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from commerce.session_statistics import STATISTICS
from learning.tokens import load_tokenizer
from pipeline.bundle_source import BundleSource
from pipeline.graphs import export_graph
from pipeline.ranking_inputs import encoder_path, read_item_numbers
from pipeline.torch_models import UserGraph
from ranking.module import Ranker
from serving.contents import ITEM_NUMBERS
from serving.item_tokens import ItemTokens


def write_text_encoder(folder: Path, source: BundleSource) -> dict[str, Any]:
    """Write the text encoder's graph and tokenizer; return what the manifest says of them."""
    encoder = source.encoder
    load_tokenizer(encoder.path, encoder.max_tokens).save(str(folder / "tokenizer.json"))
    export_graph(
        source.text_encoder,
        folder / "text_encoder.onnx",
        example=_tokens(2, 6),
        check=_tokens(3, 9),
        outputs=["vectors"],
        free={name: {0: "texts", 1: "tokens"} for name in ("input_ids", "attention_mask")},
        most={"tokens": encoder.max_tokens},
    )
    return {
        "dim": source.text_encoder.dim,
        "max_tokens": encoder.max_tokens,
        "pooling": f"{encoder.pooling}, then unit length; both inside the graph",
        "query_prefix": encoder.query_prefix,
        "item_prefix": encoder.item_prefix,
    }


def write_user_tower(folder: Path, source: BundleSource) -> dict[str, Any]:
    """Write the user tower's graph; return what the manifest says of it."""
    towers, text_dim = source.user_graph, source.text_encoder.dim
    events = ("event_vectors", "query_vectors", "action", "gap")
    profile = ("count", "categorical", "numeric", "numeric_mask", "statistics")
    export_graph(
        towers,
        folder / "user_tower.onnx",
        example=_users(towers, text_dim, 2, 5),
        check=_users(towers, text_dim, 3, min(7, towers.user.length)),
        outputs=["vectors", "intents"],
        free={**{name: {0: "users", 1: "events"} for name in events}, **{name: {0: "users"} for name in profile}},
    )
    return {"dim": int(source.item_vectors.shape[1]), "length": towers.user.length, "text_dim": text_dim}


def write_reranker(folder: Path, source: BundleSource) -> dict[str, Any] | None:
    """Write the reranker's graph, its tokens and numbers; return what the manifest says of it.

    Where it does not ship nothing is written and None is returned.
    """
    reranker, gate = source.reranker, source.gate
    if reranker is None:
        return None
    ItemTokens(reranker.item_tokens.ids.astype(np.int32), reranker.item_tokens.offsets).save(folder / "item_tokens")
    np.save(folder / ITEM_NUMBERS, read_item_numbers(source.prepared))
    limits = {name: int(gate[name]) for name in ("depth", "context_tokens", "item_tokens")}
    path = encoder_path(source.run, source.config)
    load_tokenizer(path, sum(limits.values())).save(str(folder / "reranker_tokenizer.json"))
    export_graph(
        reranker.ranker.cross_encoder,
        folder / "reranker.onnx",
        example=_list(reranker.ranker, 6, 2, 5),
        check=_list(reranker.ranker, 9, 5, 7),
        outputs=["scores"],
        free={
            **{name: {1: "context"} for name in ("context_ids", "context_mask")},
            **{name: {0: "candidates", 1: "tokens"} for name in ("item_ids", "item_mask")},
            "features": {0: "candidates"},
        },
        most={"context": limits["context_tokens"], "tokens": limits["item_tokens"]},
    )
    told = {name: gate[name] for name in ("features", "reads")}
    return {**limits, **told, "weights": source.reranker_weights}


def _tokens(texts: int, tokens: int) -> dict[str, Tensor]:
    """Return made-up texts, the first of them padded."""
    ids = torch.arange(texts * tokens).reshape(texts, tokens) % 5 + 1
    mask = torch.ones(texts, tokens, dtype=torch.int64)
    mask[0, tokens // 2 :] = 0
    return {"input_ids": ids, "attention_mask": mask}


def _users(towers: UserGraph, text_dim: int, users: int, events: int) -> dict[str, Tensor]:
    """Return made-up users with 0, 1, 2, ... events."""
    draw = torch.Generator().manual_seed(users)
    tower = towers.user
    dim, numbers = tower.start.shape[0], tower.numeric.in_features // 2 if tower.numeric is not None else 0
    return {
        "event_vectors": torch.randn(users, events, dim, generator=draw),
        "query_vectors": torch.randn(users, events, text_dim, generator=draw),
        "action": torch.randint(0, 7, (users, events), generator=draw),
        "gap": torch.rand(users, events, generator=draw),
        "count": torch.arange(users),
        "categorical": torch.zeros(users, len(tower.categorical), dtype=torch.int64),
        "numeric": torch.randn(users, numbers, generator=draw),
        "numeric_mask": torch.ones(users, numbers),
        "statistics": torch.rand(users, len(STATISTICS), generator=draw),
    }


def _list(ranker: Ranker, context: int, candidates: int, tokens: int) -> dict[str, Tensor]:
    """Return a made-up request, the first of its candidates padded."""
    draw = torch.Generator().manual_seed(candidates)
    items = _tokens(candidates, tokens)
    return {
        "context_ids": torch.arange(context)[None] % 5 + 1,
        "context_mask": torch.ones(1, context, dtype=torch.int64),
        "item_ids": items["input_ids"],
        "item_mask": items["attention_mask"],
        "features": torch.randn(candidates, len(ranker.features), generator=draw),
        "intent": torch.softmax(torch.randn(1, 3, generator=draw), dim=1),
    }

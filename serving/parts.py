"""What a bundle's bytes go into."""

from __future__ import annotations

from collections.abc import Mapping

_PARTS = {
    "index": "index",
    "item_vectors": "item vectors",
    "item_": "item ids, texts and fields",
    "availability": "item ids, texts and fields",
    "prices": "item ids, texts and fields",
    "variants": "item ids, texts and fields",
    "item_tokens": "reranker",
    "reranker": "reranker",
    "text_encoder": "text encoder",
    "tokenizer": "text encoder",
    "user_tower": "user tower",
    "item_tower": "item tower, for new items",
    "lexical_texts": "item tower, for new items",
    "index_queries": "item tower, for new items",
    "queries": "search terms",
    "query_vectors": "search terms",
    "statistics": "counts and edges",
    "graph": "graph, for people",
    "users": "users",
}
"""Part by what a file's path begins with; the longest beginning counts."""


def bytes_by_part(files: Mapping[str, int]) -> dict[str, int]:
    """Return the bytes of each part of a bundle, the largest first, from the bytes of each file."""
    parts: dict[str, int] = {}
    for name, size in files.items():
        begins = [begin for begin in _PARTS if name.startswith(begin)]
        part = _PARTS[max(begins, key=len)] if begins else "other"
        parts[part] = parts.get(part, 0) + size
    return dict(sorted(parts.items(), key=lambda one: (-one[1], one[0])))


def parts_line(parts: Mapping[str, int]) -> str:
    """Return the same in words."""
    return "MB: " + ", ".join(f"{part} {size / 1e6:,.1f}" for part, size in parts.items())

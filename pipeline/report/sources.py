"""What each candidate source adds to the blend, as a table and a sentence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipeline.report.headline import Estimate
from pipeline.tables import verdict


@dataclass(frozen=True)
class Source:
    """One source's line."""

    name: str
    weight: float
    """In the blend for requests without search terms."""
    lost: dict[str, Estimate]
    """What the blend loses without it, by measure (recall, ndcg); below 0 where it would gain."""
    p_values: dict[str, float]
    words: dict[str, str]
    """better, worse or no difference seen: the blend with the source beside the one without."""
    only: float
    """Share of the relevant candidates that no other source found."""


@dataclass(frozen=True)
class Sources:
    """The card."""

    titles: dict[str, str]
    """By measure."""
    rows: list[Source]
    sample: str
    """Whom it was measured on."""
    sentence: str


def read_sources(metrics: dict[str, Any]) -> Sources | None:
    """Return what ``metrics.json`` says of the sources; None where it was not measured."""
    found = metrics.get("sources")
    if not found:
        return None
    rows = [
        Source(
            name,
            one["weight"],
            {kind: Estimate.of(one[kind]) for kind in ("recall", "ndcg")},
            {kind: one[kind]["p_holm"] for kind in ("recall", "ndcg")},
            {kind: verdict(metrics, one[kind]) for kind in ("recall", "ndcg")},
            one["only"],
        )
        for name, one in found["sources"].items()
    ]
    return Sources(
        {"recall": f"Recall@{found['candidates']}", "ndcg": f"NDCG@{found['cut']}"},
        rows,
        f"{found['requests']:,} requests of {found['users']:,} users; {found['relevant_found']:,} relevant candidates",
        _sentence(rows, f"Recall@{found['candidates']}", f"NDCG@{found['cut']}"),
    )


def _sentence(rows: list[Source], recall: str, ndcg: str) -> str:
    """Say which source is missed most, and which ones are not seen to be missed at all."""
    most = max(rows, key=lambda row: row.lost["recall"].value)
    unseen = [row.name for row in rows if "better" not in row.words.values()]
    told = (
        f"Most would be lost without {most.name}: {most.lost['recall'].value:+.4f} in {recall} and "
        f"{most.lost['ndcg'].value:+.4f} in {ndcg} come with it."
        if most.words["recall"] == "better"
        else f"No source alone is seen to be missed in {recall}: what one finds, others find too."
    )
    if unseen:
        told += f" Not seen to help here: {', '.join(unseen)}. Leaving one out may free time; check segments first."
    return told

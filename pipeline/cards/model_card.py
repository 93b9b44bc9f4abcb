"""The model card: what was measured of the models in a bundle, and what was not (Mitchell et al. 2019, Model Cards)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.cards.markdown import cell, interval, share, table
from pipeline.precision import told
from pipeline.tables import cut_off, protocol, verdicts

_VARIETY = {
    "coverage": "share of the catalogue shown to anybody",
    "gini": "how unequally items are shown (0: alike)",
    "tail_share": "share of the places that tail items get",
    "novelty": "mean surprise of an item shown, in bits",
    "category_diversity": "pairs in a list of different categories",
    "vector_diversity": "mean distance of two items in a list",
    "exposure_parity": "how alike groups of items are shown",
}


def model_card(
    facts: Mapping[str, Any],
    metrics: Mapping[str, Any],
    gate: Mapping[str, Any] | None,
    index: Sequence[str],
    untested: Sequence[str],
) -> str:
    """Return the card.

    Args:
        facts: of the bundle's manifest.
        metrics: ``metrics.json`` of the run; empty where nothing was measured.
        gate: what the reranker's gate said; None without a log.
        index: how the index was chosen, a line a piece.
        untested: sentences.
    """
    lines = [f"# Model card: {cell(facts['name'])}", "", *_what(facts), *_gate(facts, gate), *_index(index)]
    lines += _precisions(facts["models"])
    if metrics.get("targets"):
        lines += [*_measured(metrics), *_segments(metrics), *_variety(metrics), *_intent(metrics), *_limits(metrics)]
    lines += ["## What was not tested", "", *(f"- {sentence}" for sentence in untested), ""]
    return "\n".join(lines)


def _what(facts: Mapping[str, Any]) -> list[str]:
    models, sources = facts["models"], ", ".join(facts["settings"]["sources"])
    user = models["user"]
    lines = [
        f"Mercato {facts['mercato']}, commit {facts['git_commit'] or 'unknown'}. Written by `mercato export` from what "
        "the run measured; numbers are those of `metrics.json`. What it learned from: `data_card.md`.",
        "",
        f"- Candidates from: {sources}.",
        f"- Text vectors: {models['text']['dim']} wide, at most {models['text']['max_tokens']} tokens.",
    ]
    if user is None:
        return [*lines, "- Unpersonalised: the shop has no log, so there is no user tower.", ""]
    return [*lines, f"- User tower: {user['dim']} wide, reads the last {user['length']} events of a user.", ""]


def _gate(facts: Mapping[str, Any], gate: Mapping[str, Any] | None) -> list[str]:
    if gate is None:
        return []
    shipped = "ships" if facts["models"]["reranker"] else "does not ship"
    on = f" ({gate['requests']:,} requests of {gate['users']:,} users, none tested on)" if "users" in gate else ""
    return ["## Reranker", "", f"It {shipped}: {gate.get('reason', 'no reason was recorded')}{on}.", ""]


def _index(index: Sequence[str]) -> list[str]:
    return ["## Index", "", *(f"- {line}" for line in index), ""] if index else []


def _precisions(models: Mapping[str, Any]) -> list[str]:
    """Say which graphs ship in int8 and which in fp32, and by which measurement."""
    lines = [f"- {cell(line)}." for line in told(dict(models))]
    return ["## Precision of the graphs", "", *lines, ""] if lines else []


def _measured(metrics: Mapping[str, Any]) -> list[str]:
    k = cut_off(metrics)
    rows = [
        (name, interval(found.get(f"ndcg@{k}")), interval(found.get(f"recall@{k}")))
        for name, found in metrics["systems"].items()
    ]
    lines = ["## Measured", "", protocol(dict(metrics)), "", *table(("system", f"NDCG@{k}", f"Recall@{k}"), rows)]
    differences = verdicts(dict(metrics), k)
    return [*lines, "`mercato` is what the bundle answers, `towers` its vectors alone.", "", *_code(differences)]


def _code(lines: Sequence[str]) -> list[str]:
    return ["```", *lines, "```", ""] if lines else []


def _segments(metrics: Mapping[str, Any]) -> list[str]:
    if not metrics["segments"]:
        return []
    systems = [name for name in ("mercato", "popularity") if name in metrics["systems"]]
    first = next(iter(metrics["segments"].values()))["mercato"]
    measure = next(name for name in first if name.startswith("ndcg@"))
    rows = []
    for name, found in metrics["segments"].items():
        size = metrics["segment_sizes"][name]
        values = [interval(found[system].get(measure)) for system in systems]
        rows.append((name, f"{size['requests']:,}", f"{size['users']:,}", *values))
    columns = ("segment", "requests", "users", *(f"{measure.upper()}, {name}" for name in systems))
    return ["## Segments", "", *table(columns, rows), *(f"{note}\n" for note in metrics.get("segment_notes", ()))]


def _variety(metrics: Mapping[str, Any]) -> list[str]:
    k = cut_off(metrics)
    systems = [name for name in ("mercato", "popularity", "item_knn") if name in metrics["systems"]]
    rows = [
        (f"{name}@{k}", what, *(interval(metrics["systems"][system].get(f"{name}@{k}")) for system in systems))
        for name, what in _VARIETY.items()
        if f"{name}@{k}" in metrics["systems"]["mercato"]
    ]
    return ["## Variety and exposure", "", *table(("measure", "what", *systems), rows)] if rows else []


def _intent(metrics: Mapping[str, Any]) -> list[str]:
    found = metrics.get("intent")
    if not found:
        return []
    names = {"head": "intent head", "class_prior": "class prior", "last_action": "last-action rule"}
    rows = [
        (title, f"{found[name]['macro_f1']:.3f}", f"{found[name]['log_loss']:.3f}") for name, title in names.items()
    ]
    told = f"Browse, compare or buy, foretold on {found['requests']:,} labelled requests:"
    return ["## Intent", "", told, "", *table(("by", "macro-F1", "log-loss"), rows)]


def _limits(metrics: Mapping[str, Any]) -> list[str]:
    lines = [f"- {warning}" for warning in metrics.get("warnings", ())]
    sizes, requests = metrics["segment_sizes"], metrics["requests"]
    if "item: cold" in sizes:
        cold = sizes["item: cold"]["requests"]
        lines.append(
            f"- {share(cold, requests)} of the test requests ({cold:,}) chose an item that nobody had met before; such "
            "items are found by their texts and features alone."
        )
    if "history: 0" in sizes:
        new = sizes["history: 0"]["requests"]
        lines.append(
            f"- {share(new, requests)} of the test requests ({new:,}) come from users without a visible event."
        )
    sources = metrics.get("sources") or {}
    if sources.get("requests"):
        lines.append(
            f"- Only what is among the {sources['candidates']:,} candidates of a request can be shown; measured on "
            f"{sources['requests']:,} requests of {sources['users']:,} users."
        )
    lines.append(f"- {share(metrics['catalogue'], metrics['items'])} of {metrics['items']:,} items could be shown.")
    lines += _weak(metrics)
    lines.append(f"- Measured on: {metrics['hardware']}.")
    return ["## Limits", "", *lines, ""]


def _weak(metrics: Mapping[str, Any]) -> list[str]:
    """Name the segments in which nothing is found, and those in which a baseline reaches more."""
    nothing, lower = [], []
    for name, found in metrics["segments"].items():
        values = {system: _headline(measures) for system, measures in found.items() if system != "oracle"}
        best = max(values, key=lambda system: values[system])
        if values["mercato"] == 0:
            nothing.append(f"`{name}`")
        elif values[best] > values["mercato"]:
            lower.append(f"`{name}` ({best} {values[best]:.4f}, mercato {values['mercato']:.4f})")
    lines = [f"- Nothing relevant was shown in the first places in: {', '.join(nothing)}."] if nothing else []
    if lower:
        lines.append(f"- Another system reaches more (which may be luck) in: {', '.join(lower)}.")
    return lines


def _headline(measures: Mapping[str, Any]) -> float:
    return float(next(found["value"] for name, found in measures.items() if name.startswith("ndcg@")))

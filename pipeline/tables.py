"""What ``metrics.json`` says, for a person: a table of systems, verdicts in words, and the terms it was measured on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from io import StringIO
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, RenderableType
from rich.markup import escape
from rich.table import Table

from commerce import significance
from commerce.comparison import headline_cut
from configs.errors import InputError

_WITH_INTERVALS = ("recall", "ndcg")
_VALUES = ("mrr", "hit_rate", "coverage", "novelty")
_TITLES = {"recall": "Recall", "ndcg": "NDCG", "mrr": "MRR", "hit_rate": "Hit rate"}
INTENT_SYSTEMS = {
    "head": "intent head",
    "class_prior": "class prior",
    "last_action": "last-action rule",
    "oracle": "oracle",
}
"""What foretells intents in ``metrics.json``, and how a person calls it."""
_WIDTH = 116


def metrics_lines(metrics: dict[str, Any], segments: bool = False) -> list[str]:
    """Return what the console shows of ``metrics`` (as in ``metrics.json``), line by line; ``segments`` adds theirs."""
    out = StringIO()
    console = Console(file=out, width=_WIDTH, color_system=None)
    for part in renderables(metrics, segments):
        console.print(part)
    return [line.rstrip() for line in out.getvalue().rstrip("\n").split("\n")]


def renderables(metrics: dict[str, Any], segments: bool = False) -> Iterator[RenderableType]:
    """Yield the table of systems, the verdicts and the protocol, for any rich console."""
    k = cut_off(metrics)
    yield _systems_table(metrics, k)
    yield "\n".join(verdicts(metrics, k))
    if segments and metrics["segments"]:
        yield _segments_table(metrics)
        yield from map(escape, metrics.get("segment_notes", ()))
    if metrics.get("intent"):
        yield _intent_line(metrics["intent"])
    yield from map(escape, probe_lines(metrics.get("sensitive_probe", ())))
    yield protocol(metrics)
    yield from metrics.get("warnings", ())


def cut_off(metrics: Mapping[str, Any]) -> int:
    """Return the cut-off shown: 10 where it was measured, else the smallest."""
    system = next(iter(metrics["systems"].values()))
    return headline_cut(int(name.partition("@")[2]) for name in system if name.startswith("ndcg@"))


def verdicts(metrics: dict[str, Any], k: int) -> list[str]:
    """Return a line per paired comparison: by how much NDCG@k differs and what follows; then by which rule."""
    lines = []
    width = max((len(pair) for pair in metrics["paired"]), default=0)
    for pair, measures in metrics["paired"].items():
        found = measures[f"ndcg@{k}"]
        words = verdict(metrics, found)
        lines.append(f"{pair:<{width}}  NDCG@{k} {_signed(found)}  p {shown_p(found['p_holm'])}  {words}")
    if lines:
        lines.append(f"({rule(metrics)})")
    systems = metrics["systems"]
    if "oracle" in systems and "mercato" in systems and systems["oracle"][f"ndcg@{k}"]["value"] > 0:
        reached = systems["mercato"][f"ndcg@{k}"]["value"] / systems["oracle"][f"ndcg@{k}"]["value"]
        lines.append(f"mercato reaches {reached:.0%} of the NDCG@{k} that the oracle shows to be reachable")
    return lines


def verdict(metrics: Mapping[str, Any], difference: Mapping[str, float]) -> str:
    """Say in words what a paired difference in ``metrics`` shows, by the rule of ``commerce.significance``.

    Raises:
        InputError: if it was not tested, as by earlier versions.
    """
    if "p_holm" not in difference:
        raise InputError(
            f"metrics.json of {metrics['dataset']} has no p_holm beside its paired differences, so there is no verdict "
            "on them; run `mercato evaluate CONFIG` again with this version"
        )
    return significance.verdict(difference["value"], difference["p_holm"], metrics["intervals"]["confidence"])


def rule(metrics: Mapping[str, Any]) -> str:
    """Say by which rule differences are called better or worse."""
    tested = sum("p_holm" in found for measures in metrics["paired"].values() for found in measures.values())
    level = 1.0 - metrics["intervals"]["confidence"]
    return (
        f"better and worse have p up to {level:.3g} in a randomisation test over users, corrected (Holm) for the "
        f"{tested:,} differences in NDCG and recall tested together; intervals stand each for itself"
    )


def shown_p(p_value: float) -> str:
    """Write a p-value."""
    return f"{p_value:.4f}" if p_value >= 0.0001 else "<.0001"


def protocol(metrics: dict[str, Any]) -> str:
    """Return the terms of the measurement in a sentence or two."""
    targets = ", ".join(f"{action} {gain:g}" for action, gain in metrics["targets"].items())
    window, precision = metrics["window"], metrics["intervals"]
    span = f"{window['from']} to {window['until']}" if window["from"] else "each user's last target event"
    return (
        f"Protocol: {metrics['dataset']}, split {metrics['split']}, window {span}. Targets (gain): {targets}. "
        f"filter_seen {'on' if metrics['filter_seen'] else 'off'}; repeats {metrics['repeats']}. "
        f"{metrics['requests']:,} requests of {metrics['users']:,} users, ranked over all of {metrics['items']:,} "
        f"items that were available at the moment, ties by item code. {precision['confidence']:.0%} intervals from "
        f"{precision['resamples']:,} resamples of users, seed {metrics['seed']}."
    )


def _systems_table(metrics: dict[str, Any], k: int) -> Table:
    title = f"{metrics['dataset']}: at {k}, with {metrics['intervals']['confidence']:.0%} intervals"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    table.add_column("system", no_wrap=True)
    for name in _WITH_INTERVALS + _VALUES:
        table.add_column(_TITLES.get(name, name.capitalize()), justify="right", no_wrap=True)
    for system, measures in metrics["systems"].items():
        wide = [_interval(measures[f"{name}@{k}"]) for name in _WITH_INTERVALS]
        narrow = [_number(measures[f"{name}@{k}"]["value"]) for name in _VALUES]
        table.add_row(system, *wide, *narrow)
    return table


def _segments_table(metrics: dict[str, Any]) -> Table:
    k = min(int(name.partition("@")[2]) for name in _any_segment(metrics) if name.startswith("ndcg@"))
    table = Table(title=f"NDCG@{k} by segment", title_justify="left", box=SIMPLE_HEAD)
    table.add_column("segment", no_wrap=True)
    table.add_column("requests", justify="right")
    for system in metrics["systems"]:
        table.add_column(system, justify="right")
    for segment, systems in metrics["segments"].items():
        count = f"{metrics['segment_sizes'][segment]['requests']:,}"
        table.add_row(
            escape(segment), count, *(_number(measures[f"ndcg@{k}"]["value"]) for measures in systems.values())
        )
    return table


def _any_segment(metrics: dict[str, Any]) -> dict[str, Any]:
    measures: dict[str, Any] = next(iter(next(iter(metrics["segments"].values())).values()))
    return measures


def _intent_line(intent: dict[str, Any]) -> str:
    parts = [
        f"{title} {intent[name]['macro_f1']:.3f} / {intent[name]['log_loss']:.3f}"
        for name, title in INTENT_SYSTEMS.items()
        if name in intent
    ]
    return f"Intent, macro-F1 / log-loss over {intent['requests']:,} labelled requests: {', '.join(parts)}"


def probe_lines(reads: Sequence[dict[str, Any]]) -> list[str]:
    """Return a line for each value of a sensitive feature: how well user vectors tell it."""
    return [
        f"Sensitive {one['feature']} {one['value']}, read from user vectors: AUROC "
        f"{_interval({**one, 'value': one['auroc']})}, .5 is a guess; {one['having']:,} of {one['users']:,} users"
        for one in reads
    ]


def _interval(found: dict[str, float]) -> str:
    return f"{found['value']:.4f} ({found['low']:.4f}-{found['high']:.4f})"


def _signed(found: dict[str, float]) -> str:
    return f"{found['value']:+.4f} ({found['low']:+.4f} to {found['high']:+.4f})"


def _number(value: float) -> str:
    return f"{value:.4f}" if value < 1 else f"{value:.2f}"

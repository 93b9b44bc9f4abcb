"""What lists are made of and whom they show, beside popularity: diversity, the tail's share, parity of exposure.

None of these measures is better for being more: they tell what kind of lists a system makes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.report.figure import Figure, Table, make_figure
from pipeline.report.headline import Estimate
from pipeline.report.look import styles
from pipeline.report.plots import interval_trace, show
from pipeline.report.popularity import Shares
from pipeline.tables import cut_off


@dataclass(frozen=True)
class Kind:
    """A measure as the page speaks of it."""

    title: str
    meaning: str


KINDS = {
    "category_diversity": Kind(
        "Category diversity",
        "Share of the pairs of items in a list that are of two different leaf categories; 0 where a list has no pair.",
    ),
    "vector_diversity": Kind(
        "Vector diversity",
        "Mean of 1 - cosine over the pairs of items in a list, by the towers' item vectors: these rather flatter a "
        "system that does not rank by them.",
    ),
    "tail_share": Kind("Tail share", "Share of a list's items that are of the tail, as a mean over the requests."),
    "exposure_parity": Kind(
        "Exposure parity",
        "Exposure per item of the group that gets least of it, divided by that of the group that gets most; 1 is all "
        "alike. A higher place weighs more. It says nothing of what users want.",
    ),
}


@dataclass(frozen=True)
class Drawn:
    """One measure on the page."""

    measure: str
    """As in ``metrics.json``, with its cut-off."""
    kind: Kind
    figure: Figure


@dataclass(frozen=True)
class Difference:
    """What one system has more than another, on the same requests, in every measure that is drawn."""

    ours: str
    other: str
    cells: list[Estimate]


def variety_figures(prefix: str, metrics: Mapping[str, Any], listed: Sequence[Shares]) -> list[Drawn]:
    """Draw every measure of ``KINDS`` that the run has, a line per system; nothing where it has none.

    Args:
        prefix: of the names of HTML elements.
        metrics: as in ``metrics.json``.
        listed: where each system's places went, which tells who left requests without a list.
    """
    return [
        Drawn(measure, KINDS[name], _figure(prefix, name, measure, metrics, listed))
        for name, measure in _measured(metrics)
    ]


def variety_differences(
    metrics: Mapping[str, Any], drawn: Sequence[Drawn], listed: Sequence[Shares]
) -> list[Difference]:
    """Return the paired differences in the measures drawn, of all pairs in which both list something."""
    silent = {shares.name for shares in listed if shares.silent == 1}
    found = []
    for pair, measures in metrics["paired"].items():
        ours, _, other = pair.partition(" - ")
        if not {ours, other} & silent:
            found.append(Difference(ours, other, [Estimate.of(measures[one.measure]) for one in drawn]))
    return found


def _measured(metrics: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield (measure, measure@k) of what the run has, at the headline's cut-off or the smallest it was measured at."""
    system = next(iter(metrics["systems"].values()))
    for name in KINDS:
        cuts = [int(key.partition("@")[2]) for key in system if key.startswith(f"{name}@")]
        if cuts:
            wanted = cut_off(metrics)
            yield name, f"{name}@{wanted if wanted in cuts else min(cuts)}"


def _figure(prefix: str, name: str, measure: str, metrics: Mapping[str, Any], listed: Sequence[Shares]) -> Figure:
    systems = list(metrics["systems"])
    look = styles(systems)
    told = {shares.name: shares for shares in listed}
    places = dict(zip(systems, range(len(systems) - 1, -1, -1), strict=True))
    found = {system: Estimate.of(metrics["systems"][system][measure]) for system in systems}
    # Who lists nothing has no diversity and shows no group more than another: a mark would say something of it.
    shown = [system for system in systems if told[system].silent < 1]
    traces = [interval_trace([found[system]], [places[system]], look[system], system, "x") for system in shown]
    most = max((found[system].high for system in shown), default=0.0) or 1.0
    over = f" over {metrics['item_group']}" if name == "exposure_parity" else ""
    title = f"{KINDS[name].title}@{measure.partition('@')[2]}{over}"
    return make_figure(
        f"{prefix}-{name.replace('_', '-')}",
        title,
        f"{title} of {', '.join(systems)}, with intervals; the table below it holds the numbers.",
        traces,
        Table(
            ["system", title, "requests without a list"],
            [
                [system, show(found[system]) if system in shown else "none", f"{told[system].silent:.1%}"]
                for system in systems
            ],
        ),
        height=66 + 38 * len(systems),
        layout={
            # From a little below zero, so that a mark there stands clear of the names.
            "xaxis": {"title": {"text": title}, "range": [-0.04 * most, 1.04 * most]},
            "yaxis": {
                "tickvals": list(places.values()),
                "ticktext": [told[system].label for system in systems],
                "range": [-0.6, len(systems) - 0.4],
                "ticks": "",
            },
        },
    )

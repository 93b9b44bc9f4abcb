"""Puts the report together: every part from the run's files, then the page, then the file ``report.html``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from commerce.durable import write_atomic
from pipeline.report import (
    chances,
    headline,
    intents,
    model_plots,
    people,
    plots,
    popularity,
    rules,
    sources,
    training,
    variety,
)
from pipeline.report.evidence import Measurement, Shop, open_measurements, open_shop
from pipeline.report.figure import Figure
from pipeline.report.index_choice import IndexChoice, read_index_choice
from pipeline.report.look import Style, styles
from pipeline.report.page import render
from pipeline.report.ranker_choice import RankerChoice, read_ranker_choice
from pipeline.report.under_noise import UnderNoise, read_noise
from pipeline.run_folder import RunFolder
from pipeline.tables import cut_off, rule

NAME = "report.html"


@dataclass(frozen=True)
class Part:
    """What the page says of one protocol."""

    anchor: str
    title: str
    k: int
    terms: dict[str, str]
    sentence: str
    rule: str
    """By which differences are called better or worse."""
    rows: list[headline.Row]
    differences: list[headline.Difference]
    difference_figure: Figure | None
    at_k: list[Figure]
    segments: list[Figure]
    popularity: Figure
    made_of: list[variety.Drawn]
    """Of the measures of what lists are made of, those that the run has."""
    made_of_differences: list[variety.Difference]
    sources: sources.Sources | None
    prices: rules.Prices | None
    """Of the shop's own rules."""
    verdict: training.Verdict | None
    people: list[people.Person]
    looks: dict[str, Style]

    @property
    def brief(self) -> str:
        """The terms in a line, to stand with every group of numbers."""
        terms = self.terms
        return (
            f"{terms['Data']}, split {terms['Split']}, {terms['Test window']}; targets {terms['Targets (gain)']}; "
            f"filter_seen {terms['filter_seen']}; {terms['Requests']}; {terms['Confidence']} intervals, seed "
            f"{terms['Seed']}"
        )


@dataclass(frozen=True)
class Report:
    """Everything on the page."""

    name: str
    parts: list[Part]
    calibrations: list[Figure]
    chances: list[Figure]
    """Of the probabilities that answers tell."""
    intent: dict[str, Any] | None
    """How well intents are foretold, as ``metrics.json`` has it."""
    probe: list[dict[str, Any]]
    """How well sensitive features can be read from user vectors, as ``metrics.json`` has it."""
    training: list[Figure]
    index: IndexChoice | None
    reranker: RankerChoice | None
    """Among rerankers, where ``mercato front`` measured some."""
    noise: UnderNoise | None
    """What noise in texts costs, where ``mercato robustness`` tried some."""


def write_report(run: RunFolder, evaluated: Path, seed: int) -> Path:
    """Write ``report.html`` into the run folder's root and return its path.

    Args:
        run: with every stage before ``evaluate`` finished.
        evaluated: folder that ``evaluate`` wrote, sealed or not yet.
        seed: draws the users that are shown.
    """
    path = run.root / NAME
    write_atomic(path, render(compose(run, evaluated, seed)))
    return path


def compose(run: RunFolder, evaluated: Path, seed: int) -> Report:
    """Read the run and return what its page says."""
    shop = open_shop(run)
    measurements = open_measurements(run, evaluated, shop)
    # The same users under every protocol, so that their lists can be compared.
    named = people.name_people(measurements[0].requests, shop, seed)
    parts = [_part(run, measurement, shop, named) for measurement in measurements]
    confidence = measurements[0].metrics["intervals"]["confidence"]
    curves = [
        *model_plots.tower_figures(training.read_columns(run.stage("train-towers") / "curves.csv")),
        *model_plots.ranker_figures(training.read_columns(run.stage("train-ranker") / "curves.csv")),
    ]
    return Report(
        name=measurements[0].metrics["dataset"],
        parts=parts,
        calibrations=list(
            model_plots.calibration_figures(intents.read_calibrations(run, measurements[0].requests), confidence)
        ),
        chances=list(chances.chance_figures(measurements[0].metrics, confidence)),
        intent=measurements[0].metrics.get("intent"),
        probe=measurements[0].metrics.get("sensitive_probe", []),
        training=curves,
        index=read_index_choice(run),
        reranker=read_ranker_choice(run),
        noise=read_noise(run),
    )


def _part(run: RunFolder, measurement: Measurement, shop: Shop, named: dict[int, str]) -> Part:
    metrics, anchor = measurement.metrics, measurement.protocol.replace("_", "-")
    k = cut_off(metrics)
    differences = headline.differences(metrics)
    measure = headline.DIFFERENCES[0]
    listed = popularity.popularity_shares(measurement, shop, k)
    made_of = variety.variety_figures(anchor, metrics, listed)
    return Part(
        anchor=anchor,
        title="Only items new to their user" if metrics["filter_seen"] else "All items, repeats included",
        k=k,
        terms=headline.terms(metrics),
        sentence=headline.sentence(metrics),
        rule=rule(metrics),
        rows=headline.rows(metrics),
        differences=differences,
        difference_figure=plots.difference_figure(anchor, differences, measure, k) if differences else None,
        at_k=list(plots.at_k_figures(anchor, metrics)),
        segments=list(plots.segment_figures(anchor, metrics)),
        popularity=plots.popularity_figure(anchor, listed, k),
        made_of=made_of,
        made_of_differences=variety.variety_differences(metrics, made_of, listed),
        sources=sources.read_sources(metrics),
        prices=rules.read_prices(metrics),
        verdict=training.read_verdict(run, measurement.protocol),
        people=people.describe_people(measurement, shop, named),
        looks=styles(measurement.systems),
    )

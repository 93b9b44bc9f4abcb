"""``mercato compare RUN_A RUN_B``: which differences between finished runs are real, in all and in each segment."""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from commerce.columns import NO_ITEM
from commerce.differences import Difference, corrected, find_differences
from commerce.durable import write_atomic
from commerce.metrics import RANKED, find
from commerce.segments import Segment
from commerce.significance import enough_draws
from configs.errors import InputError
from pipeline import evaluations
from pipeline.alignment import Alignment, align, take
from pipeline.asked import Evaluated
from pipeline.segments import run_segments

FORMAT = 1
"""Version of the file that ``--json`` writes."""
_METRICS = ("ndcg@10", "recall@10")


@dataclass(frozen=True)
class Side:
    """A system of a run, or one that was measured beside them."""

    run: Evaluated
    system: str
    lists: NDArray[np.int32]
    """``[requests, depth or fewer]``, ``NO_ITEM`` padded."""
    depth: int
    """Places of a list that were kept."""

    @classmethod
    def open(cls, run: Evaluated, system: str) -> Side:
        """Read a system's lists.

        Raises:
            InputError: if the run has no such system, or measured it on other requests.
        """
        if system in run.systems:
            return cls(run, system, run.lists(system)[0], run.depth)
        beside = evaluations.kept(run)
        if system not in beside:
            known = [*run.systems, *beside]
            near = difflib.get_close_matches(system, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"it measured {', '.join(known)}"
            raise InputError(f"{run.root} has no system {system}; {hint}")
        items, _, depth = evaluations.read(run, system)
        return cls(run, system, items, depth)

    def __str__(self) -> str:
        return f"{self.system} of {self.run.root}"


@dataclass(frozen=True)
class Pair:
    """Two sides on the same requests, and how they differ."""

    first: Side
    second: Side
    alignment: Alignment
    differences: list[Difference]


@click.command(short_help="Say which differences between runs, or systems of one run, are real.")
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN [RUN]...")
@click.option("--metric", "metrics", multiple=True, default=_METRICS, show_default=True, help="Measure; repeatable.")
@click.option("--system", default="mercato", show_default=True, help="System of each run, its own or one given to it.")
@click.option("--against", default="", help="System of the first run to compare with; the same system unless said.")
@click.option("--segments/--no-segments", default=True, show_default=True, help="Also compare in each segment.")
@click.option("--new-items", is_flag=True, help="Compare what was measured on items new to their user.")
@click.option("--on-common-requests", is_flag=True, help="Compare on the requests that both runs have.")
@click.option("--confidence", type=click.FloatRange(0, 1, True, True), default=0.95, show_default=True)
@click.option("--resamples", type=click.IntRange(min=100), default=1000, show_default=True, help="Behind intervals.")
@click.option("--json", "file", type=click.Path(path_type=Path), help="Also write the comparison to this file.")
def compare(
    runs: tuple[Path, ...],
    metrics: tuple[str, ...],
    system: str,
    against: str,
    segments: bool,
    new_items: bool,
    on_common_requests: bool,
    confidence: float,
    resamples: int,
    file: Path | None,
) -> None:
    """Compare the runs in the folders RUN with the first of them, or two systems of one run.

    A system that `mercato evaluate CONFIG --ranking FILE --name NAME` measured is compared under its NAME (--system,
    --against), or as RUN/evaluations/NAME.json in the place of a RUN:

    \b
      mercato compare RUN/evaluations/NAME.json --against mercato
      mercato compare RUN_A RUN_B/evaluations/NAME.json

    A difference is called real by a randomisation test over users, corrected (Holm) for all that is printed.
    """
    sides = _sides(runs, system, against, new_items)
    measures = [_measure(metric, sides) for metric in dict.fromkeys(metrics)]
    first = sides[0]
    aligned = [_aligned(first.run, other.run, on_common_requests) for other in sides[1:]]
    parts = run_segments(first.run) if segments else []
    draws = enough_draws(len(aligned) * len(measures) * (1 + len(parts)), confidence)
    pairs = []
    for other, alignment in zip(sides[1:], aligned, strict=True):
        found = _differences(first, other, alignment, measures, parts, resamples, draws, confidence)
        pairs.append(Pair(first, other, alignment, found))
    pairs = _corrected(pairs)
    _print(pairs, confidence, resamples, draws)
    if file:
        text = json.dumps(_as_json(pairs, confidence, resamples, draws), indent=1, ensure_ascii=False)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(file, text)


def _sides(runs: tuple[Path, ...], system: str, against: str, new_items: bool) -> list[Side]:
    """Return the side that is compared with, then those compared with it."""
    named = [_named(path, system) for path in runs]
    if len(named) == 1 and against in ("", named[0][1]):
        raise InputError(
            f"there is nothing to compare {named[0][1]} of {named[0][0]} with; name a second run folder, or another "
            "system of this run with --against"
        )
    if len(named) > 1 and against and runs[0] != named[0][0]:
        raise InputError(f"--against {against} and {runs[0]} both say what to compare with; leave one of them out")
    if against:
        named = [(named[0][0], against), *(named[1:] or named)]
    opened = {root: Evaluated.open(root, new_items) for root in dict.fromkeys(root for root, _ in named)}
    return [Side.open(opened[root], name) for root, name in named]


def _named(path: Path, system: str) -> tuple[Path, str]:
    """Return the run folder and the system that an argument means: a run folder, or a file of its evaluations."""
    if path.suffix != ".json":
        return path, system
    if path.parent.name != evaluations.FOLDER or path.stem.endswith(evaluations.NEW_ITEMS):
        raise InputError(
            f"{path} is no run folder; beside those, RUN/{evaluations.FOLDER}/NAME.json is expected, as `mercato "
            "evaluate CONFIG --ranking FILE` wrote it (what was measured on new items: the same, with --new-items)"
        )
    return path.parent.parent, path.stem


def _measure(metric: str, sides: list[Side]) -> tuple[str, int]:
    name, _, digits = metric.partition("@")
    if name not in RANKED or not digits.isdecimal() or int(digits) < 1:
        near = difflib.get_close_matches(name, RANKED, n=1)
        hint = f"; did you mean {near[0]}@{digits if digits.isdecimal() else 10}?" if near else ""
        raise InputError(
            f"--metric {metric} is not known; a metric of single requests is expected, with its cut-off: "
            f"{', '.join(f'{known}@10' for known in RANKED)}{hint}"
        )
    for side in sides:
        if int(digits) > side.depth:
            raise InputError(
                f"--metric {metric} looks deeper than the {side.depth} places that {side.run.root} kept of "
                f"{side.system}; name a smaller cut-off, or evaluate it with evaluate.at=[10,{digits}]"
            )
    return name, int(digits)


def _aligned(first: Evaluated, second: Evaluated, on_common: bool) -> Alignment:
    alignment = align(first, second)
    common = len(alignment.first)
    if not common or (alignment.apart and not on_common):
        hint = f", or compare on the {common:,} that both have with --on-common-requests" if common else ""
        raise InputError(
            f"{first.root} and {second.root} were not measured on the same requests: {'; '.join(alignment.apart)}. Run "
            f"both on the same tables with the same prepare and evaluate sections and run.seed{hint}"
        )
    return alignment


def _differences(
    first: Side,
    second: Side,
    alignment: Alignment,
    metrics: list[tuple[str, int]],
    parts: list[Segment],
    resamples: int,
    draws: int,
    confidence: float,
) -> list[Difference]:
    relevant = take(first.run.relevant, alignment.first)
    ours, theirs = first.lists[alignment.first], second.lists[alignment.second]
    theirs = np.where(theirs == NO_ITEM, NO_ITEM, alignment.items[theirs])
    segments = [_taken(segment, first.run, alignment) for segment in parts]
    return find_differences(
        find(ours, relevant),
        find(theirs, relevant),
        first.run.requests.user[alignment.first],
        metrics,
        [segment for segment in segments if segment.keep.any()],
        resamples=resamples,
        draws=draws,
        confidence=confidence,
        seed=first.run.metrics["seed"],
    )


def _taken(segment: Segment, run: Evaluated, alignment: Alignment) -> Segment:
    """Return a segment of a run's relevant items as one of the common requests' relevant items."""
    common = np.zeros(len(run.requests), dtype=bool)
    common[alignment.first] = True  # the rows ascend, so the order stays
    return Segment(segment.name, segment.keep[np.repeat(common, run.relevant.counts)], segment.of_items)


def _corrected(pairs: list[Pair]) -> list[Pair]:
    """Correct the p-values of all that is printed together."""
    family = iter(corrected([difference for pair in pairs for difference in pair.differences]))
    return [Pair(p.first, p.second, p.alignment, [next(family) for _ in p.differences]) for p in pairs]


def _print(pairs: list[Pair], confidence: float, resamples: int, draws: int) -> None:
    from pipeline.comparison_table import comparison_lines

    for pair in pairs:
        click.echo("\n".join(comparison_lines(str(pair.first), str(pair.second), pair.differences, confidence)))
        if pair.alignment.apart:
            only_first, only_second, other = pair.alignment.left_out
            click.echo(
                f"Compared on the {len(pair.alignment.first):,} requests that both have. Left out: {only_first:,} only "
                f"in A's run, {only_second:,} only in B's, {other:,} with other relevant items or gains. The runs "
                f"differ: {'; '.join(pair.alignment.apart)}."
            )
        click.echo()
    family = sum(len(pair.differences) for pair in pairs)
    click.echo(
        f"{confidence:.0%} intervals from {resamples:,} resamples of users, each by itself. p: randomisation test over "
        f"users, {draws:,} draws, corrected (Holm) for the {family:,} comparisons printed; what is called better or "
        f"worse has p up to {1 - confidence:.3g}."
    )


def _as_json(pairs: list[Pair], confidence: float, resamples: int, draws: int) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "confidence": confidence,
        "resamples": resamples,
        "draws": draws,
        "seed": pairs[0].first.run.metrics["seed"],
        "family": sum(len(pair.differences) for pair in pairs),
        "pairs": [
            {
                "a": {"run": str(pair.first.run.root), "system": pair.first.system},
                "b": {"run": str(pair.second.run.root), "system": pair.second.system},
                "requests": len(pair.alignment.first),
                "left_out": list(pair.alignment.left_out),
                "comparisons": [_row(difference, confidence) for difference in pair.differences],
            }
            for pair in pairs
        ],
    }


def _row(found: Difference, confidence: float) -> dict[str, Any]:
    return {
        "segment": found.part,
        "metric": found.metric,
        "requests": found.requests,
        "users": found.users,
        "a": round(found.first, 6),
        "b": round(found.second, 6),
        "difference": {name: round(number, 6) for name, number in found.interval.as_dict().items()},
        "p_holm": found.p_value,
        "verdict": found.verdict(confidence),
    }

"""``mercato verify BUNDLE`` and ``mercato recommend BUNDLE --user ID``: what a serving machine needs to call."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from configs.errors import InputError

if TYPE_CHECKING:
    from rich.table import Table

    from serving.diff import Difference
    from serving.requests import Answer

_FIELDS = ("title", "category", "price")
"""Fields of an item that the table shows, where the shop has them."""
_CONDITION = re.compile(r"\s*(.+?)\s*(<=|>=|=)\s*(.+?)\s*")
_AGAIN = 20
"""Times that a request is asked again where its steps are timed."""
_PIPED_WIDTH = 120
"""Columns where the output goes into a file or another program."""


@click.command(short_help="Check a bundle's hashes and replay its golden requests.")
@click.argument("bundle", type=click.Path(path_type=Path))
def verify(bundle: Path) -> None:
    """Check every file of BUNDLE against its manifest and replay the golden requests; exit code 1 on any difference."""
    _use_one_thread()
    from serving.parts import parts_line
    from serving.verify import verify as check

    report = check(bundle)
    golden = report.golden
    click.echo(
        f"{bundle}: whole (bundle {report.bundle}, {report.files} files, {report.bytes / 1e6:,.1f} MB, "
        f"{report.items:,} items{'' if report.personalised else '; unpersonalised: made without a log'}"
        f"{'; signed by the expected key' if report.signed else ''})\n"
        f"{golden.requests} golden requests answered as {_answered(report.precisions)}, {golden.reranked} of them "
        f"reranked: lowest cosine {golden.lowest_cosine:.7f}, largest score difference {golden.largest_difference:.1e} "
        f"({report.seconds:.1f} s)"
    )
    click.echo(parts_line(report.parts))


def _answered(precisions: Mapping[str, str]) -> str:
    """Return whose answers the golden ones are."""
    small = [graph for graph, precision in precisions.items() if precision == "int8"]
    return f"by torch and {' and '.join(small)} in int8" if small else "by torch"


@click.command("add-items", short_help="Add new items to a bundle, without torch.")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("file", type=click.Path(path_type=Path))
def add_items(bundle: Path, file: Path) -> None:
    """Add the items of FILE (CSV or JSON lines, with the columns of the shop's items table) to BUNDLE.

    Their texts and features are encoded by the bundle's own graphs. The bundle is verified before and after, and
    replaced in one step: what fails leaves it as it was.
    """
    from serving.new_items import add_items as add

    added = add(bundle, file)
    click.echo(
        f"{bundle}: {added.items:,} items added, {added.report.items:,} in all; bundle {added.former} became "
        f"{added.report.bundle}, which answers {added.report.golden.requests} golden requests "
        f"({added.report.seconds:.1f} s)"
    )


@click.command(short_help="Say what sets two bundles apart.")
@click.argument("one", metavar="BUNDLE_A", type=click.Path(path_type=Path))
@click.argument("other", metavar="BUNDLE_B", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print all of it as JSON, every id too.")
def diff(one: Path, other: Path, as_json: bool) -> None:
    """Print how BUNDLE_B differs from BUNDLE_A: items, where they stand, answers, metrics, settings."""
    _use_one_thread()
    import json
    from dataclasses import asdict

    from serving.diff import diff as compare

    found = compare(one, other)
    click.echo(json.dumps(asdict(found), ensure_ascii=False, indent=1) if as_json else "\n".join(diff_lines(found)))


def diff_lines(found: Difference) -> list[str]:
    """Return a difference in lines for a person."""
    lines = [
        f"items: {_listed(found.added, 'added')}; {_listed(found.removed, 'removed')}",
        "fields that differ: "
        + (", ".join(f"{name} of {count:,}" for name, count in found.changed.items()) or "none of the items of both"),
    ]
    if found.drift is not None:
        cosine = "" if found.drift.cosine is None else f"; mean cosine of their vectors {found.drift.cosine:.4f}"
        lines.append(
            f"of the ten nearest items {found.drift.neighbours:.0%} are the same on average, {found.drift.lowest:.0%} "
            f"at least ({found.drift.items:,} items of both){cosine}"
        )
    answers = found.answers
    lines.append(
        f"answers to {answers.requests} golden requests of the first: {answers.items:.0%} of ten items in both, the "
        f"same first item in {answers.first:.0%}"
    )
    lines += [
        f"{name}: {one:.4f} -> {other:.4f} ({other - one:+.4f})"
        for name, (one, other) in found.metrics.items()
        if name.endswith((" recall@10", " ndcg@10"))
    ]
    lines += [f"setting {name}: {one} -> {other}" for name, (one, other) in found.settings.items()]
    return [*lines, f"bytes: {found.bytes[0]:,} -> {found.bytes[1]:,}"]


def _listed(ids: Sequence[str], what: str) -> str:
    return f"{len(ids):,} {what}" + (f" ({', '.join(ids[:3])}{' ...' if len(ids) > 3 else ''})" if ids else "")


@click.command(short_help="Answer one request from a bundle.")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--user", default=None, help="The shop's id of the user; somebody unknown without.")
@click.option("--query", default="", help="Current search terms.")
@click.option("-k", "--items", "k", default=10, show_default=True, help="Items wanted.")
@click.option("--time", "moment", default=None, help="Moment of the request, ISO 8601; the log's end unless given.")
@click.option("--filter-seen/--keep-seen", default=None, help="Leave out what the user had; as evaluated unless given.")
@click.option("--exclude", multiple=True, metavar="ITEM_ID", help="An item that must not come up; may be repeated.")
@click.option(
    "--where", multiple=True, metavar="FIELD=VALUE", help="Only such items; also price<=20, price>=5. Repeat."
)
@click.option("--budget-ms", type=float, default=None, help="Time for the answer; what it does not allow is left out.")
@click.option("--timings", is_flag=True, help="Also print what each step takes, at first and when all is loaded.")
@click.option("--personalise/--no-personalise", default=True, help="Without: history and profile are not looked at.")
def recommend(
    bundle: Path,
    user: str | None,
    query: str,
    k: int,
    moment: str | None,
    filter_seen: bool | None,
    exclude: tuple[str, ...],
    where: tuple[str, ...],
    budget_ms: float | None,
    timings: bool,
    personalise: bool,
) -> None:
    """Print the items that BUNDLE recommends to a user, and why each came up."""
    _use_one_thread()
    from rich.console import Console

    from serving.item_rows import parse_time
    from serving.requests import Request
    from serving.runtime import Runtime

    time = None if moment is None else parse_time(moment)
    runtime = Runtime(bundle)
    request = Request(
        user,
        () if user is None else None,
        query=query,
        k=k,
        time=time,
        filter_seen=filter_seen,
        exclude=exclude,
        where=parse_where(where),
        budget_ms=budget_ms,
        personalise=personalise,
    )
    if budget_ms is not None:
        runtime.warm_up()
    answer = runtime.answer(request)
    console = Console()
    if not console.is_terminal:
        console.width = _PIPED_WIDTH
    console.print(recommendation_table(answer, _title(user, query)))
    if answer.intents:
        likely = ", ".join(f"{intent} {share:.0%}" for intent, share in answer.intents.items())
        console.print(f"intent: {likely}", highlight=False)
    for note in answer.notes:
        console.print(f"note: {note}", highlight=False, markup=False)
    if timings:
        console.print(timings_table(answer, [runtime.answer(request) for _ in range(_AGAIN)]))


def recommendation_table(answer: Answer, title: str) -> Table:
    """Lay out an answer: rank, item, what the shop shows of it, score, and the sources that found it with its rank."""
    from rich.markup import escape
    from rich.table import Table

    # A shop's titles mostly name the brand.
    shown = [name for name in _FIELDS if any(item.fields.get(name) not in (None, "") for item in answer.items)]
    table = Table(title=escape(title), title_justify="left")
    table.add_column("#", justify="right")
    table.add_column("item", no_wrap=True)
    for name in shown:
        table.add_column(name, overflow="fold", justify="right" if name == "price" else "left")
    table.add_column("score", justify="right")
    table.add_column("found by", overflow="fold")
    for rank, item in enumerate(answer.items, start=1):
        cells = [_cell(item.fields.get(name)) for name in shown]
        reasons = ", ".join(map(str, item.reasons))
        table.add_row(str(rank), *(escape(cell) for cell in (item.item_id, *cells)), f"{item.score:.4f}", reasons)
    return table


def timings_table(first: Answer, later: Sequence[Answer]) -> Table:
    """Lay out what each step of a request took: at first, and the median of later times; milliseconds."""
    from statistics import median

    from rich.table import Table

    table = Table(title="Time of each step, ms", title_justify="left")
    for name in ("step", "first", f"median of {len(later)} more"):
        table.add_column(name, justify="left" if name == "step" else "right")
    steps = list(dict.fromkeys(step for answer in (first, *later) for step in answer.seconds))
    for step in steps:
        again = median(answer.seconds.get(step, 0.0) for answer in later)
        table.add_row(step, f"{first.seconds.get(step, 0.0) * 1e3:,.2f}", f"{again * 1e3:,.2f}")
    whole = median(sum(answer.seconds.values()) for answer in later)
    table.add_row("in all", f"{sum(first.seconds.values()) * 1e3:,.2f}", f"{whole * 1e3:,.2f}")
    return table


def parse_where(conditions: Sequence[str]) -> dict[str, Any] | None:
    """Return the filter that conditions such as ``brand=Zenkai`` or ``price<=20`` ask for, None for none.

    Raises:
        InputError: if one is none.
    """
    where: dict[str, Any] = {}
    for condition in conditions:
        parts = _CONDITION.fullmatch(condition)
        if parts is None:
            raise InputError(f"{condition!r} is no condition; write FIELD=VALUE, FIELD<=NUMBER or FIELD>=NUMBER")
        name, sign, value = parts.groups()
        kind = list if sign == "=" else dict
        if not isinstance(where.setdefault(name, kind()), kind):
            raise InputError(f"{name} cannot be asked for by a value and by a range at once")
        if sign == "=":
            where[name].append(value)
        else:
            where[name]["max" if sign == "<=" else "min"] = value
    return where or None


def _use_one_thread() -> None:
    """Keep NumPy and FAISS from starting a thread per core, which single requests only wait for."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def _title(user: str | None, query: str) -> str:
    who = "For somebody unknown" if user is None else f"For user {user}"
    return who + (f", searching {query!r}" if query else "")


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:,.2f}" if isinstance(value, float) else str(value)

"""``mercato explain BUNDLE --user ID --item ID``: why an item is recommended, or why not, in plain words."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from serving.explain import Because, Explanation
    from serving.score_parts import Part


@click.command(short_help="Say why an item is recommended, or why not.")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--item", "item_id", required=True, help="The shop's id of the item.")
@click.option("--user", default=None, help="The shop's id of the user; left out: somebody unknown.")
@click.option("--query", default="", help="Current search terms.")
@click.option("-k", "--items", "k", default=10, show_default=True, help="Items that are shown.")
@click.option("--time", "moment", default=None, help="Moment of the request, ISO 8601; the log's end unless given.")
@click.option("--filter-seen/--keep-seen", default=None, help="Leave out what the user had; as evaluated unless given.")
@click.option(
    "--where", multiple=True, metavar="FIELD=VALUE", help="Only such items; also price<=20, price>=5. Repeat."
)
@click.option("--json", "as_json", is_flag=True, help="Print all of it as JSON.")
def explain(
    bundle: Path,
    item_id: str,
    user: str | None,
    query: str,
    k: int,
    moment: str | None,
    filter_seen: bool | None,
    where: tuple[str, ...],
    as_json: bool,
) -> None:
    """Say why BUNDLE recommends an item to a user: sources, reasons, features, past events; or why it does not."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # single requests only wait for a thread per core
    from serving.commands import parse_where
    from serving.explain import explain as tell
    from serving.item_rows import parse_time
    from serving.requests import Request
    from serving.runtime import Runtime

    request = Request(
        user,
        () if user is None else None,
        query=query,
        k=k,
        time=None if moment is None else parse_time(moment),
        filter_seen=filter_seen,
        where=parse_where(where),
    )
    told = tell(Runtime(bundle), request, item_id)
    click.echo(
        json.dumps(asdict(told), ensure_ascii=False, indent=1) if as_json else "\n".join(explanation_lines(told))
    )


def explanation_lines(told: Explanation) -> Iterator[str]:
    """Yield an explanation as a shop manager reads it."""
    where = "is not in the list" if told.place is None else f"stands at place {told.place:,}"
    shown = "" if told.shown else f", so it is not among the {told.wanted:,} shown"
    yield f"{told.title} ({told.item_id}) {where}{shown}."
    for sentence in told.why_not:
        yield f"Why not: {sentence}."
    if told.reasons:
        yield "What speaks for it, the strongest first:"
        yield from (_line(number, reason) for number, reason in enumerate(told.reasons, start=1))
    if told.against:
        yield "What speaks against it:"
        yield from (f"   - {reason.words}{_without(reason)}" for reason in told.against)
    if told.intents:
        likely = max(told.intents, key=lambda name: told.intents[name])
        yield f"The user is most likely here to {likely} ({told.intents[likely]:.0%})."
    if told.found_by:
        yield "Found by: " + "; ".join(f"{reason.source} #{reason.rank}" for reason in told.found_by) + "."
    if told.features:
        yield "What its score is made of, the most first:"
        yield from _parts(told.features)
    if told.events:
        yield "Past events that brought the user nearest to it:"
        yield from _parts(told.events)
    yield from (f"Note: {note}." for note in told.notes)


def _parts(parts: Sequence[Part]) -> Iterator[str]:
    """Yield the parts that are at least a hundredth of the largest, to two digits."""
    least = 0.01 * max(abs(part.value) for part in parts)
    for part in parts:
        if abs(part.value) >= least:
            yield f"  {part.value:+9.2g}  {part.words}"


def _line(number: int, reason: Because) -> str:
    return f"  {number}. {reason.words}{_without(reason)}"


def _without(reason: Because) -> str:
    if reason.kind == "popular":
        return ""
    place = "it would not be found" if reason.place_without is None else f"place {reason.place_without:,}"
    return f" (without this: {place})"

"""``mercato intents RUN``: how moments were labelled, how often, and examples as a person would read them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from commerce.columns import ACTIONS, INTENTS, MICROSECONDS, NO_INTENT, NO_ITEM, NO_QUERY
from commerce.histories import Histories
from commerce.intent_moments import IntentMoments, of_requests
from commerce.records import Requests
from configs.errors import InputError
from pipeline.session_files import INTENT_MOMENTS, INTENT_RULES, read_sessions
from pipeline.show import some

_BEFORE, _AFTER = 4, 8
"""Events of the session that are shown before and after a moment."""
_TITLE = 40


@click.command(short_help="Print the intent labels' rules, shares and examples.")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("-n", "--examples", default=3, show_default=True, help="Examples of each intent.")
def intents(run: Path, examples: int) -> None:
    """Print how RUN labelled what visitors were about, how often, and some moments with what led to the label.

    Where the towers are trained and ``embed`` is done, what the intent head foretold stands beside.
    """
    prepared = run / "prepare"
    if not (prepared / INTENT_RULES).is_file():
        raise InputError(
            f"{prepared / INTENT_RULES} is not there; run `mercato prepare CONFIG`, or name its run folder"
        )
    click.echo("\n".join(json.loads((prepared / INTENT_RULES).read_text(encoding="utf-8"))))
    told = Reader(run)
    moments, chances, where = _moments(run)
    click.echo(f"\nExamples from {where}:")
    for code, intent in enumerate(INTENTS):
        rows = some(np.flatnonzero(moments.label == code), examples)
        if not rows:
            click.echo(f"\n{intent}: no moment was labelled so")
        for row in rows:
            click.echo(f"\n{intent}: {told.moment(moments, row)}")
            for line in told.around(moments, row):
                click.echo(f"  {line}")
            if chances is not None:
                shares = ", ".join(f"{name} {share:.0%}" for name, share in zip(INTENTS, chances[row], strict=True))
                click.echo(f"  foretold: {shares}")


class Reader:
    """Puts moments of a run into words."""

    def __init__(self, run: Path) -> None:
        prepared, ingested = run / "prepare", run / "ingest"
        self._histories = Histories.open(prepared / "histories")
        self._users = pq.read_table(ingested / "user_ids.parquet").sort_by("code")["id"].to_pylist()
        self._titles = [json.loads(line)["title"] for line in (prepared / "item_fields.jsonl").open(encoding="utf-8")]
        self._queries = pq.read_table(prepared / "queries.parquet")["text"].to_pylist()
        self._leaf = read_sessions(prepared).facts.leaf
        self._leaves: list[str] = json.loads((prepared / "leaves.json").read_text(encoding="utf-8"))

    def moment(self, moments: IntentMoments, row: int) -> str:
        """Return whose moment it is, when, and what was asked."""
        query = int(moments.query[row])
        asked = "without a search" if query == NO_QUERY else f'asked for "{self._queries[query]}"'
        when = np.array(moments.time[row], dtype="datetime64[us]").astype("datetime64[s]")
        return f"user {self._users[moments.user[row]]} at {str(when).replace('T', ' ')} UTC, {asked}"

    def around(self, moments: IntentMoments, row: int) -> list[str]:
        """Return what the session showed before the moment, and what after it the label is made of."""
        histories, end, time = self._histories, int(moments.end[row]), int(moments.time[row])
        start, stop = (int(histories.offsets[int(moments.user[row]) + side]) for side in (0, 1))
        later = end + int(np.searchsorted(histories.time[end:stop], time, side="right"))
        session = histories.session[later]
        before = [at for at in range(max(start, end - _BEFORE), end) if histories.session[at] == session]
        after = [at for at in range(later, stop) if histories.session[at] == session]
        more = f" | and {len(after) - _AFTER} more" if len(after) > _AFTER else ""
        shown = " | ".join(self._event(at, time) for at in after[:_AFTER])
        so_far = " | ".join(self._event(at, time) for at in before) or "nothing of the session"
        return [f"so far: {so_far}", f"then:   {shown}{more}"]

    def _event(self, at: int, moment: int) -> str:
        item, query = int(self._histories.item[at]), int(self._histories.query[at])
        action = ACTIONS[self._histories.action[at]]
        minutes = (int(self._histories.time[at]) - moment) / (60 * MICROSECONDS)
        if item == NO_ITEM:
            return f'{minutes:+.1f} min {action} "{self._queries[query] if query != NO_QUERY else ""}"'
        leaf = int(self._leaf[item])
        title = self._titles[item] if len(self._titles[item]) <= _TITLE else f"{self._titles[item][: _TITLE - 1]}…"
        return f"{minutes:+.1f} min {action} {title}" + (f" [{self._leaves[leaf]}]" if leaf >= 0 else "")


def _moments(run: Path) -> tuple[IntentMoments, NDArray[np.float32] | None, str]:
    """Return the moments that examples come from, what was foretold of them, and where they are from."""
    requests = Requests.read(run / "prepare" / "requests.parquet").of("test")
    known = requests.intent != NO_INTENT
    if not known.any():
        return IntentMoments.load(run / "prepare" / INTENT_MOMENTS), None, "the moments that the head learns from"
    foretold: Any = None
    file = run / "embed" / "intents_test.npy"
    if file.is_file():
        foretold = np.load(file)
        foretold = foretold[known] if len(foretold) == len(known) else None
    return of_requests(requests), foretold, "requests of the test window"

"""``mercato profiles RUN``, ``mercato profile RUN USER``: what is known of each user, for people and other systems."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import scipy.sparse as sp
from numpy.typing import NDArray

from commerce.columns import INTENTS, MICROSECONDS
from commerce.durable import replace_folder
from commerce.histories import Histories
from commerce.profiles import (
    PARTS_OF_DAY,
    PRIOR,
    SEGMENTS,
    WEIGHTS,
    Behaviour,
    ItemTags,
    Tagging,
    describe_behaviour,
    learn_tagging,
    price_levels,
    weigh,
)
from configs.errors import InputError
from pipeline.catalogue import sensitive_items
from pipeline.forget import key_variable
from pipeline.profile_columns import SCHEMA, dictionary
from pipeline.run_folder import RunFolder
from pipeline.search_terms import told_query_texts
from pipeline.stage_key import outputs_digest
from pipeline.tag_evaluation import evaluate_tags, tag_lines
from pipeline.user_hashes import hashed, user_key
from serving.rights import Rights

FOLDER, FILE, DICTIONARY = "profiles", "profiles.parquet", "dictionary.json"
_AT_ONCE = 1_024
"""Users whose strengths for all tags are held together."""
_TELLING = 1 + 1e-5
"""Times everybody's share above which a strength is the user's own, not rounding."""
_FROM = ("prepare", "train-towers", "embed")


@dataclass(frozen=True)
class Source:
    """A run's files, as profiles are made from them."""

    run: RunFolder
    settings: dict[str, Any]
    """What ``prepare`` ran under: sections of the config."""
    histories: Histories
    tags: ItemTags
    told: NDArray[np.bool_]
    """``[queries]``: whether enough users typed the query."""
    halflife_days: float

    @classmethod
    def open(cls, root: Path, tags: Sequence[str], halflife_days: float) -> Source:
        """Open a run that has been prepared.

        Raises:
            InputError: if it has not, it has no log, or a feature for tags is not there.
        """
        run = RunFolder(root)
        prepared = run.stage("prepare")
        settings = (run.manifest("prepare") or {})["settings"]
        histories = Histories.open(prepared / "histories")
        columns, category = _tag_columns(run, settings["data"], tags)
        items = pq.read_metadata(prepared / "item_texts.parquet").num_rows
        told = told_query_texts(prepared, settings["text"]["terms_min_users"])
        return cls(
            run,
            settings,
            histories,
            ItemTags.of(columns, category, items, sensitive_items(prepared)),
            np.array([bool(text) for text in told], dtype=bool),
            halflife_days,
        )

    @property
    def prepared(self) -> Path:
        """Folder of ``prepare``."""
        return self.run.stage("prepare")

    def tagging(self, ends: NDArray[np.int64], moments: NDArray[np.int64]) -> Tagging:
        """Return how events before ``ends`` become strengths."""
        return learn_tagging(self.histories, ends, moments, self.tags, self.told, self.halflife_days)

    def strengths(
        self, tagging: Tagging, ends: NDArray[np.int64], moments: NDArray[np.int64]
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """Yield (users, strengths ``[users, tags]``), so many at a time that they fit."""
        for users, weights in weigh(self.histories, ends, moments, tagging):
            for first in range(0, weights.shape[0], _AT_ONCE):
                part: sp.csr_matrix = weights[first : first + _AT_ONCE]
                yield users.start + first + np.arange(part.shape[0]), tagging.strengths(part)


@click.command(short_help="Write a profile of every user, and how well tags foretell purchases.")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--tag", "tags", multiple=True, help="Item feature whose values are tags; repeatable. All declared ones.")
@click.option("--top", default=10, show_default=True, help="Tags kept of each feature.")
@click.option("--halflife-days", default=60.0, show_default=True, help="Days after which an event counts half.")
@click.option("--raw-ids", is_flag=True, help="Write the shop's ids of users instead of keyed hashes.")
@click.option("--out", type=click.Path(path_type=Path), default=None, help="Folder; RUN/profiles unless given.")
def profiles(run: Path, tags: tuple[str, ...], top: int, halflife_days: float, raw_ids: bool, out: Path | None) -> None:
    """Write RUN/profiles: profiles.parquet, a row a user, and dictionary.json, which says what its columns mean."""
    from pipeline.cli import run_folder_of

    if top < 1 or not halflife_days > 0:
        raise InputError(f"--top must be at least 1 and --halflife-days above 0, got {top} and {halflife_days:g}")
    root = run_folder_of(run)
    for line in write_profiles(root, tags, top, halflife_days, raw_ids, out or root / FOLDER):
        click.echo(line)


@click.command(short_help="Print one user's profile.")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("user")
def profile(run: Path, user: str) -> None:
    """Print the profile of USER (the shop's id), as `mercato profiles RUN` wrote it."""
    from rich.console import Console

    from pipeline.cli import run_folder_of
    from pipeline.profile_page import profile_parts

    root = run_folder_of(run)
    row = read_profile(root, user)
    console = Console(highlight=False, width=max(100, Console().width))
    for part in profile_parts(row, user):
        console.print(part)


def write_profiles(
    root: Path, tags: Sequence[str], top: int, halflife_days: float, raw_ids: bool, out: Path
) -> list[str]:
    """Write the profiles of a run into the folder ``out``, whole or as it was; return what to say.

    Those who were forgotten or opted out have none.
    """
    for stage in _FROM:
        RunFolder(root).stage(stage)
    source = Source.open(root, tags, halflife_days)
    key, made = user_key(key_variable(root), root)
    ids = pq.read_table(source.run.stage("ingest") / "user_ids.parquet").sort_by("code")["id"].to_pylist()
    rights = Rights(root / "bundle")
    kept = np.array([bool(id_) and not rights.opted_out(id_, lambda: key) for id_ in ids], dtype=bool)
    evaluated = evaluate_tags(source)
    temporary = out.with_name(f".{out.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    names = [id_ if raw_ids else (hashed(key, id_) if id_ else "") for id_ in ids]
    try:
        _write_rows(source, names, kept, top, temporary / FILE)
        facts = {
            "run": root.name,
            "moment": _end(source.histories),
            "users": int(kept.sum()),
            "left_out": {"forgotten": sum(not id_ for id_ in ids), "opted_out": int(sum(map(bool, ids)) - kept.sum())},
            "ids": "raw" if raw_ids else "hashed",
            "tags_of": source.tags.kinds,
            "top": top,
            "halflife_days": halflife_days,
            "weights": WEIGHTS,
            "prior": PRIOR,
            "made_from": {stage: outputs_digest(source.run, stage) for stage in _FROM},
            "columns": dictionary(),
            "tags_foretell": [asdict(one) for one in evaluated],
        }
        (temporary / DICTIONARY).write_text(json.dumps(facts, indent=1, ensure_ascii=False), encoding="utf-8")
        replace_folder(temporary, out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    size = (out / FILE).stat().st_size
    return [
        *made,
        *tag_lines(evaluated),
        f"{out / FILE}: {kept.sum():,} users, {len(source.tags.names):,} tags of {', '.join(source.tags.kinds)}, "
        f"{size / 1e6:,.1f} MB; ids {'as the shop has them' if raw_ids else 'under keyed hashes'}",
        f"{out / DICTIONARY}: what each column means",
    ]


def read_profile(root: Path, user: str) -> dict[str, Any]:
    """Return the row of a user.

    Raises:
        InputError: if the profiles were not written, are of an earlier state of the run, or do not know the user.
    """
    folder = root / FOLDER
    if not (folder / DICTIONARY).is_file():
        raise InputError(f"{folder} is not there; run `mercato profiles {root}` first")
    facts = json.loads((folder / DICTIONARY).read_text(encoding="utf-8"))
    run = RunFolder(root)
    if facts["made_from"] != {stage: outputs_digest(run, stage) for stage in _FROM}:
        raise InputError(f"{folder} was made from an earlier state of {root}; run `mercato profiles {root}` again")
    key, _ = user_key(key_variable(root), root)
    name = user if facts["ids"] == "raw" else hashed(key, user)
    rows = pq.read_table(folder / FILE, filters=[("user", "=", name)]).to_pylist()
    if not rows:
        left = facts["left_out"]
        raise InputError(
            f"user {user} is not among the {facts['users']:,} profiles in {folder}; look at the id, in which case "
            f"counts ({left['forgotten']} were forgotten and {left['opted_out']} opted out)"
        )
    row: dict[str, Any] = rows[0]
    return row


def _write_rows(source: Source, names: list[str], kept: NDArray[np.bool_], top: int, path: Path) -> None:
    """Write a row for each user who is kept, a block of users at a time."""
    histories = source.histories
    ends = histories.offsets[1:]
    moments = np.full(histories.users, _end(histories), dtype=np.int64)
    tagging = source.tagging(ends, moments)
    placed = _place(source, moments)
    with pq.ParquetWriter(path, SCHEMA, compression="zstd") as writer:
        behaviours = _rows_of(_behaviours(source, ends, moments))
        for users, strengths in source.strengths(tagging, ends, moments):
            told = _tags(tagging, strengths, top)
            rows = []
            for row, user in enumerate(users.tolist()):
                behaviour, (vector, likely) = next(behaviours), next(placed)
                if kept[user]:
                    rows.append({"user": names[user], "tags": told[row], **behaviour, "vector": vector, **likely})
            writer.write_table(pa.Table.from_pylist(rows, schema=SCHEMA))


def _behaviours(source: Source, ends: NDArray[np.int64], moments: NDArray[np.int64]) -> Iterator[Behaviour]:
    prices = np.load(source.prepared / "prices.npy")
    leaf = np.load(source.prepared / "items_features" / "leaf.npy")
    hidden = sensitive_items(source.prepared)
    if hidden is not None:
        prices = np.where(hidden, np.nan, prices)
    labels = np.load(source.prepared / "position_intents.npy", mmap_mode="r")
    chosen = list(source.settings["prepare"]["targets"])
    levels = price_levels(prices, leaf)
    for _, block in describe_behaviour(source.histories, ends, moments, prices, levels, labels, chosen):
        yield block


def _rows_of(blocks: Iterator[Behaviour]) -> Iterator[dict[str, Any]]:
    """Yield each user's numbers as a row; what is not known is None."""
    for block in blocks:
        for user in range(len(block.events)):
            part = int(block.part_of_day[user])
            shown = block.intents[user]
            yield {
                "events": int(block.events[user]),
                "sessions": int(block.sessions[user]),
                "active_days": int(block.active_days[user]),
                "pause_days": _or_none(block.pause_days[user]),
                "days_since": _or_none(block.days_since[user]),
                "weekend_share": _or_none(block.weekend_share[user]),
                "part_of_day": PARTS_OF_DAY[part] if part >= 0 else None,
                "price_low": _or_none(block.price_low[user]),
                "price_median": _or_none(block.price_median[user]),
                "price_high": _or_none(block.price_high[user]),
                "price_level": _or_none(block.price_level[user]),
                "price_band": _band(block.price_level[user]),
                **{f"showed_{name}": _or_none(share) for name, share in zip(INTENTS, shown, strict=True)},
                "segment": SEGMENTS[block.segment[user]],
            }


def _band(level: float) -> str | None:
    """Return in which third of the prices of its categories a level lies."""
    return None if level != level else ("low", "middle", "high")[min(2, int(level * 3))]


def _or_none(number: float) -> float | None:
    return None if number != number else float(number)


def _tags(tagging: Tagging, strengths: NDArray[np.float32], top: int) -> list[list[dict[str, Any]]]:
    """Return each user's ``top`` tags of each feature that are stronger than everybody's, the strongest first."""
    tags, told = tagging.tags, list[list[dict[str, Any]]]([] for _ in strengths)
    for kind, feature in enumerate(tags.kinds):
        own = np.flatnonzero(tags.kind == kind)
        order = np.argsort(-strengths[:, own], axis=1, kind="stable")[:, :top]
        for row, places in enumerate(order):
            for code in own[places].tolist():
                strength, usual = float(strengths[row, code]), float(tagging.shares[code])
                # What everybody has as much of says nothing of this user.
                if strength > usual * _TELLING:
                    lift = strength / usual if usual > 0 else None
                    told[row].append({"feature": feature, "tag": tags.names[code], "strength": strength, "lift": lift})
    return told


def _place(source: Source, moments: NDArray[np.int64]) -> Iterator[tuple[list[float], dict[str, float]]]:
    """Yield each user's vector and predicted intents at the moment, by the trained towers."""
    from pipeline.profile_vectors import place_users

    for vectors, intents in place_users(source.run, source.histories, moments):
        for vector, shares in zip(vectors.tolist(), intents.tolist(), strict=True):
            yield vector, {f"intent_{name}": share for name, share in zip(INTENTS, shares, strict=True)}


def _tag_columns(run: RunFolder, data: dict[str, Any], tags: Sequence[str]) -> tuple[dict[str, list[Any]], str]:
    """Return the columns that make tags, by name, and which of them is the category."""
    category = data["item_category"]
    declared = list(dict.fromkeys([*([category] if category else []), *data["item_categorical"]]))
    unknown = [name for name in tags if name not in declared]
    if unknown:
        raise InputError(f"--tag {unknown[0]} is no declared feature of the items; those are {', '.join(declared)}")
    wanted = list(tags) or declared
    if not wanted:
        raise InputError("no feature of the items is declared, so there are no tags; set data.item_categorical")
    table = pq.read_table(run.stage("ingest") / "items.parquet", columns=["item", *wanted]).sort_by("item")
    return {name: table[name].to_pylist() for name in wanted}, category


def _end(histories: Histories) -> int:
    """Return the moment just after the log, in microseconds."""
    return int(histories.time.max()) + 1 if len(histories.time) else MICROSECONDS

"""An item's neighbourhood for a person: a fan of lines for each kind of edge, drawn as SVG, and all edges as a table.

The drawing is plain arithmetic on the edges: no layout by chance, the same edges give the same page.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from pipeline.report.page import environment

KINDS = {
    "complement": ("Goes with it", "bought together or soon after one another"),
    "substitute": ("Looked at instead", "viewed in one session, without both being bought"),
    "variant": ("Variants of it", "declared by the shop"),
    "parent": ("Belongs to it", "declared by the shop"),
}
"""Kind of edge -> title and what it means, in the order of the page."""
WIDTH, ROW = 330, 54
"""Pixels, of a fan and of a neighbour in it: readable on a phone without scaling."""
_LABEL, _LINES = 104, 2
"""Where labels begin, and lines of a title at most."""
_EM = 13.0
"""Size of a label; a Chinese character is as wide, a Latin letter about half."""


@dataclass(frozen=True)
class Leaf:
    """A neighbour in a fan."""

    item: str
    lines: list[str]
    """Its title, wrapped."""
    title: str
    note: str
    y: float
    width: float
    """Of its line, in pixels: grows with its weight as a share of the strongest of its kind and source."""
    source: str


@dataclass(frozen=True)
class Fan:
    """The neighbours of one kind."""

    kind: str
    title: str
    means: str
    leaves: list[Leaf]

    @property
    def height(self) -> int:
        """In pixels."""
        return ROW * len(self.leaves)


def fans_of(
    edges: Sequence[Mapping[str, Any]], fields: Mapping[str, Mapping[str, Any]], measure: str, k: int
) -> list[Fan]:
    """Return the fans of an item, those with neighbours.

    Args:
        edges: rows of ``graph.parquet`` that start from it.
        fields: what people see of each item, by id.
        measure: of counted edges; those by text and declared ones have but one.
        k: neighbours of a kind at most.
    """
    fans = []
    for kind, (title, means) in KINDS.items():
        own = [edge for edge in edges if edge["kind"] == kind and edge["measure"] in (measure, "text", "declared")]
        # What the shop declares goes first; an item stands once.
        own.sort(key=lambda edge: (edge["source"] != "declared", -edge["weight"], edge["other"]))
        by_other: dict[str, Mapping[str, Any]] = {}
        for edge in own:
            by_other.setdefault(edge["other"], edge)
        chosen = list(by_other.values())[:k]
        most: dict[str, float] = {}
        for edge in chosen:
            most[edge["source"]] = max(most.get(edge["source"], 0.0), edge["weight"])
        leaves = [
            Leaf(
                item=edge["other"],
                lines=wrapped(_title(fields, edge["other"])),
                title=_title(fields, edge["other"]),
                note=_note(edge),
                y=ROW * (place + 0.5),
                width=round(1.0 + 6.0 * edge["weight"] / most[edge["source"]], 2),
                source=edge["source"],
            )
            for place, edge in enumerate(chosen)
        ]
        if leaves:
            fans.append(Fan(kind, title, means, leaves))
    return fans


def render_graph(
    dataset: str,
    item: Mapping[str, Any],
    fans: Sequence[Fan],
    edges: Sequence[Mapping[str, Any]],
    fields: Mapping[str, Mapping[str, Any]],
    measure: str,
) -> str:
    """Return the page as HTML, everything it needs inside the one file."""
    template = environment().get_template("graph.html")
    return template.render(
        version=version("mercato"),
        dataset=dataset,
        item=item,
        fans=fans,
        rows=_rows(edges, fields),
        measure=measure,
        geometry={"width": WIDTH, "row": ROW, "label": _LABEL, "em": _EM},
        by_text_alone=all(edge["source"] != "log" for edge in edges)
        and any(edge["source"] == "text" for edge in edges),
    )


def wrapped(title: str) -> list[str]:
    """Break a title into lines that fit beside a fan, between words where there are some; the last ends in an ellipsis
    where more would come.
    """
    room = WIDTH - _LABEL
    lines, line = [], ""
    for word in _words(title):
        if line and _width(line + word.rstrip()) > room:
            lines.append(line.rstrip())
            line = ""
        line += word
    lines.append(line.rstrip())
    if len(lines) <= _LINES:
        return lines
    last = lines[_LINES - 1]
    while _width(last + "…") > room:
        last = last[:-1]
    return [*lines[: _LINES - 1], last.rstrip() + "…"]


def _words(title: str) -> list[str]:
    """Part a title where a line may break: after spaces, beside wide characters, within what is wider than a line."""
    words, word = [], ""
    for letter in title:
        if _wide(letter) or _width(word + letter) > WIDTH - _LABEL:
            words += [word] if word else []
            word = ""
        word += letter
        if letter == " " or _wide(letter):
            words.append(word)
            word = ""
    return [*words, word] if word else words


def _wide(letter: str) -> bool:
    return unicodedata.east_asian_width(letter) in "WF"


def _width(text: str) -> float:
    """Return about how wide a text is, in pixels; capitals and digits are a little wider than small letters."""
    ems = (1.0 if _wide(letter) else 0.68 if letter.isupper() else 0.56 for letter in text)
    return _EM * sum(ems)


def _title(fields: Mapping[str, Mapping[str, Any]], item: str) -> str:
    return str(fields[item].get("title") or item) if item in fields else item


def _note(edge: Mapping[str, Any]) -> str:
    if edge["source"] == "declared":
        return "declared"
    if edge["source"] == "text":
        return f"by text, {edge['weight']:.2g}"
    return f"{edge['support']:,} users, {edge['measure']} {edge['weight']:.3g}"


def _rows(edges: Sequence[Mapping[str, Any]], fields: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return a row for every neighbour and kind, with its weight by measure; in the order of the fans."""
    rows: dict[tuple[str, str, str], dict[str, Any]] = {}
    for edge in edges:
        key = (edge["kind"], edge["other"], edge["source"])
        row = rows.setdefault(
            key,
            {"kind": edge["kind"], "other": edge["other"], "title": _title(fields, edge["other"]), "weights": {}}
            | {name: edge[name] for name in ("support", "source")},
        )
        row["weights"][edge["measure"]] = edge["weight"]
    order = list(KINDS)

    def place(row: Mapping[str, Any]) -> tuple[int, int, float, str]:
        return order.index(row["kind"]), -row["support"], -row["weights"].get("text", 0.0), row["other"]

    return sorted(rows.values(), key=place)

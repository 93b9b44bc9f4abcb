"""One user's profile, laid out for a person."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from commerce.columns import INTENTS

if TYPE_CHECKING:
    from rich.console import RenderableType

_BAR = 20


def profile_parts(row: dict[str, Any], user: str) -> list[RenderableType]:
    """Return a row of ``profiles.parquet`` as what a console prints."""
    from rich.markup import escape
    from rich.table import Table

    head = (
        f"User {user}: {row['segment']}; {row['events']:,} events in {row['sessions']:,} sessions on "
        f"{row['active_days']:,} days"
    )
    rhythm = f"Rhythm: {_days(row['days_since'])} since the last event, {_days(row['pause_days'])} between sessions"
    if row["part_of_day"] is not None:
        rhythm += f", mostly in the {row['part_of_day']} (UTC), {row['weekend_share']:.0%} at weekends"
    price = "Price: unknown"
    if row["price_median"] is not None:
        price = (
            f"Price: {row['price_median']:,.2f} ({row['price_low']:,.2f} to {row['price_high']:,.2f}), the "
            f"{row['price_band']} third of its categories (level {row['price_level']:.2f})"
        )
    shown = ", ".join(f"{name} {_share(row[f'showed_{name}'])}" for name in INTENTS)
    likely = ", ".join(f"{name} {_share(row[f'intent_{name}'])}" for name in INTENTS)
    table = Table(title="Tags", title_justify="left")
    for name in ("feature", "tag", "strength", "", "times everybody's"):
        table.add_column(name, justify="right" if name in ("strength", "times everybody's") else "left")
    most = max((tag["strength"] for tag in row["tags"]), default=1.0)
    for tag in row["tags"]:
        lift = "" if tag["lift"] is None else f"{tag['lift']:.1f}"
        bar = "#" * round(_BAR * tag["strength"] / most)
        table.add_row(escape(tag["feature"]), escape(tag["tag"]), f"{tag['strength']:.3f}", bar, lift)
    vector = f"Vector: {len(row['vector'])} wide; the whole of it is in profiles.parquet"
    lines = [head, rhythm, price, f"Intents shown: {shown}", f"Intent now, predicted: {likely}"]
    return [*(escape(line) for line in lines), table, vector]


def _days(days: float | None) -> str:
    return "an unknown time" if days is None else f"{days:.1f} days"


def _share(share: float | None) -> str:
    return "unknown" if share is None else f"{share:.0%}"

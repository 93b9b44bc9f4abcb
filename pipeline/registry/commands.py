"""``mercato promote | rollback | retire | history``: who is champion, who was, and why."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from io import StringIO
from typing import TYPE_CHECKING, Any

import click

from configs.errors import InputError

if TYPE_CHECKING:
    from pipeline.registry.champion import Champion
    from pipeline.registry.history import Change, History

_WIDTH = 150


def _of_a_model(command: Callable[..., None]) -> Callable[..., None]:
    """Add what names a model: a config, or a tracking address and the model's name."""
    for parameter in (
        click.option("--model", default="", help="Name of the registered model."),
        click.option("--uri", default="", help="MLflow tracking address, e.g. sqlite:///runs/mlflow.db."),
        click.argument("config", nargs=-1, metavar="[CONFIG [KEY=VALUE]...]"),
    ):
        command = parameter(command)
    return command


@click.command(short_help="Make the candidate the champion, if it is not worse.")
@_of_a_model
@click.option("--version", default="", help="Version to promote; the candidate unless said.")
@click.option("--force", default="", metavar="REASON", help="Promote whatever the gate says; the reason is recorded.")
def promote(config: tuple[str, ...], uri: str, model: str, version: str, force: str) -> None:
    """Make the candidate the champion if, on the same test requests, it is not worse than the champion.

    Neither overall nor in a guarded segment (tracking.guarded_segments) may it be worse: docs/registry.md.
    """
    click.echo(_champion(config, uri, model).promote(_number(version), force.strip()))


@click.command(short_help="Make the former champion the champion again.")
@_of_a_model
@click.option("--reason", required=True, help="Why; it is recorded.")
def rollback(config: tuple[str, ...], uri: str, model: str, reason: str) -> None:
    """Go back to the champion before this one, retired ones left out."""
    click.echo(_champion(config, uri, model).rollback(reason))


@click.command(short_help="Keep a version from ever becoming champion again.")
@_of_a_model
@click.option("--version", required=True, help="Version to retire; not the champion.")
@click.option("--reason", required=True, help="Why; it is recorded.")
def retire(config: tuple[str, ...], uri: str, model: str, version: str, reason: str) -> None:
    """Mark a version as one that is neither promoted nor gone back to."""
    click.echo(_champion(config, uri, model).retire(_number(version), reason))


@click.command(short_help="Say who was champion from when to when, and why.")
@_of_a_model
@click.option("--all", "everything", is_flag=True, help="Also what was refused, cut off or retired.")
def history(config: tuple[str, ...], uri: str, model: str, everything: bool) -> None:
    """Print the champions of a model, the latest last."""
    click.echo("\n".join(history_lines(_champion(config, uri, model).history(), everything)))


def history_lines(found: History, everything: bool) -> list[str]:
    """Return what ``history`` prints."""
    from pipeline.registry.history import moment

    lines = _table(
        f"Champions of {found.model} (UTC)",
        ("version", "from", "until", "by", "why"),
        [
            (reign.version, moment(reign.change.ended), moment(reign.until), reign.change.kind, _why(reign.change))
            for reign in found.reigns
        ],
    )
    if not found.reigns:
        lines = [f"{found.model} has had no champion yet; `mercato promote` makes one"]
    if everything:
        rows = [
            (str(change.number), moment(change.began), change.kind, change.target, _became(change, found), _why(change))
            for change in found.changes
        ]
        lines += _table("All changes", ("no.", "at", "what", "version", "outcome", "why"), rows)
    if found.cut_off:
        lines.append(
            f"No. {found.cut_off.number} ({found.cut_off.kind} version {found.cut_off.target}) was cut off before it "
            "took effect; the next change voids it"
        )
    if not found.agrees:
        last = found.reigns[-1].version if found.reigns else "none"
        lines.append(
            f"The alias names version {found.alias or 'none'}, but by this history the champion is {last}: the alias "
            "was moved by other means than mercato"
        )
    return lines


def _became(change: Change, found: History) -> str:
    if change is found.cut_off or change.status == "KILLED":
        return "cut off"
    return {"FINISHED": "done", "FAILED": "refused"}.get(change.status, "under way or cut off")


def _why(change: Change) -> str:
    return change.tags.get("verdict") or change.tags.get("reason", "")


def _table(title: str, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(title), title_justify="left", box=SIMPLE_HEAD)
    for name in columns:
        table.add_column(name, no_wrap=name != "why")
    for row in rows:
        table.add_row(*map(escape, row))
    out = StringIO()
    Console(file=out, width=_WIDTH, color_system=None).print(table)
    return [line.rstrip() for line in out.getvalue().rstrip("\n").split("\n")]


def _champion(config: tuple[str, ...], uri: str, model: str) -> Champion:
    """Return the model that is meant.

    Raises:
        InputError: unless it is named in exactly one of the two ways.
    """
    if bool(config) == bool(uri or model) or (bool(uri) != bool(model)):
        came = "both" if config else "neither" if not (uri or model) else "only one of --uri and --model"
        raise InputError(f"name the model by a CONFIG, or by --uri and --model; {came} came")
    if config:
        tracking = _tracking(config)
        uri, model = tracking.uri, tracking.model
    from pipeline.registry.champion import Champion  # MLflow alone takes seconds

    return Champion(uri, model)


def _tracking(config: tuple[str, ...]) -> Any:
    from configs.load import load_config

    return load_config(config[0], config[1:]).tracking


def _number(version: str) -> str:
    """Return a version as MLflow writes it."""
    if version and not version.isdecimal():
        raise InputError(f"--version {version} is no version; a number is expected, as `mercato history` shows it")
    return version

"""``mercato opt-out`` and ``mercato block``: the lists beside a bundle, which count from the next request on."""

from __future__ import annotations

from pathlib import Path

import click

from configs.errors import InputError
from serving.manifest import read_manifest
from serving.rights import block as block_item
from serving.rights import opt_out as opt_user_out
from serving.strings import Strings
from serving.user_keys import KEY_VARIABLE, UserKeyError, key_check, key_from

_UNDO = click.option("--undo", is_flag=True, help="Take off the list again.")


@click.command("opt-out", short_help="Stop profiling a user in a bundle's answers.")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--user", required=True, help="The shop's id of the user.")
@_UNDO
def opt_out(bundle: Path, user: str, undo: bool) -> None:
    """Answer a user without history and profile from now on: `opt-out.txt` beside BUNDLE holds the keyed hash."""
    facts = read_manifest(bundle)["users"] or {}
    variable = facts.get("key_variable", KEY_VARIABLE)
    key = key_from(variable, bundle.absolute().parent)
    if key is None or key_check(key) != facts.get("key_check", key_check(key)):
        raise UserKeyError(
            f"users are listed under keyed hashes; set {variable} to the key that the bundle was made with"
        )
    path, changed = opt_user_out(bundle, user, key, undo=undo)
    _say(path, changed, undo)


@click.command(short_help="Keep an item out of a bundle's answers.")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--item", required=True, help="The shop's id of the item.")
@_UNDO
def block(bundle: Path, item: str, undo: bool) -> None:
    """Keep an item out of every answer from now on, whatever finds it: `blocked.txt` beside BUNDLE lists it."""
    read_manifest(bundle)
    if Strings.open(bundle / "item_ids").code(item) < 0 and not undo:
        raise InputError(f"{bundle} has no item {item}; look at the id, in which case counts")
    path, changed = block_item(bundle, item, undo=undo)
    _say(path, changed, undo)


def _say(path: Path, changed: bool, undo: bool) -> None:
    if not changed:
        click.echo(f"{path}: {'was not listed' if undo else 'was listed before'}; nothing changed")
        return
    click.echo(f"{path}: {'taken off the list' if undo else 'listed'}; counts from the next request on")

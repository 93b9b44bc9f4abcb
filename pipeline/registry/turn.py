"""One change of champion at a time: MLflow sets an alias without asking what it was, so who changes it takes turns.

Beside a local database the turn is a lock on a file, which the system gives back when its holder dies. On a server it
is a registered model of a name of its own: MLflow makes a name once, so of several callers one gets it. A holder that
was killed leaves it behind; after ``LEASE`` seconds the next caller renames it to what its holder was called, which
again works once only, and so never takes the turn of somebody who came in between.
"""

from __future__ import annotations

import fcntl
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from configs.errors import InputError
from pipeline.registry.tracking import local_database

LEASE = 600.0
"""Seconds that a turn on a server lasts; who needs longer has lost it."""
WAIT = 120.0
"""Seconds that a caller waits for its turn."""
_POLL = 0.1
_HOLDER = "mercato.holder"


@contextmanager
def turn(client: MlflowClient, uri: str, model: str, wait: float = WAIT) -> Iterator[Callable[[], None]]:
    """Hold the turn to change a model's champion; what it gives raises where the turn was lost meanwhile.

    Raises:
        InputError: if somebody else held it all the time.
    """
    database = local_database(uri)
    held = _file(database, model, wait) if database else lease(client, model, wait)
    with held as still_held:
        yield still_held


@contextmanager
def _file(database: Path, model: str, wait: float) -> Iterator[Callable[[], None]]:
    with database.with_name(f"{database.name}.promotions.lock").open("a") as file:
        _await(lambda: _locked(file.fileno()), model, wait)
        yield lambda: None  # the system keeps the lock as long as the file is open


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def lease(client: MlflowClient, model: str, wait: float = WAIT, seconds: float = LEASE) -> Iterator[Callable[[], None]]:
    """Hold the turn by a registered model of its own, for as long as ``seconds``; as ``turn``."""
    name, holder = f"{model}-promotion-turn", uuid.uuid4().hex
    _await(lambda: _claimed(client, name, holder, seconds), model, wait)
    began = time.monotonic()

    def still_held() -> None:
        if time.monotonic() - began > seconds or _holder(client, name)[0] != holder:
            raise InputError(
                f"changing the champion of {model} took longer than the {seconds:g} seconds of a turn, so nothing was "
                "changed; try again"
            )

    try:
        yield still_held
    finally:
        if _holder(client, name)[0] == holder:
            client.delete_registered_model(name)


def _claimed(client: MlflowClient, name: str, holder: str, seconds: float) -> bool:
    try:
        client.create_registered_model(name, tags={_HOLDER: holder}, description="held while a champion is changed")
    except MlflowException as error:
        # MLflow looks at the one in the way before it says so, and may find that its holder has just given it back.
        if error.error_code not in ("RESOURCE_ALREADY_EXISTS", "RESOURCE_DOES_NOT_EXIST"):
            raise
        left, since = _holder(client, name)
        if left and time.time() - since > seconds:
            _set_aside(client, name, left)
        return False
    return True


def _set_aside(client: MlflowClient, name: str, left: str) -> None:
    """Rename what a killed holder left behind; the new name is the holder's own, so this succeeds once."""
    try:
        client.rename_registered_model(name, f"{name}-left-{left}")
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_ALREADY_EXISTS", "RESOURCE_DOES_NOT_EXIST"):
            raise


def _holder(client: MlflowClient, name: str) -> tuple[str, float]:
    """Return who holds the turn and since when, in seconds; nobody as an empty word."""
    try:
        found = client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return "", 0.0
    return str(found.tags.get(_HOLDER, "")), float(found.creation_timestamp) / 1000


def _await(taken: Callable[[], bool], model: str, wait: float) -> None:
    until = time.monotonic() + wait
    while not taken():
        if time.monotonic() > until:
            raise InputError(
                f"somebody else has been changing the champion of {model} for {wait:g} seconds; look at `mercato "
                "history` and try again"
            )
        time.sleep(_POLL)

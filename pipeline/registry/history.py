"""Who was champion from when to when: told by the runs of promotions, and checked against the alias.

Every promotion, rollback and retirement is an MLflow run of its own, numbered, in the experiment
``MODEL: promotions``. A run that is FINISHED holds all there is to know; only then is the alias set. So a run that was
cut off in its middle is still RUNNING, and of the finished ones only the last can be ahead of the alias: it is told as
cut off until the next change voids it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from configs.errors import InputError

CHAMPION = "champion"
"""Alias of the version that is live."""
PROMOTE, ROLLBACK, RETIRE = "promote", "rollback", "retire"
PREFIX = "mercato."
"""Begins the tags of a change's run: kind, number, from, to, reason, verdict, forced."""
_FINISHED = "FINISHED"
_ATTEMPTS = 20


@dataclass(frozen=True)
class Change:
    """One run: a promotion, a rollback, a retirement."""

    run_id: str
    status: str
    """MLflow's: FINISHED, FAILED where the gate refused, KILLED where it was cut off, RUNNING."""
    began: int
    """Milliseconds since 1970 UTC."""
    ended: int
    tags: Mapping[str, str]
    """Without ``PREFIX``."""
    metrics: Mapping[str, float]

    @property
    def number(self) -> int:
        """Its place among the model's changes, from 1."""
        return int(self.tags["number"])

    @property
    def kind(self) -> str:
        """One of promote, rollback, retire."""
        return self.tags["kind"]

    @property
    def source(self) -> str:
        """Version that was champion before; empty for none."""
        return self.tags["from"]

    @property
    def target(self) -> str:
        """Version that it is about."""
        return self.tags["to"]


@dataclass(frozen=True)
class Reign:
    """A version's time as champion."""

    version: str
    change: Change
    """That made it champion."""
    until: int | None
    """Milliseconds since 1970 UTC; None for the champion of today."""


@dataclass(frozen=True)
class History:
    """All changes of a model's champion, and what the alias says."""

    model: str
    alias: str
    """Version that the alias names; empty for none."""
    changes: list[Change]
    """By number."""

    @property
    def cut_off(self) -> Change | None:
        """The finished change that the alias does not follow yet."""
        last = self._finished[-1:]
        return last[0] if last and last[0].target != self.alias and last[0].source == self.alias else None

    @property
    def in_force(self) -> list[Change]:
        """Changes of champion that took effect."""
        return self._finished[:-1] if self.cut_off else self._finished

    @property
    def reigns(self) -> list[Reign]:
        """Champions in their order."""
        changes = self.in_force
        ends: list[int | None] = [change.ended for change in changes]
        return [Reign(change.target, change, until) for change, until in zip(changes, [*ends[1:], None], strict=False)]

    @property
    def agrees(self) -> bool:
        """Whether the alias names the last champion of the history."""
        reigns = self.reigns
        return self.alias == (reigns[-1].version if reigns else "")

    def former(self) -> list[str]:
        """Return the champions that can be gone back to, the latest first: each rollback takes back one promotion."""
        stack: list[str] = []
        for change in self.in_force:
            if change.kind == ROLLBACK and change.target in stack:
                del stack[stack.index(change.target) + 1 :]
            else:
                stack = [version for version in stack if version != change.target] + [change.target]
        return [version for version in reversed(stack) if version != self.alias]

    @property
    def _finished(self) -> list[Change]:
        return [change for change in self.changes if change.status == _FINISHED and change.kind != RETIRE]


def read_history(client: MlflowClient, model: str) -> History:
    """Read what became of a model's versions.

    Raises:
        InputError: if there is no such model, or it changes all the time.
    """
    for _ in range(_ATTEMPTS):
        before = champion_of(client, model)
        changes = _changes(client, model)
        # The alias is set last, so one that is the same before and after is the one these runs belong to.
        if champion_of(client, model) == before:
            return History(model, before, changes)
    raise InputError(f"the champion of {model} changed {_ATTEMPTS} times while its history was read; try again")


def champion_of(client: MlflowClient, model: str) -> str:
    """Return the version that is champion; empty for none.

    Raises:
        InputError: if there is no such model.
    """
    try:
        aliases = client.get_registered_model(model).aliases
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        raise InputError(_no_model(client, model)) from error
    return str(aliases.get(CHAMPION, ""))


def experiment_of(model: str) -> str:
    """Return the name of the experiment that a model's changes are runs of."""
    return f"{model}: promotions"


def moment(milliseconds: int | None) -> str:
    """Write a moment for a person, in UTC; of none that it lasts."""
    if milliseconds is None:
        return "now"
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _no_model(client: MlflowClient, model: str) -> str:
    import difflib

    known = [found.name for found in client.search_registered_models() if "-promotion-turn" not in found.name]
    near = difflib.get_close_matches(model, known, n=1)
    if near:
        return f"there is no registered model {model!r} here; did you mean {near[0]}?"
    listed = f"there are {', '.join(known)}" if known else "nor any other"
    return f"there is no registered model {model!r} here, {listed}; `mercato register CONFIG` makes one"


def _changes(client: MlflowClient, model: str) -> list[Change]:
    experiment = client.get_experiment_by_name(experiment_of(model))
    if experiment is None:
        return []
    found, token = [], None
    while True:
        page = client.search_runs([experiment.experiment_id], page_token=token, max_results=1000)
        found += [_change(run) for run in page]
        token = page.token
        if not token:
            return sorted(found, key=lambda change: change.number)


def _change(run: Run) -> Change:
    tags = {key.removeprefix(PREFIX): value for key, value in run.data.tags.items() if key.startswith(PREFIX)}
    began = int(run.info.start_time)
    return Change(run.info.run_id, run.info.status, began, int(run.info.end_time or began), tags, run.data.metrics)

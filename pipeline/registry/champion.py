"""Changing a model's champion: promote, roll back, retire; each is written down whole before it takes effect."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mlflow.entities import Metric
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from configs.errors import InputError
from pipeline.registry import evidence
from pipeline.registry.guard import Gate, judge
from pipeline.registry.history import (
    CHAMPION,
    PREFIX,
    PROMOTE,
    RETIRE,
    ROLLBACK,
    History,
    experiment_of,
    read_history,
)
from pipeline.registry.registration import ALIAS, metric_name
from pipeline.registry.tracking import experiment_id, open_tracking
from pipeline.registry.turn import turn

RETIRED = f"{PREFIX}retired"
"""Tag of a version that shall not become champion any more: why."""
_LONGEST = 4000
"""Characters of a tag; servers take 5,000 to 8,000."""


class Champion:
    """The live version of one registered model."""

    def __init__(self, uri: str, model: str) -> None:
        """Name a model at a tracking server or database.

        Raises:
            InputError: if there is no database or no such model.
        """
        self._client = open_tracking(uri, make=False)
        self._uri, self.model = uri, model
        try:
            self.history()
        except MlflowException as error:
            why = str(error).splitlines()[0]
            raise InputError(f"the tracking server does not answer as MLflow does: {why}") from error

    def history(self) -> History:
        """Return what became of the model's versions."""
        return read_history(self._client, self.model)

    def promote(self, version: str = "", force: str = "") -> str:
        """Make a version the champion if it is not worse than the champion of today; return what to say.

        Args:
            version: the candidate's, unless said.
            force: why it shall be promoted whatever the gate says; empty for no.

        Raises:
            InputError: if the gate refuses, or there is nothing to promote; the refusal is in the history.
        """
        with self._change() as (history, still_held):
            version = version or self._candidate()
            self._usable(version)
            if version == history.alias:
                raise InputError(f"version {version} of {self.model} is the champion already; there is nothing to do")
            with self._run(PROMOTE, history, version, force) as run:
                said = self._judged(run, history.alias, version, force)
            self._take_effect(version, still_held)
        return f"{self.model}: version {version} is champion{_after(history.alias)}; {said}"

    def rollback(self, reason: str) -> str:
        """Make the former champion the champion again; return what to say.

        Raises:
            InputError: if there is no champion, or none before it that is not retired.
        """
        with self._change() as (history, still_held):
            if not history.alias:
                raise InputError(f"{self.model} has no champion to roll back from; `mercato promote` makes one")
            former = [version for version in history.former() if self._may_reign(version)]
            if not former:
                raise InputError(
                    f"there is no champion of {self.model} before version {history.alias} that is not retired; promote "
                    "another version"
                )
            with self._run(ROLLBACK, history, former[0], reason):
                pass
            self._take_effect(former[0], still_held)
        return f"{self.model}: version {former[0]} is champion again{_after(history.alias)}"

    def retire(self, version: str, reason: str) -> str:
        """Mark a version so that it never becomes champion again; return what to say.

        Raises:
            InputError: if it is the champion, retired already or not there.
        """
        with self._change() as (history, _):
            self._usable(version)
            if version == history.alias:
                raise InputError(
                    f"version {version} of {self.model} is the champion; promote another or roll back, then retire it"
                )
            with self._run(RETIRE, history, version, reason):
                pass
            self._client.set_model_version_tag(self.model, version, RETIRED, reason)
        return f"{self.model}: version {version} is retired and will not be promoted or gone back to"

    @contextmanager
    def _change(self) -> Iterator[tuple[History, Callable[[], None]]]:
        """Hold the turn, with what an earlier change left half done settled."""
        with turn(self._client, self._uri, self.model) as still_held:
            self._settle(self.history())
            yield self.history(), still_held

    def _settle(self, history: History) -> None:
        """Void what was cut off before it took effect, and finish retirements, which nothing can contradict."""
        for change in history.changes:
            if change.status == "RUNNING" or change is history.cut_off:
                self._client.set_tag(change.run_id, f"{PREFIX}verdict", "cut off before it took effect")
                self._client.set_terminated(change.run_id, "KILLED")
            elif change.kind == RETIRE and change.status == "FINISHED" and self._may_reign(change.target):
                self._client.set_model_version_tag(self.model, change.target, RETIRED, change.tags["reason"])

    @contextmanager
    def _run(self, kind: str, history: History, version: str, reason: str) -> Iterator[str]:
        """Write down a change as a run: all of it at once, FINISHED once the block has ended well."""
        number = 1 + max((change.number for change in history.changes), default=0)
        facts = {"kind": kind, "number": str(number), "from": history.alias, "to": version, "reason": reason[:_LONGEST]}
        run = self._client.create_run(
            experiment_id(self._client, self._uri, experiment_of(self.model)),
            tags={f"{PREFIX}{name}": value for name, value in facts.items()},
            run_name=f"{number}: {kind} version {version}",
        )
        try:
            yield run.info.run_id
        except InputError as error:
            self._client.set_tag(run.info.run_id, f"{PREFIX}verdict", f"refused: {error}"[:_LONGEST])
            self._client.set_terminated(run.info.run_id, "FAILED")
            raise
        self._client.set_terminated(run.info.run_id, "FINISHED")

    def _take_effect(self, version: str, still_held: Callable[[], None]) -> None:
        still_held()
        self._client.set_registered_model_alias(self.model, CHAMPION, version)

    def _judged(self, run: str, champion: str, candidate: str, force: str) -> str:
        """Ask the gate, write down what it said, and return it.

        Raises:
            InputError: if it refuses and nobody forces it.
        """
        if not champion:
            return self._say(run, "the first champion, with which nothing was compared")
        try:
            gate = judge(self._evidence(champion), self._evidence(candidate))
        except InputError as error:
            return self._refused(run, str(error), force)
        self._log(run, gate)
        if not gate.passed:
            return self._refused(run, gate.reason, force)
        return self._say(run, gate.reason)

    def _refused(self, run: str, why: str, force: str) -> str:
        if force:
            return self._say(run, f"forced ({force}), though {why}")
        raise InputError(
            f"version {self._client.get_run(run).data.tags[f'{PREFIX}to']} of {self.model} is not promoted: {why}. To "
            "promote it all the same, say why with --force REASON"
        )

    def _say(self, run: str, verdict: str) -> str:
        self._client.set_tag(run, f"{PREFIX}verdict", verdict[:_LONGEST])
        return verdict

    def _log(self, run: str, gate: Gate) -> None:
        now = int(time.time() * 1000)
        metrics: dict[str, float] = {}
        for one in gate.judged:
            name = metric_name(f"{one.segment}/{one.metric}").replace("+", " or more")
            metrics |= {f"{name}/champion": one.champion, f"{name}/candidate": one.candidate}
            metrics |= {f"{name}/difference/{end}": getattr(one.difference, end) for end in ("value", "low", "high")}
        self._client.log_batch(run, metrics=[Metric(_allowed(key), value, now, 0) for key, value in metrics.items()])
        self._client.log_dict(run, gate.as_dict(), "gate.json")

    def _evidence(self, version: str) -> evidence.Evidence:
        """Fetch what a version was registered with.

        Raises:
            InputError: if it was registered without.
        """
        run = self._client.get_model_version(self.model, version).run_id
        if not run or not any(file.path == evidence.FOLDER for file in self._client.list_artifacts(run)):
            raise InputError(f"version {version} was registered without {evidence.FOLDER}; register it again")
        with tempfile.TemporaryDirectory() as folder:
            return evidence.read_evidence(Path(self._client.download_artifacts(run, evidence.FOLDER, folder)))

    def _candidate(self) -> str:
        version = self._client.get_registered_model(self.model).aliases.get(ALIAS)
        if not version:
            raise InputError(f"{self.model} has no {ALIAS}; name a version with --version, or register one")
        return str(version)

    def _usable(self, version: str) -> None:
        """Raise InputError for a version that is not there or is retired."""
        found = self._find(version)
        if found is None:
            known = sorted(int(one.version) for one in self._client.search_model_versions(f"name = '{self.model}'"))
            raise InputError(
                f"there is no version {version} of {self.model}; it has {', '.join(map(str, known)) or 'none'}"
            )
        if RETIRED in found.tags:
            raise InputError(f"version {version} of {self.model} is retired ({found.tags[RETIRED]}); name another")

    def _may_reign(self, version: str) -> bool:
        """Return whether a version is there and not retired."""
        found = self._find(version)
        return found is not None and RETIRED not in found.tags

    def _find(self, version: str) -> ModelVersion | None:
        try:
            return self._client.get_model_version(self.model, version)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None


def _after(former: str) -> str:
    return f" after version {former}" if former else ""


def _allowed(name: str) -> str:
    """Return a metric's name with what MLflow refuses replaced; letters, digits and ``_-. :/`` may stay."""
    return "".join(letter if letter.isalnum() or letter in "_-. :/" else "_" for letter in name)

"""Model versions whose evidence is in sight, and promotions for processes that a test starts."""

import os
import signal
import tempfile
from contextlib import suppress
from pathlib import Path

import numpy as np

from commerce.differences import ALL
from configs.errors import InputError
from pipeline.registry.champion import Champion
from pipeline.registry.evidence import Evidence, Part, write_evidence
from pipeline.registry.registration import ALIAS
from pipeline.registry.tracking import experiment_id, open_tracking
from pipeline.registry.turn import lease

MODEL = "shop"
USERS = 200


def evidence(values, new=None, *, guard=None, **terms):
    """A request a user, of whom the first fifty are new; ``values`` and ``new``: NDCG in all, and in ``user: new``."""
    every = np.broadcast_to(np.asarray(values, float), USERS)
    first = every[:50] if new is None else np.broadcast_to(np.asarray(new, float), 50)
    requests = np.arange(USERS, dtype=np.uint64)
    told = {
        "format": 1,
        "dataset": "a shop",
        "split": "time",
        "targets": {"purchase": 1.0},
        "window": {"from": "2026-01-01", "until": "2026-01-08"},
        "filter_seen": False,
        "catalogue": 90,
        "seed": 0,
        "intervals": {"confidence": 0.95, "resamples": 200, "over": "users"},
        "key_check": "ab",
        "guard": {"metrics": ["ndcg@10"], "segments": ["user: new"], "margin": 0.05, "segment_margin": 0.1}
        | (guard or {}),
    }
    parts = {
        ALL: Part(np.arange(USERS, dtype=np.int32), {"ndcg@10": every.copy()}),
        "user: new": Part(np.arange(50, dtype=np.int32), {"ndcg@10": first.copy()}),
    }
    return Evidence({**told, **terms}, requests, requests + 7, requests + 9, parts)


def register(uri, found):
    """Register a version with this evidence (None: without any) as the candidate, and no bundle; return its number."""
    client = open_tracking(uri, make=True)
    run = client.create_run(experiment_id(client, uri, "a shop"))
    if found is not None:
        with tempfile.TemporaryDirectory() as folder:
            write_evidence(found, Path(folder, "evidence"))
            client.log_artifact(run.info.run_id, str(Path(folder, "evidence")))
    client.set_terminated(run.info.run_id)
    if not [model for model in client.search_registered_models() if model.name == MODEL]:
        client.create_registered_model(MODEL)
    version = client.create_model_version(MODEL, run.info.artifact_uri, run.info.run_id).version
    client.set_registered_model_alias(MODEL, ALIAS, version)
    return str(version)


class _Killing:
    """A client whose process is killed right before its n-th writing call."""

    _WRITES = ("create", "set", "log")

    def __init__(self, client, call):
        self._client, self._left = client, call

    def __getattr__(self, name):
        if name.startswith(self._WRITES):
            self._left -= 1
            if not self._left:
                os.kill(os.getpid(), signal.SIGKILL)
        return getattr(self._client, name)


def promote_until(uri, call):
    """Promote the candidate, and be killed before the n-th writing call."""
    champion = Champion(uri, MODEL)
    champion._client = _Killing(champion._client, call)
    champion.promote()


def promote(uri, version, opened, ready):
    """Promote a version once ``ready`` is set; set ``opened`` when all is read that can be read before."""
    champion = Champion(uri, MODEL)
    opened.set()
    ready.wait()
    with suppress(InputError):  # the gate may refuse, by who was first
        champion.promote(version)


def count_under_lease(uri, file, rounds):
    """Add to the number in a file so often, each time under a lease: without turns some would be lost."""
    client = open_tracking(uri, make=False)
    for _ in range(rounds):
        with lease(client, MODEL) as still_held:
            number = int(file.read_text())
            still_held()
            file.write_text(str(number + 1))

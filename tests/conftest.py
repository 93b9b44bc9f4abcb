import os

# Before torch, FAISS or DuckDB are imported anywhere: two processes on two cores must not fight, and NumPy's sums in
# this process must be those of a `mercato` started with run.threads=1, to the last bit.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
# Whatever key the caller has: the bundles of the tests are made with this one.
os.environ["MERCATO_HASH_KEY"] = "key-of-the-tests"

import pytest

TINY = (
    "bazaar.users=300",
    "bazaar.items=200",
    "text.train_steps=60",
    "towers.max_epochs=2",
    "towers.tuning=frozen",  # the encoder trained along has tests of its own, and costs most of a run
    "towers.round_epochs=1",
    "towers.teaching_lists=300",
    "ranking.train_requests=100",
    "retrieval.popularity_by=region",
    "evaluate.bootstrap=200",
    "run.threads=1",  # as OMP_NUM_THREADS above
)


@pytest.fixture(scope="session")
def tiny_overrides():
    """Return a function: a folder -> overrides for a bazaar of seconds, all of it below that folder."""
    return _tiny_overrides


def _tiny_overrides(folder):
    return [
        *TINY,
        f"run.folder={folder / 'run'}",
        f"text.cache={folder / 'text'}",
        f"tracking.uri=sqlite:///{folder / 'mlflow.db'}",
    ]


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory):
    """A finished run of a tiny bazaar: (Run, what it said)."""
    from pipeline.api import Run

    folder = tmp_path_factory.mktemp("tiny")
    run = Run("configs/bazaar.yaml", *_tiny_overrides(folder))
    said: list[str] = []
    run.run(say=said.append)
    return run, said

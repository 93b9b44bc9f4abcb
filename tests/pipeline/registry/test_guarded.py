from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest

from configs.errors import InputError
from pipeline.asked import Evaluated
from pipeline.registry.evidence import write_evidence
from pipeline.registry.guard import judge
from pipeline.registry.guarded import guarded_evidence
from pipeline.run_folder import RunFolder
from pipeline.stage import Work


@pytest.fixture(scope="module")
def work(tiny_run):
    run, _ = tiny_run
    return Work(run.config, RunFolder(run.folder), run.folder, "register", "key")


@pytest.fixture(scope="module")
def found(work):
    return guarded_evidence(work)


def test_the_means_of_the_evidence_are_those_of_metrics_json(work, found):
    metrics = Evaluated.open(work.run.root).metrics
    for name, expected in {"all requests": metrics["systems"], **metrics["segments"]}.items():
        if name.startswith("user:gender"):
            continue  # sensitive, and not guarded
        part = found.parts[name]
        assert part.measures["ndcg@10"].mean() == pytest.approx(expected["mercato"]["ndcg@10"]["value"], abs=1e-6)


def test_sensitive_segments_are_kept_only_where_they_are_guarded(work, found):
    assert not [name for name in found.parts if name.startswith("user:gender")]
    tracking = replace(work.config.tracking, guarded_segments=["user:gender = f"])
    guarding = replace(work, config=replace(work.config, tracking=tracking))
    names = guarded_evidence(guarding).parts
    assert [name for name in names if name.startswith("user:gender")] == ["user:gender = f"]


def test_a_segment_that_no_request_can_be_in_is_refused(work):
    tracking = replace(work.config.tracking, guarded_segments=["user:new"])
    with pytest.raises(InputError, match="names 'user:new', which no request can be in; segments are user: new, "):
        guarded_evidence(replace(work, config=replace(work.config, tracking=tracking)))


def test_a_run_is_not_worse_than_itself(found):
    gate = judge(found, found)
    assert gate.passed
    assert all(one.difference.low == one.difference.high == 0 for one in gate.judged)


def test_evidence_names_no_user(work, found, tmp_path):
    write_evidence(found, tmp_path / "evidence")
    written = b"".join(path.read_bytes() for path in (tmp_path / "evidence").iterdir())
    users = pq.read_table(work.run.root / "ingest" / "user_ids.parquet")["id"].to_pylist()
    assert not [user for user in users if user.encode() in written]
    assert len(np.unique(found.user)) == Evaluated.open(work.run.root).metrics["users"]

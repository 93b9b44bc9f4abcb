import csv
import json
import shutil

import pandas as pd
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from configs.errors import InputError
from pipeline.cli import commands


@pytest.fixture
def shop(tiny_run, tmp_path):
    """A copy of the tiny run, evaluated, and how to call ``mercato evaluate`` on it."""
    run, _ = tiny_run
    shutil.copytree(run.folder, tmp_path / "run")
    overrides = [f"run.folder={tmp_path / 'run'}", *(o for o in run.overrides if not o.startswith("run.folder"))]

    def call(*words):
        done = CliRunner().invoke(commands, ["evaluate", "configs/bazaar.yaml", *overrides, *map(str, words)])
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == 0, done.output
        return done.output

    return tmp_path / "run", call


def lists_of(run, system):
    """A system's lists as somebody else would have them: the shop's own ids."""
    lists = pq.read_table(run / "evaluate" / "rankings" / f"{system}.parquet").to_pandas()
    ids = pq.read_table(run / "ingest" / "item_ids.parquet").sort_by("code")["id"].to_pylist()
    return lists.assign(item_id=[ids[code] for code in lists["item"]])


def test_the_lists_of_a_system_of_ours_measure_as_it_does(shop, tmp_path):
    run, call = shop
    call()
    lists_of(run, "item_knn")[["request_id", "item_id", "rank"]].to_csv(tmp_path / "theirs.csv", index=False)
    before = (run / "metrics.json").read_bytes()
    said = call("--ranking", tmp_path / "theirs.csv")
    assert "evaluate: unchanged, skipped" in said
    assert "theirs - mercato" in said
    assert (run / "metrics.json").read_bytes() == before
    metrics, found = json.loads(before), json.loads((run / "evaluations" / "theirs.json").read_text())
    assert found["systems"]["theirs"] == metrics["systems"]["item_knn"]
    assert {name: found["systems"][name] for name in metrics["systems"]} == metrics["systems"]
    ours = metrics["paired"]["mercato - item_knn"]["ndcg@10"]
    theirs = found["paired"]["theirs - mercato"]["ndcg@10"]
    assert theirs["value"] == pytest.approx(-ours["value"], abs=2e-6)
    assert theirs["low"] == pytest.approx(-ours["high"], abs=2e-6)
    for segment, systems in metrics["segments"].items():
        assert found["segments"][segment]["theirs"] == systems["item_knn"]
    assert set(metrics) < set(found)
    assert found["ranking"]["file"] == "theirs.csv"


def test_whom_to_rank_is_written_and_suffices(shop, tmp_path):
    run, call = shop
    call()
    with (run / "evaluate" / "requests.csv").open(encoding="utf-8", newline="") as file:
        asked = list(csv.DictReader(file))
    lists = lists_of(run, "popularity")
    assert {row["request_id"] for row in asked} == set(lists["request_id"].astype(str))
    assert any(row["query"] for row in asked)
    # Without request_id: the user and the moment say the same.
    by_id = {int(row["request_id"]): row for row in asked}
    lists["user_id"] = [by_id[request]["user_id"] for request in lists["request_id"]]
    lists["timestamp"] = pd.to_datetime([by_id[request]["timestamp"] for request in lists["request_id"]])
    lists[["user_id", "timestamp", "item_id", "score"]].to_parquet(tmp_path / "popular.parquet")
    call("--ranking", tmp_path / "popular.parquet", "--name", "again")
    found = json.loads((run / "evaluations" / "again.json").read_text())
    assert found["systems"]["again"]["hit_rate@10"] == found["systems"]["popularity"]["hit_rate@10"]


def test_what_was_done_to_the_lists_is_printed_and_kept(shop, tmp_path):
    run, call = shop
    call()
    lists = lists_of(run, "towers")
    some = lists[lists["request_id"] % 2 == 0]
    some.assign(q="Q0", tag="t")[["request_id", "q", "item_id", "rank", "score", "tag"]].to_csv(
        tmp_path / "half.run", sep=" ", header=False, index=False
    )
    said = call("--ranking", tmp_path / "half.run")
    notes = json.loads((run / "evaluations" / "half.json").read_text())["ranking"]["notes"]
    assert any(note.startswith("NO LIST for ") for note in notes)
    for note in notes:
        assert f"half: {note}" in said


@pytest.mark.parametrize(
    ("name", "message"),
    [("towers", "is a system of the run already"), ("a/b", "must be of letters, digits"), ("..", "must be of letters")],
)
def test_names_that_cannot_be_are_refused(shop, tmp_path, name, message):
    (tmp_path / "x.csv").write_text("request_id,item_id,score\n1,a,1\n")
    with pytest.raises(InputError, match=message):
        shop[1]("--ranking", tmp_path / "x.csv", "--name", name)


def test_a_bad_file_is_refused_before_any_work(tmp_path):
    (tmp_path / "x.csv").write_text("request_id,item_id,score\n1,a,nan\n")
    words = ["evaluate", "configs/bazaar.yaml", f"run.folder={tmp_path / 'run'}", "--ranking", str(tmp_path / "x.csv")]
    done = CliRunner().invoke(commands, words)
    assert "no finite number" in str(done.exception)
    assert not (tmp_path / "run").exists()


def test_a_name_without_lists_is_refused(shop):
    with pytest.raises(InputError, match="add --ranking FILE"):
        shop[1]("--name", "mine")

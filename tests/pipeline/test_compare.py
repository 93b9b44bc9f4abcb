import json
import shutil
from dataclasses import replace

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from commerce.records import Requests
from configs.errors import InputError
from pipeline.compare import compare

STAGES = ("ingest", "prepare", "evaluate")


@pytest.fixture
def runs(tiny_run, tmp_path):
    """Return a function: name -> a copy of the tiny run's files that a comparison reads."""
    run, _ = tiny_run

    def copy(name):
        for stage in STAGES:
            shutil.copytree(run.folder / stage, tmp_path / name / stage)
        return tmp_path / name

    return copy


def call(*words):
    done = CliRunner().invoke(compare, [str(word) for word in words])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


def ship(run, system):
    """Let another system's lists be those of mercato."""
    rankings = run / "evaluate" / "rankings"
    shutil.copy(rankings / f"{system}.parquet", rankings / "mercato.parquet")


def rows(file, pair=0):
    return {(row["segment"], row["metric"]): row for row in json.loads(file.read_text())["pairs"][pair]["comparisons"]}


def test_a_run_does_not_differ_from_itself(runs, tmp_path):
    file = tmp_path / "out" / "found.json"
    said = call(runs("a"), runs("b"), "--json", file)
    found = rows(file)
    assert {row["verdict"] for row in found.values()} == {"no difference seen"}
    assert {row["p_holm"] for row in found.values()} == {1.0}
    assert ("item: tail", "recall@10") in found
    assert "no difference seen" in said
    assert f"for the {len(found)} comparisons printed" in said


def test_a_worse_run_is_called_worse_with_the_values_of_metrics_json(runs, tmp_path, tiny_run):
    first, second, file = runs("a"), runs("b"), tmp_path / "found.json"
    ship(second, "popularity")
    call(first, second, "--json", file, "--no-segments", "--metric", "ndcg@5")
    (found,) = rows(file).values()
    systems = tiny_run[0].metrics()["systems"]
    assert found["a"] == systems["mercato"]["ndcg@5"]["value"]
    assert found["b"] == systems["popularity"]["ndcg@5"]["value"]
    assert found["verdict"] == "worse"
    assert found["difference"]["high"] < 0


def test_segments_have_the_values_of_metrics_json(runs, tmp_path, tiny_run):
    file = tmp_path / "found.json"
    call(runs("a"), "--against", "popularity", "--json", file)
    metrics = tiny_run[0].metrics()
    found = rows(file)
    assert {part for part, _ in found} == {"all requests", *metrics["segments"]}
    for segment, systems in metrics["segments"].items():
        row = found[segment, "recall@10"]
        assert row["b"] == systems["mercato"]["recall@10"]["value"]
        assert row["a"] == systems["popularity"]["recall@10"]["value"]
        assert {name: row[name] for name in ("requests", "users")} == metrics["segment_sizes"][segment]


def test_all_runs_are_compared_with_the_first_and_corrected_together(runs, tmp_path):
    first, second, third, file = runs("a"), runs("b"), runs("c"), tmp_path / "found.json"
    ship(third, "popularity")
    call(first, second, third, "--no-segments", "--json", file)
    found = json.loads(file.read_text())
    assert [pair["a"]["run"] for pair in found["pairs"]] == [str(first)] * 2
    assert [pair["b"]["run"] for pair in found["pairs"]] == [str(second), str(third)]
    assert found["family"] == 4
    worse = rows(file, pair=1)["all requests", "ndcg@10"]
    assert worse["p_holm"] >= 4 / (found["draws"] + 1)


def without_some_requests(run):
    """Take the first three users' requests out of a run, as if its log had no such users."""
    path = run / "prepare" / "requests.parquet"
    asked = Requests.read(path)
    tested = sorted(set(asked.of("test").user.tolist()))[:3]
    gone = (asked.window == "test") & [user in tested for user in asked.user]
    asked.where(~gone).write(path)
    metrics = json.loads((run / "evaluate" / "metrics.json").read_text())
    metrics["requests"] -= int(gone.sum())
    (run / "evaluate" / "metrics.json").write_text(json.dumps(metrics))
    return int(gone.sum()), metrics["requests"]


def test_runs_on_other_requests_are_refused_unless_compared_on_the_common_ones(runs, tmp_path):
    first, second, file = runs("a"), runs("b"), tmp_path / "found.json"
    gone, left = without_some_requests(second)
    with pytest.raises(InputError, match=f"{gone} requests only in the first and 0 only.*--on-common-requests"):
        call(first, second)
    said = call(first, second, "--on-common-requests", "--json", file)
    assert f"Compared on the {left:,} requests that both have. Left out: {gone:,} only in A's run" in said
    assert rows(file)["all requests", "ndcg@10"]["requests"] == left
    assert {row["verdict"] for row in rows(file).values()} == {"no difference seen"}
    common = rows(file)
    call(second, second, "--json", file)  # where nothing is left out, the segments are those of the run itself
    sizes = {part: (row["requests"], row["users"], row["a"]) for part, row in rows(file).items()}
    assert {part: (row["requests"], row["users"], row["a"]) for part, row in common.items()} == sizes
    said = call(second, first, "--on-common-requests")
    assert f"0 only in A's run, {gone:,} only in B's" in said


def test_runs_without_a_common_request_are_refused_always(runs):
    first, second = runs("a"), runs("b")
    path = second / "prepare" / "requests.parquet"
    asked = Requests.read(path)
    replace(asked, time=asked.time + 1).write(path)
    with pytest.raises(InputError, match=r"were not measured on the same requests: .*and run.seed$"):
        call(first, second, "--on-common-requests")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "nothing to compare mercato of .* with; name a second run folder, or .* --against"),
        (["--against", "mercato"], "nothing to compare mercato"),
        (["--against", "popularty"], "has no system popularty; did you mean popularity?"),
        (["--against", "towers", "--metric", "ndgc@10"], r"ndgc@10 is not known.*did you mean ndcg@10\?"),
        (["--against", "towers", "--metric", "coverage@10"], "a metric of single requests is expected"),
        (["--against", "towers", "--metric", "recall"], "with its cut-off"),
        (["--against", "towers", "--metric", "recall@0"], "with its cut-off"),
        (["--against", "towers", "--metric", "recall@500"], "looks deeper than the 100 places"),
        (["--against", "towers", "--new-items"], "set evaluate.new_items_too=true"),
    ],
)
def test_what_cannot_be_compared_is_refused_with_the_remedy(runs, words, message):
    with pytest.raises(InputError, match=message):
        call(runs("a"), *words)


def test_a_run_that_has_not_come_so_far_is_refused(tmp_path):
    with pytest.raises(InputError, match="evaluate is not there; run `mercato evaluate CONFIG`"):
        call(tmp_path, "--against", "towers")


def test_stages_that_do_not_belong_together_are_refused(runs):
    run = runs("a")
    without_some_requests(run)
    shutil.copy(run / "prepare" / "requests.parquet", run / "other.parquet")
    metrics = json.loads((run / "evaluate" / "metrics.json").read_text())
    metrics["requests"] += 5
    (run / "evaluate" / "metrics.json").write_text(json.dumps(metrics))
    with pytest.raises(InputError, match="but its prepare stage now has"):
        call(run, "--against", "towers")


def test_rankings_hold_every_request(runs):
    run = runs("a")
    ids = set(pq.read_table(run / "evaluate" / "rankings" / "towers.parquet")["request_id"].to_pylist())
    assert ids == set(Requests.read(run / "prepare" / "requests.parquet").of("test").request_id.tolist())

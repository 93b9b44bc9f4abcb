"""Lists of somebody else, measured on a run and kept beside it, are compared as the run's own are."""

import json
import shutil
from dataclasses import replace

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from commerce.given_rankings import read_given
from commerce.records import read_table
from configs.errors import InputError
from pipeline.asked import Evaluated
from pipeline.compare import compare
from pipeline.evaluate_ranking import evaluate_ranking, name_of
from pipeline.evaluations import keep, kept, read

STAGES = ("ingest", "prepare", "embed", "evaluate")


@pytest.fixture(scope="module")
def given(tiny_run, tmp_path_factory):
    """The tiny run, to which the lists of two of its systems were given as somebody else's; read only."""
    run, _ = tiny_run
    folder = tmp_path_factory.mktemp("given")
    root = folder / "run"
    for stage in STAGES:
        shutil.copytree(run.folder / stage, root / stage)
    ids = pq.read_table(root / "ingest" / "item_ids.parquet").sort_by("code")["id"].to_pylist()
    config = replace(run.config, run=replace(run.config.run, folder=str(root)))
    for system in ("item_knn", "towers"):
        lists = pq.read_table(root / "evaluate" / "rankings" / f"{system}.parquet").to_pandas()
        file = folder / f"their_{system}.csv"
        lists.assign(item_id=[ids[code] for code in lists["item"]])[["request_id", "item_id", "score"]].to_csv(
            file, index=False, float_format="%.9g"
        )
        evaluate_ranking(config, read_given(file), file, file.stem, lambda line: None)
    return root


@pytest.fixture
def root(given, tmp_path):
    """A copy that may be changed."""
    return shutil.copytree(given, tmp_path / "run")


def call(*words):
    done = CliRunner().invoke(compare, [str(word) for word in words])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


def comparisons(file):
    return [pair["comparisons"] for pair in json.loads(file.read_text())["pairs"]]


def test_given_lists_compare_as_the_same_lists_of_the_run(given, tmp_path):
    ours, by_name, by_file, from_other = (tmp_path / f"{name}.json" for name in ("ours", "name", "file", "other"))
    call(given, "--system", "item_knn", "--against", "mercato", "--json", ours)
    said = call(given, "--system", "their_item_knn", "--against", "mercato", "--json", by_name)
    assert "B: their_item_knn of" in said
    assert comparisons(by_name) == comparisons(ours)
    assert {row["verdict"] for row in comparisons(ours)[0]} >= {"worse"}
    kept = given / "evaluations" / "their_item_knn.json"
    call(kept, "--against", "mercato", "--json", by_file)
    assert comparisons(by_file) == comparisons(ours)
    call(given, kept, "--json", from_other)
    assert comparisons(from_other) == comparisons(ours)


def test_two_given_systems_are_compared_with_each_other(given, tmp_path):
    file = tmp_path / "found.json"
    folder = given / "evaluations"
    call(folder / "their_towers.json", folder / "their_item_knn.json", given, "--no-segments", "--json", file)
    found = json.loads(file.read_text())
    assert [(pair["a"]["system"], pair["b"]["system"]) for pair in found["pairs"]] == [
        ("their_towers", "their_item_knn"),
        ("their_towers", "mercato"),
    ]
    assert found["family"] == 4


def test_the_lists_are_kept_in_the_versioned_schema(given):
    found = read_table("rankings", given / "evaluations" / "their_towers.parquet")
    assert found.num_rows == read_table("rankings", given / "evaluate" / "rankings" / "towers.parquet").num_rows


def test_lists_measured_before_the_stages_changed_are_refused_with_the_remedy(root):
    manifest = json.loads((root / "prepare" / "manifest.json").read_text())
    manifest["outputs"]["requests.parquet"]["sha256"] = "another"
    (root / "prepare" / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match=r"changed since: prepare\).*--ranking their_towers.csv --name their_towers`"):
        call(root, "--against", "their_towers")


def test_lists_measured_under_other_terms_are_refused(root):
    path = root / "evaluations" / "their_towers.json"
    metrics = json.loads(path.read_text())
    path.write_text(json.dumps({**metrics, "requests": metrics["requests"] - 1}))
    with pytest.raises(InputError, match=r"changed since: requests\)"):
        call(root, "--against", "their_towers")


def test_an_evaluation_without_its_lists_is_refused(root):
    (root / "evaluations" / "their_towers.parquet").unlink()
    with pytest.raises(InputError, match=r"has no lists beside it.*measure it again"):
        call(root, "--against", "their_towers")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--against", "their_tower"], "has no system their_tower; did you mean their_towers?"),
        (["--against", "neural"], "it measured mercato, .*bm25.*, their_item_knn, their_towers"),
        (["--against", "their_towers", "--metric", "recall@500"], "than the 100 places that .* kept of their_towers"),
    ],
)
def test_what_cannot_be_compared_is_refused_with_the_remedy(given, words, message):
    with pytest.raises(InputError, match=message):
        call(given, *words)


def test_what_was_measured_on_new_items_is_kept_apart(root):
    measured = Evaluated.open(root)
    of_new_items = replace(measured, new_items=True)
    items, scores = measured.lists("mercato")
    keep(of_new_items, "mine", {**measured.metrics, "ranking": {"file": "mine.csv"}}, items, scores)
    assert kept(of_new_items) == ["mine"]
    assert kept(measured) == ["their_item_knn", "their_towers"]
    again, _, depth = read(of_new_items, "mine")
    assert (again == items).all()
    assert depth == 100


def test_files_that_are_no_evaluations_are_refused(given):
    with pytest.raises(InputError, match=r"metrics.json is no run folder; .*RUN/evaluations/NAME.json is expected"):
        call(given, given / "evaluate" / "metrics.json")
    with pytest.raises(InputError, match="with --new-items"):
        call(given, given / "evaluations" / "their_towers_new_items.json")
    kept = given / "evaluations" / "their_towers.json"
    with pytest.raises(InputError, match="nothing to compare their_towers of"):
        call(kept)
    with pytest.raises(InputError, match="both say what to compare with"):
        call(kept, given, "--against", "towers")


def test_a_name_that_would_be_taken_for_new_items_is_refused(tmp_path):
    with pytest.raises(InputError, match="ends as the files of new items do"):
        name_of(tmp_path / "mine_new_items.csv", "")

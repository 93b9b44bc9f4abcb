import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from configs.errors import InputError
from pipeline.audit import audit, audit_path, passed
from serving.strings import Strings

RARE, USUAL = "gift for my aunt Li in Suzhou", "green tea"


@pytest.fixture
def run(tmp_path):
    """A run folder as an audit reads it: six users typed the usual words, two rare ones; the bundle is harmless."""
    ingest, prepare, bundle = tmp_path / "ingest", tmp_path / "prepare", tmp_path / "bundle"
    for folder in (ingest, prepare, bundle):
        folder.mkdir()
    (ingest / "manifest.json").write_text("{}")
    (prepare / "manifest.json").write_text(json.dumps({"settings": {"text": {"terms_min_users": 5}}}))
    users = [f"user-{number:04}" for number in range(8)]
    pq.write_table(pa.table({"code": np.arange(8), "id": users}), ingest / "user_ids.parquet")
    pq.write_table(pa.table({"code": [0], "id": ["sku-0001"]}), ingest / "item_ids.parquet")
    pq.write_table(pa.table({"query": [0, 1], "text": [USUAL, RARE]}), prepare / "queries.parquet")
    np.save(prepare / "query_users.npy", np.array([6, 2], np.int32))
    (prepare / "item_fields.jsonl").write_text(json.dumps({"item_id": "sku-0001", "title": "Cup"}) + "\n")
    (bundle / "manifest.json").write_text(json.dumps({"name": "shop", "files": {}}))
    Strings.of(["sku-0001"]).save(bundle / "item_ids")
    Strings.of(["Cup of clay"]).save(bundle / "item_texts")
    Strings.of([USUAL, ""]).save(bundle / "queries")
    histories = bundle / "users" / "histories"
    histories.mkdir(parents=True)
    arrays = {
        "offsets": np.arange(9),
        "item": np.full(8, -1, np.int32),
        "action": np.zeros(8, np.uint8),
        "time": np.arange(8),
        "query": np.array([0] * 6 + [1] * 2, np.int32),
        "session": np.arange(8),
    }
    for name, array in arrays.items():
        np.save(histories / f"{name}.npy", array)
    (tmp_path / "metrics.json").write_text(json.dumps({"seed": 13812345678, "value": 0.13812345678}))
    (tmp_path / "report.html").write_text("<p>User A1 searched for <q>green tea</q></p><script>'a@b.com'</script>")
    return tmp_path


def kinds(path, **options):
    return sorted((one.kind, one.file, one.count) for one in audit_path(path, **options).findings)


def test_a_clean_run_has_no_findings_and_says_what_was_looked_through(run):
    found = audit_path(run)
    assert found.findings == []
    assert found.files >= 6
    assert any("nothing was registered" in note for note in found.notes)


def test_a_rare_query_is_found_in_the_bundle_by_its_own_histories(run):
    for name in ("text", "offsets", "order"):
        np.save(run / "bundle" / "queries" / f"{name}.npy", getattr(Strings.of([USUAL, RARE]), name))
    (found,) = audit_path(run / "bundle").findings
    assert (found.kind, found.place, found.count) == ("a query typed by fewer than 5 users", "query 1", 1)
    assert RARE not in str(found)
    assert kinds(run / "bundle", min_users=2) == []
    assert len(kinds(run / "bundle", min_users=7)) == 1


def test_a_rare_query_is_found_in_the_report(run):
    (run / "report.html").write_text(f"<p>User A1 searched for <q>{RARE}</q> and <q>{USUAL}</q></p>")
    assert kinds(run) == [("a query that few users typed", "report.html", 1)]


def test_ids_addresses_and_numbers_are_found_wherever_they_stand(run):
    (run / "metrics.json").write_text(json.dumps({"users": {"user-0003": 1}, "note": "ask wei@example.com"}))
    Strings.of(["Cup, order at 13812345678"]).save(run / "bundle" / "lexical_texts")
    pq.write_table(pa.table({"user": ["user-0001", "user-0002"]}), run / "bundle" / "graph.parquet")
    assert kinds(run) == [
        ("a mail address", "metrics.json", 1),
        ("a phone number", "bundle/lexical_texts/text.npy", 1),
        ("the id of a user", "bundle/graph.parquet", 2),
        ("the id of a user", "metrics.json", 1),
    ]


def test_short_ids_are_found_in_columns_of_users_only(run):
    pq.write_table(pa.table({"code": [0], "id": ["17"]}), run / "ingest" / "user_ids.parquet")
    # A count, a number of an item, and a word's place in a tokenizer's vocabulary are none.
    (run / "metrics.json").write_text(json.dumps({"users": 17, "items": "17", "vocab": {"member": 17}, "user_id": 17}))
    assert kinds(run) == [("the id of a user", "metrics.json", 1)]


def test_a_bundle_by_itself_is_looked_through_without_ids(run, tmp_path_factory):
    alone = tmp_path_factory.mktemp("alone") / "copy"
    (run / "bundle").rename(alone)
    found = audit_path(alone)
    assert found.findings == []
    assert "ids of users are not looked for" in found.notes[0]


def test_the_verb_lists_findings_and_fails_then(run):
    assert CliRunner().invoke(audit, [str(run)]).exit_code == 0
    (run / "metrics.json").write_text(json.dumps({"who": "user-0003"}))
    result = CliRunner().invoke(audit, [str(run), "--json"])
    assert result.exit_code == 1
    told = json.loads(result.output)["findings"]
    assert told == [
        {
            "kind": "the id of a user",
            "file": "metrics.json",
            "place": ".who",
            "count": 1,
            "example": "u...3 (9 characters)",
        }
    ]


def test_export_refuses_findings_unless_told_otherwise(run):
    (run / "metrics.json").write_text(json.dumps({"who": "user-0003"}))
    found = audit_path(run)
    with pytest.raises(InputError, match=r"1 places could identify a person: metrics.json: 1 times the id.*audit=warn"):
        passed(found, "refuse")
    assert "metrics.json: 1 times the id of a user" in passed(found, "warn")[0]
    (run / "metrics.json").write_text("{}")
    assert "nothing that could identify" in passed(audit_path(run), "refuse")[-1]


def test_anything_else_is_refused(tmp_path):
    with pytest.raises(InputError, match="neither a run folder"):
        audit_path(tmp_path)

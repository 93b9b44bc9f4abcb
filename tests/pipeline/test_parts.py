"""What each part of a tiny bazaar adds: what is run, what is taken over, what is paired, and bad input."""

import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from commerce.columns import NO_INTENT
from commerce.segments import Segment
from configs.errors import InputError
from pipeline import parts as module
from pipeline.part_differences import joined_segments
from pipeline.parts import PARTS, Part, parse_seeds, parts
from pipeline.report.parts import parts_lines
from pipeline.run_folder import RunFolder

_SEARCHES = next(part for part in PARTS if part.name == "from searches alone")
_ASKED = (
    _SEARCHES,
    Part("intent", "from searches alone", "intents", _SEARCHES.changes),
    next(part for part in PARTS if part.name == "without intent"),
    Part("user vector", "from nothing of another kind", "towers", {}, ("miracles",)),
)
_true_has = module._has


@pytest.fixture(scope="module")
def asked(tiny_run):
    """Return (what the file holds, what was said, the run) of three parts and one that no shop has."""
    whole, _ = tiny_run
    said: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "PARTS", _ASKED)
        patch.setattr(module, "SEARCH_TERMS", 0)  # so that most of the run itself can be taken over
        patch.setattr(module, "_has", lambda run, config: {**_true_has(run, config), "miracles": False})
        return parts(whole.config, [whole.config.run.seed], said.append), said, whole.folder


def test_a_part_that_the_shop_lacks_is_not_asked_and_said(asked):
    found, said, _ = asked
    assert found["left_out"] == ["user vector from nothing of another kind: there are no miracles"]
    assert f"not asked: {found['left_out'][0]}" in said


def test_what_everything_has_more_is_the_difference_of_the_two_runs(asked):
    found, _, folder = asked
    measured = {
        name: json.loads((folder / "parts" / "seed-0" / name / "metrics.json").read_text())["systems"]["towers"]
        for name in ("everything", "user-vector-from-searches-alone")
    }
    row = next(r for r in found["rows"] if r["metric"] == "ndcg@10" and r["segment"] == "all requests")
    assert row["with"] == pytest.approx(measured["everything"]["ndcg@10"]["value"], abs=2e-6)
    assert row["without"] == pytest.approx(measured["user-vector-from-searches-alone"]["ndcg@10"]["value"], abs=2e-6)
    assert row["difference"]["value"] == pytest.approx(row["with"] - row["without"], abs=2e-6)


def test_intents_are_compared_too_by_the_same_training(asked):
    found, said, _ = asked
    assert sum(line.startswith("train-towers: done") for line in said) == 1
    intents = [row for row in found["rows"] if row["system"] == "intents"]
    assert [row["metric"] for row in intents] == ["log-likelihood", "accuracy"]
    assert all(row["with"] < 0 for row in intents if row["metric"] == "log-likelihood")


def test_what_the_ranker_reads_leaves_the_towers_as_they_were(asked):
    _, said, folder = asked
    place = next(
        n for n, line in enumerate(said) if line.startswith("---") and line.endswith("shipped-order-without-intent")
    )
    assert said[place + 1] == "taken over: ingest, prepare, adapt, train-towers, embed, index, retrieve"
    gate = json.loads((folder / "parts/seed-0/shipped-order-without-intent/train-ranker/gate.json").read_text())
    assert gate["reads"] == ["profile", "associations"]


def test_the_page_and_the_lines_name_every_part(asked):
    found, _, folder = asked
    page, lines = (folder / "parts.html").read_text(), "\n".join(parts_lines(found))
    for part in ("from searches alone", "without intent"):
        assert part in page
        assert part in lines
    assert "http" not in page.partition("<script>")[0].replace("http-equiv", "")


def test_a_shop_without_labels_is_not_asked_what_intents_add(tiny_run, tmp_path):
    whole, _ = tiny_run
    prepared = tmp_path / "prepare"
    prepared.mkdir()
    for name in ("vocabulary.json", "queries.parquet", "manifest.json"):
        shutil.copy(whole.folder / "prepare" / name, prepared)
    table = pq.read_table(whole.folder / "prepare" / "requests.parquet")
    place = table.schema.get_field_index("intent")
    none = pa.array(np.full(len(table), NO_INTENT, np.int8))
    pq.write_table(table.set_column(place, table.schema.field(place), none), prepared / "requests.parquet")
    assert module._has(RunFolder(whole.folder), whole.config)["intents"]
    assert not module._has(RunFolder(tmp_path), whole.config)["intents"]
    for part in PARTS:
        about = part.system == "intents" or part.name == "without intent"
        assert about == ("intents" in part.needs)


def test_segments_of_several_seeds_are_laid_end_to_end():
    one = [Segment("a", np.array([True, False]), False), Segment("b", np.array([True, True]), True)]
    other = [Segment("a", np.array([False, False, True]), False)]
    (joined,) = joined_segments([one, other])
    assert joined.name == "a"
    assert joined.keep.tolist() == [True, False, False, False, True]


@pytest.mark.parametrize("text", ["", "a", "0,0", "-1", "0,1.5"])
def test_seeds_that_are_none_are_refused(text):
    with pytest.raises(InputError, match="distinct whole numbers"):
        parse_seeds(text)


def test_every_part_changes_settings_that_there_are(tiny_run):
    whole, _ = tiny_run
    for part in PARTS:
        changed = module._changed(whole.config, part)
        assert changed.run.folder != whole.config.run.folder
        for name, value in part.changes.items():
            section, key = name.split(".")
            now = getattr(getattr(changed, section), key)
            assert value not in now if name == "retrieval.sources" else now == value

"""New items in a finished bundle: placed as ``embed`` would place them, everywhere that knows items, or not at all."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from commerce.features import Vocabulary, encode
from configs.errors import InputError
from retrieval.index import ItemIndex
from serving import new_items
from serving.commands import add_items as command
from serving.manifest import bundle_id, check_files, read_manifest
from serving.models import OnnxModels
from serving.new_items import add_items
from serving.runtime import Runtime
from serving.verify import verify
from tests.retrieval.clusters import draw

NEW = """item_id,title,category,brand,price,available_from,image_vector
n1,zq-4711 quiet desk lamp,Home > lamp,Zenkai,19.5,2026-01-01T00:00:00Z,
n2,红色台灯,Home > lamp,,,,
n3,yoga mat of cork,Sports > yoga mat,Umbrio,30,,
"""


def written(folder, text=NEW, name="new.csv"):
    (folder / name).write_text(text)
    return folder / name


def test_an_item_without_events_is_placed_where_embed_placed_it(exported):
    run, _ = exported
    folder = run.folder / "bundle"
    items = pq.read_table(run.folder / "ingest" / "items.parquet").to_pydict()
    texts = pq.read_table(run.folder / "prepare" / "item_texts.parquet").sort_by("item")["text"].to_pylist()
    from pipeline.run_folder import RunFolder
    from pipeline.tower_inputs import Prepared

    settings = run.config.towers
    counts = Prepared.open(RunFolder(run.folder).stage("prepare")).events_of_items(len(texts))
    without = np.flatnonzero(counts < settings.id_min_events)
    assert len(without)
    assert len(without) < len(texts)
    models = OnnxModels(folder, read_manifest(folder)["models"], 1)
    vocabulary = Vocabulary.from_json(json.loads((folder / "vocabulary.json").read_text())["items"])
    features = encode(vocabulary, {name: [values[i] for i in without] for name, values in items.items()}, len(without))
    placed = models.items(models.encode_items([texts[i] for i in without]), features)
    embedded = np.load(run.folder / "embed" / "item_vectors.npy")[without]
    assert (placed * embedded).sum(axis=1).min() >= 0.9999


def test_new_items_are_known_wherever_items_are(bundle, tmp_path):
    before, former = Runtime(bundle), bundle_id(bundle)
    count = before.items
    added = add_items(bundle, written(tmp_path))
    assert (added.items, added.former, added.report.items) == (3, former, count + 3)
    verify(bundle)
    after = Runtime(bundle)
    manifest = read_manifest(bundle)
    assert [note["items"] for note in manifest["added"]] == [3]
    assert manifest["added"][0]["to"] == former
    found = after.recommend(user="nobody", events=(), query="zq-4711", k=30)
    first = next(item for item in found.items if item.item_id == "n1")
    assert "lexical" in {reason.source for reason in first.reasons}
    assert first.fields["price"] == 19.5
    assert first.fields["category"] == "Home > lamp"
    assert after.item_id(count + 1) == "n2"
    lamps = after.recommend(events=(), query="cork", where={"brand": ["Umbrio"]}, k=count)
    assert "n3" in [item.item_id for item in lamps.items]
    early = after.recommend(events=(), query="zq-4711", time=1_700_000_000_000_000, k=count)
    assert "n1" not in [item.item_id for item in early.items]  # not in the shop yet
    assert not list(bundle.parent.glob(".*"))


def test_items_are_added_to_a_bundle_that_was_added_to(bundle, tmp_path):
    add_items(bundle, written(tmp_path))
    later = written(tmp_path, '{"item_id": 77, "title": "one more lamp", "price": 3}\n', "later.jsonl")
    done = CliRunner().invoke(command, [str(bundle), str(later)])
    assert done.exit_code == 0, done.output
    assert "1 items added" in done.output
    assert [note["items"] for note in read_manifest(bundle)["added"]] == [3, 1]
    assert Runtime(bundle).contents.item_ids.code("77") > 0


@pytest.mark.parametrize(
    ("text", "name", "why"),
    [
        (NEW + "n1,again,,,,,\n", "new.csv", "1 ids come twice"),
        ("item_id,title\ni000003,known\n", "new.csv", "1 of 1 items are in the bundle already"),
        ("sku,title\nn1,a lamp\n", "new.csv", "item 1: no item_id .it has sku, title"),
        ("item_id,title,price\nn1,a lamp,cheap\n", "new.csv", "item n1: price is 'cheap', but a number was expected"),
        ("item_id,title,available_from\nn1,a lamp,soon\n", "new.csv", "item n1: available_from: 'soon' is no moment"),
        ('item_id,image_vector\nn1,"[1, 2]"\n', "new.csv", "a vector 2 wide in image_vector, but"),
        ("item_id,title\n", "new.csv", "has no items"),
        ("item_id,title\nn1\n", "new.csv", "more or fewer cells"),
        ("item_id,title\n", "new.xlsx", r"is no .csv or .jsonl file"),
        ('{"item_id": "n1"}\n{oops\n', "new.jsonl", "line 2 is no JSON"),
        ("[1, 2]\n", "new.jsonl", "line 1 is no JSON object"),
    ],
)
def test_rows_that_are_no_new_items_leave_the_bundle_as_it_was(bundle, tmp_path, text, name, why):
    former = bundle_id(bundle)
    with pytest.raises(InputError, match=why):
        add_items(bundle, written(tmp_path, text, name))
    assert bundle_id(bundle) == former
    check_files(bundle, read_manifest(bundle))
    assert not list(bundle.parent.glob(".*"))


def test_a_disk_that_fills_leaves_the_bundle_as_it_was(bundle, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    former = bundle_id(bundle)
    monkeypatch.setattr(new_items, "append_item_fields", full)
    with pytest.raises(OSError, match="No space left"):
        add_items(bundle, written(tmp_path))
    assert bundle_id(bundle) == former
    assert not list(bundle.parent.glob(".*"))


def test_an_approximate_index_keeps_its_promise_on_the_bundles_own_queries(tmp_path, monkeypatch):
    vectors, queries, _ = draw(3000, 16, 100)
    monkeypatch.setattr("retrieval.promise.seconds_per_query", lambda searches, *_: [1.0] + [0.5] * (len(searches) - 1))
    built = ItemIndex.build(
        np.arange(2900), vectors[:2900], queries, at_k=10, families=("ivf-flat",), target_recall=0.9, gpus=0
    )
    assert not built.exact
    built.save(tmp_path / "index")
    np.save(tmp_path / new_items.INDEX_QUERIES, queries)
    more = np.concatenate([vectors[2900:], np.zeros((1, 16), np.float32)])  # the last has no text
    new_items._grow_index(tmp_path, 2900, more)
    grown = ItemIndex.load(tmp_path / "index", 0)
    assert len(grown) == 3000
    assert grown.facts["promise"]["validation"]["low"] >= 0.9


_ADD = "import sys; from serving.new_items import add_items; add_items(sys.argv[1], sys.argv[2])"


def kill_while_adding(bundle, file, rounds):
    """Kill additions at random moments; return how often the bundle was the former and the new one."""
    former, states = bundle_id(bundle), []
    started = time.monotonic()
    subprocess.run([sys.executable, "-c", _ADD, str(bundle), str(written(file.parent, NEW, "first.csv"))], check=True)
    taken = time.monotonic() - started
    draw_ = random.Random(0)
    former = bundle_id(bundle)
    for number in range(rounds):
        own = written(file.parent, f"item_id,title\nk{number},a lamp {number}\n", "own.csv")
        process = subprocess.Popen([sys.executable, "-c", _ADD, str(bundle), str(own)], stderr=subprocess.DEVNULL)
        # The first half of the time goes into imports.
        time.sleep(draw_.uniform(0.3, 1.05) * taken)
        process.poll()
        os.kill(process.pid, signal.SIGKILL) if process.returncode is None else None
        process.wait()
        check_files(bundle, read_manifest(bundle))
        now = bundle_id(bundle)
        states.append(now != former)
        assert (Runtime(bundle, check=False).contents.item_ids.code(f"k{number}") >= 0) == states[-1]
        former = now
    return states


def test_killed_while_adding_the_bundle_is_the_former_or_the_new_one(bundle, tmp_path):
    kill_while_adding(bundle, tmp_path / "new.csv", 5)
    add_items(bundle, written(tmp_path, "item_id,title\nlast,a lamp\n"))
    verify(bundle)


@pytest.mark.slow
def test_killed_fifty_times_while_adding(bundle, tmp_path):
    states = kill_while_adding(bundle, tmp_path / "new.csv", 50)
    assert any(states)
    assert not all(states)
    verify(bundle)

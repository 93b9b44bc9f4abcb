"""``mercato milvus`` on the vectors of a run, and a runtime that finds by vector in Milvus."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from configs.errors import InputError
from pipeline.milvus import milvus
from retrieval.filters import Allowed
from retrieval.index import ItemIndex
from retrieval.milvus import MilvusIndex
from tests.retrieval.clusters import draw


@pytest.fixture
def run(tmp_path):
    vectors, validation, test = draw(400, 8, 60)
    for stage in ("prepare", "embed", "index"):
        (tmp_path / stage).mkdir()
        (tmp_path / stage / "manifest.json").write_text("{}")
    np.save(tmp_path / "embed" / "users_validation.npy", validation)
    np.save(tmp_path / "embed" / "users_test.npy", test)
    ItemIndex.build(np.arange(400), vectors, towers="abc").save(tmp_path / "index")
    until = np.where(np.arange(400) < 10, 5, 10)
    np.savez(tmp_path / "prepare" / "availability.npz", **{"from": np.zeros(400, np.int64), "until": until})
    rows = [{"item_id": f"i{item}", "title": "t", "brand": "ab"[item % 2]} for item in range(400)]
    (tmp_path / "prepare" / "item_fields.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return tmp_path


def call(run, *options):
    where = ["--uri", str(run / "shop.db"), "--collection", "shop"]
    return CliRunner().invoke(milvus, [str(run), *where, *options])


def test_a_run_is_searched_in_milvus(run):
    done = call(run, "--field", "brand", "--at-k", "20")
    assert done.exit_code == 0, done.output
    assert "400 items in shop_v1" in done.output
    assert "for a promise of 0.95" in done.output
    found, test = MilvusIndex.load(run, towers="abc"), np.load(run / "embed" / "users_test.npy")
    with np.load(run / "prepare" / "availability.npz") as kept:
        late = Allowed(kept["from"], kept["until"], np.full(60, 7), [np.zeros(0, np.int32)] * 60)
    items, _ = found.narrowed('brand == "b"').search(test, 20, late)
    assert ((items % 2 == 1) & (items >= 10)).all()


def test_an_unknown_field_is_told(run):
    done = call(run, "--field", "colour")
    assert isinstance(done.exception, InputError)
    assert str(done.exception) == "items have no field 'colour'; they have brand, item_id, title"
    assert not (run / "milvus.json").exists()


def test_without_its_package_the_way_to_it_is_told(run, monkeypatch):
    monkeypatch.setattr("pipeline.milvus.find_spec", lambda name: None)
    done = call(run)
    assert "pip install 'mercato[milvus]'" in str(done.exception)

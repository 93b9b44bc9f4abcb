import json

import faiss
import numpy as np
import pytest

from configs.errors import InputError
from retrieval import storage
from retrieval.index import ItemIndex
from tests.retrieval.clusters import draw

VECTORS, QUERIES, _ = draw(3000, 16, 60)


@pytest.fixture(scope="module")
def approximate():
    with pytest.MonkeyPatch.context() as patch:
        # Whatever the machine's mood, no exact index here.
        patch.setattr("retrieval.promise.seconds_per_query", lambda searches, *_: [1.0] + [0.5] * (len(searches) - 1))
        return ItemIndex.build(np.arange(3000), VECTORS, QUERIES, at_k=10, families=("ivf-sq8",), towers="t1", gpus=0)


def change(folder, **facts):
    told = json.loads((folder / "index.json").read_text())
    (folder / "index.json").write_text(json.dumps({**told, **facts}))


def test_other_towers_are_refused(approximate, tmp_path):
    approximate.save(tmp_path)
    assert len(ItemIndex.load(tmp_path, towers="t1")) == 3000
    with pytest.raises(InputError, match=r"vectors of other towers \(t1, but t2 ask\)"):
        ItemIndex.load(tmp_path, towers="t2")


def test_a_newer_faiss_is_refused_and_an_older_one_warned_of(approximate, tmp_path):
    approximate.save(tmp_path)
    change(tmp_path, faiss="99.0")
    with pytest.raises(InputError, match=rf"FAISS 99.0, which is newer than FAISS {faiss.__version__}"):
        ItemIndex.load(tmp_path)
    change(tmp_path, faiss="1.2.0")
    with pytest.warns(UserWarning, match=r"measured with FAISS 1\.2\.0"):
        ItemIndex.load(tmp_path)


def test_an_approximate_index_needs_its_vectors(approximate, tmp_path):
    approximate.save(tmp_path)
    (tmp_path / "vectors.1.npy").unlink()
    with pytest.raises(FileNotFoundError, match=r"lacks vectors.1.npy"):
        ItemIndex.load(tmp_path)


def test_an_exact_index_leaves_no_vectors_of_the_former(approximate, tmp_path):
    approximate.save(tmp_path)
    ItemIndex.build(np.arange(3000), VECTORS, gpus=0).save(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"items.2.faiss", "ids.2.npy", "index.json"}
    assert ItemIndex.load(tmp_path).exact


@pytest.mark.parametrize("writer", ["_write_faiss", "_write_array", "flush"])
def test_a_disk_that_fills_leaves_the_former_index(approximate, tmp_path, monkeypatch, writer):
    ItemIndex.build(np.arange(3000), VECTORS, gpus=0).save(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(storage, writer, full)
    with pytest.raises(OSError, match="No space left"):
        approximate.save(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_what_faiss_cannot_write_is_told_as_such(approximate, tmp_path):
    (tmp_path / ".items.1.faiss.tmp").mkdir()
    with pytest.raises(OSError, match=r"items.1.faiss.tmp could not be written"):
        storage._write_faiss(approximate.host, tmp_path / ".items.1.faiss.tmp")


def test_a_reader_sees_the_new_index_where_a_writer_replaced_it_meanwhile(approximate, tmp_path, monkeypatch):
    approximate.save(tmp_path)
    real, reads = storage._read_facts, []

    def overtaken(folder):
        facts = real(folder)
        reads.append(facts["generation"])
        if len(reads) == 1:
            ItemIndex.build(np.arange(3000), VECTORS, gpus=0).save(folder)
        return facts

    monkeypatch.setattr(storage, "_read_facts", overtaken)
    assert ItemIndex.load(tmp_path).exact
    assert reads == [1, 2]

import json
import shutil

import pytest

from configs.errors import InputError
from serving.golden import record
from serving.manifest import BundleError, read_manifest, seal
from serving.new_items import add_items
from serving.requests import Request
from serving.runtime import Runtime
from serving.verify import verify


def reseal(bundle, change=lambda manifest: None):
    """Seal the bundle again, as somebody who damages it with care would."""
    manifest = read_manifest(bundle)
    change(manifest)
    seal(bundle, {name: value for name, value in manifest.items() if name not in ("format", "files")})


def test_a_whole_bundle_is_verified_and_described(bundle):
    report = verify(bundle)
    assert report.items == 90
    assert report.golden.requests == 60
    assert report.golden.reranked == 12
    assert report.golden.lowest_cosine > 0.9999
    assert report.golden.largest_difference < 1e-3


def test_a_bundle_without_a_reranker_counts_no_request_as_reranked(bundle):
    def leave_out(manifest):
        manifest["models"]["reranker"] = None

    def answer_anew(manifest):
        runtime = Runtime(bundle)
        requests = [Request.from_json(entry["request"]) for entry in manifest["golden"]]
        manifest["golden"] = record(runtime, runtime, [requests], reranked=12)

    reseal(bundle, leave_out)
    reseal(bundle, answer_anew)
    assert [entry["rerank"] for entry in read_manifest(bundle)["golden"]].count(True) == 12  # asked for, in vain
    report = verify(bundle)
    assert (report.golden.requests, report.golden.reranked) == (60, 0)


def test_a_byte_changed_in_any_file_is_refused_by_name(bundle):
    files = sorted(path for path in bundle.rglob("*") if path.is_file())
    assert len(files) > 30
    for path in files:
        whole = path.read_bytes()
        for place in (0, len(whole) // 2, len(whole) - 1):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :])
            with pytest.raises(BundleError, match=path.name):
                verify(bundle)
        path.write_bytes(whole[:-1])
        with pytest.raises(BundleError, match=path.name):
            verify(bundle)
        path.unlink()
        with pytest.raises(BundleError, match=path.name):
            verify(bundle)
        path.write_bytes(whole)
    verify(bundle)


def test_an_added_file_is_refused_by_name(bundle):
    (bundle / "index" / "more.npy").write_bytes(b"")
    with pytest.raises(BundleError, match=r"index/more\.npy"):
        verify(bundle)


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("vector", "golden request 3: the user vector has cosine"),
        ("intents", "golden request 3: a score differs by"),
        ("scores", "golden request 3: a score differs by"),
        ("items", "golden request 3: item .* stands at place"),
        ("context", "golden request 3: the reranker is told 'intent: "),
    ],
)
def test_an_answer_that_is_not_the_golden_one_is_refused(bundle, what, message):
    def change(manifest):
        answer = manifest["golden"][3]
        if what == "items":
            answer["items"][0], answer["items"][-1] = answer["items"][-1], answer["items"][0]
        elif what == "context":
            answer["context"] += " about: somebody else"
        elif what == "vector":
            answer["vector"][0] += 0.1
        else:
            answer[what][0] += 0.01

    reseal(bundle, change)
    with pytest.raises(BundleError, match=message):
        verify(bundle)


def test_a_graph_of_other_weights_is_noticed_by_the_golden_requests(bundle):
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(bundle / "user_tower.onnx")
    for tensor in graph.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype == "float32" and values.ndim == 2:
            tensor.CopyFrom(numpy_helper.from_array(values[::-1].copy(), tensor.name))
    onnx.save(graph, bundle / "user_tower.onnx")
    reseal(bundle)
    with pytest.raises(BundleError, match="golden request"):
        verify(bundle)


def test_an_index_of_other_items_is_noticed_by_the_golden_requests(bundle):
    import numpy as np

    from retrieval.index import ItemIndex

    vectors = np.load(bundle / "item_vectors.npy")
    shutil.rmtree(bundle / "index")
    ItemIndex.build(np.arange(len(vectors)), vectors[::-1].copy()).save(bundle / "index")
    reseal(bundle)
    with pytest.raises(BundleError, match="golden request"):
        verify(bundle)


def test_the_manifest_tells_where_the_bundle_came_from(bundle):
    manifest = read_manifest(bundle)
    assert manifest["format"] == 2
    assert manifest["window"]["start"] < manifest["window"]["end"]
    assert {"onnx", "onnxruntime", "tokenizers"} <= set(manifest["versions"])
    assert manifest["models"]["text"]["pooling"].startswith("mean")
    assert manifest["metrics"]["systems"]["mercato"]["ndcg@10"]["value"] == 0.1
    assert "segments" not in manifest["metrics"]
    golden = manifest["golden"]
    assert len(golden) >= 50
    assert any(not entry["request"]["query"].isascii() for entry in golden)


def test_no_raw_user_id_is_in_the_bundle(bundle):
    assert b"u000001" not in b"".join(path.read_bytes() for path in bundle.rglob("*") if path.is_file())
    assert json.loads((bundle / "manifest.json").read_text())["users"]["key_variable"] == "MERCATO_HASH_KEY"


def test_a_bundle_made_before_later_additions_is_read(bundle, tmp_path):
    # Format 2 as it was first: what was added to it since has a default, and only what needs an addition says so.
    def without(manifest):
        manifest.pop("personalised")
        manifest["models"].pop("item")
        for name in ("items", "popularity_column", "popularity_prior"):
            manifest["settings"].pop(name)

    (bundle / "item_tower.onnx").unlink()
    reseal(bundle, without)
    report = verify(bundle)
    assert report.personalised
    assert report.golden.requests == 60
    assert len(Runtime(bundle).recommend("u000003", k=5).items) == 5
    (tmp_path / "new.csv").write_text("item_id\nn1\n")
    with pytest.raises(InputError, match="was exported before items could be added; run `mercato export CONFIG` again"):
        add_items(bundle, tmp_path / "new.csv")

"""A bundle whose graphs are int8, of the tiny shop."""

import shutil
from dataclasses import replace

import pytest

from configs.schema import ExportConfig
from pipeline.export import export
from pipeline.run_folder import RunFolder
from pipeline.stage import Work
from serving.commands import verify as command
from serving.manifest import BundleError, read_manifest, seal
from serving.parts import bytes_by_part
from serving.requests import Request
from serving.runtime import Runtime
from serving.verify import verify
from tests.serving.test_verify import reseal

GRAPHS = {"text": "text_encoder.onnx", "user": "user_tower.onnx", "reranker": "reranker.onnx"}


@pytest.fixture(scope="module")
def small(exported, tmp_path_factory):
    """The tiny shop's run, exported in int8: (folder of the bundle, what the stage said)."""
    run, _ = exported
    folder = tmp_path_factory.mktemp("int8") / "run"
    shutil.copytree(run.folder, folder)
    config = replace(run.config, export=ExportConfig(precision="int8", precision_requests=40))
    root = RunFolder(folder)
    with pytest.MonkeyPatch.context() as patch:
        made = run.folder / "bundle"
        patch.setattr(
            "pipeline.model_files.export_graph", lambda module, path, **_: shutil.copyfile(made / path.name, path)
        )
        outcome = export(Work(config, root, root.open_temporary("export"), "export", "k"))
    return folder / "bundle", outcome.lines


def test_every_graph_is_measured_and_the_manifest_says_what_was_found(small):
    bundle, lines = small
    models = read_manifest(bundle)["models"]
    for part, graph in GRAPHS.items():
        facts = models[part]
        assert facts["precision"] == "int8"
        assert any(line.startswith(f"  {graph}: int8; export.precision=int8; int8 is ") for line in lines)
        found = facts["measured"]
        assert found["requests"] > 0
        assert found["measure"] == ("ndcg@10" if part == "reranker" else "recall@10")
        low, value, high = (found["difference"][name] for name in ("low", "value", "high"))
        assert low <= value <= high
        assert value == pytest.approx(found["int8"] - found["fp32"], abs=2e-6)
        assert 0.5 < found["cosine"]["mean"] <= 1.00001
        assert found["milliseconds"]["fp32"] > 0
        assert (bundle / graph).stat().st_size == found["bytes"]["int8"]
    assert "torch" in models["text"]["measured"]["milliseconds"]


def test_int8_graphs_answer_their_own_golden_requests(exported, small):
    bundle, _ = small
    report = verify(bundle)
    assert report.precisions == dict.fromkeys(GRAPHS.values(), "int8")
    assert report.golden.requests == 60
    one = Runtime(bundle).trace(Request(events=(), query="red tea"))
    other = Runtime(exported[0].folder / "bundle").trace(Request(events=(), query="red tea"))
    cosine = float(one.vector @ other.vector)
    assert 0.9 < cosine < 0.999999


def test_a_damaged_int8_graph_is_noticed_even_where_it_was_sealed_anew(exported, small, tmp_path):
    shutil.copytree(small[0], tmp_path / "bundle")
    shutil.copyfile(exported[0].folder / "bundle" / "user_tower.onnx", tmp_path / "bundle" / "user_tower.onnx")
    reseal(tmp_path / "bundle")  # even the graph that it was made of is another
    with pytest.raises(BundleError, match="golden request"):
        verify(tmp_path / "bundle")


def test_verify_tells_the_precision_and_the_bytes_of_each_part(small, exported):
    from click.testing import CliRunner

    said = CliRunner().invoke(command, [str(small[0])]).output
    assert "answered as by torch and text_encoder.onnx and user_tower.onnx and reranker.onnx in int8" in said
    assert "MB: " in said
    assert "answered as by torch, " in CliRunner().invoke(command, [str(exported[0].folder / "bundle")]).output


def test_every_byte_of_a_bundle_belongs_to_a_part(bundle):
    manifest = read_manifest(bundle)
    sizes = {name: file["bytes"] for name, file in manifest["files"].items()}
    assert sum(manifest["parts"].values()) == sum(sizes.values())
    assert "other" not in manifest["parts"] or manifest["parts"]["other"] < 100_000
    assert manifest["parts"]["text encoder"] == sizes["text_encoder.onnx"] + sizes["tokenizer.json"]
    assert list(manifest["parts"].values()) == sorted(manifest["parts"].values(), reverse=True)
    assert bytes_by_part({"index/items.faiss": 3, "index_queries.npy": 1, "else": 2}) == {
        "index": 3,
        "other": 2,
        "item tower, for new items": 1,
    }


def test_a_bundle_that_says_nothing_of_precision_is_fp32(bundle):
    manifest = read_manifest(bundle)
    for part in GRAPHS:
        for name in ("precision", "why", "measured"):
            manifest["models"][part].pop(name)
    seal(bundle, {name: value for name, value in manifest.items() if name not in ("format", "files", "parts")})
    assert set(verify(bundle).precisions.values()) == {"fp32"}

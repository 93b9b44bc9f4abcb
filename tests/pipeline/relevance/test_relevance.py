"""``mercato relevance`` on a table of a dozen queries: what it writes, what it skips, what others can take of it."""

import json
import random
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

import pipeline.relevance.parts
from configs.errors import InputError
from configs.load import load_config
from configs.schema import TextConfig
from learning.encode import folder_vectors
from learning.encoder_folder import open_encoder
from learning.shop_encoder import train_shop_encoder
from pipeline.api import Run
from pipeline.cli import commands
from pipeline.relevance.measure import crossed_rows
from pipeline.relevance.stages import run_relevance, warms
from pipeline.relevance.warm import draw_lists
from ranking.cross_encoder import lowest_layers

COLOURS, THINGS = ("red", "blue", "green", "oak"), ("lamp", "chair", "sofa", "台灯")
QUERIES = [f"{colour} {thing}" for colour in COLOURS for thing in THINGS]


def rows():
    draw, found = random.Random(0), []
    for query in QUERIES:
        colour, thing = query.split()
        other = draw.choice([one for one in THINGS if one != thing])
        for number in range(2):
            found += [
                {"query": query, "title": f"{colour} {thing} no {number}", "grade": 2},
                {"query": query, "title": f"{draw.choice(COLOURS)} {thing} set {number}", "grade": 1},
                {"query": query, "title": f"{colour} {other} kit {number}", "grade": 0},
            ]
    found.append({"query": "a query of one product", "title": "red lamp", "grade": 2})
    found += [{"query": "products of one grade", "title": f"red lamp {number}", "grade": 1} for number in range(2)]
    return found


def write(file, found):
    file.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in found), encoding="utf-8")


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """Return (folder, overrides) of a tiny run."""
    folder = tmp_path_factory.mktemp("relevance")
    write(folder / "pairs.jsonl", rows())
    text = TextConfig(encoder="train", precision="fp32", max_tokens=16, train_dim=64, train_layers=2, train_steps=20)
    train_shop_encoder([row["title"] for row in rows()], [], folder / "tiny", text, seed=0)
    return folder, [
        f"relevance.pairs={folder / 'pairs.jsonl'}",
        "relevance.columns={}",
        "relevance.folds=2",
        "relevance.validation_share=.3",
        "relevance.precision=fp32",
        "relevance.tower_epochs=2",
        "relevance.cross_epochs=1",
        f"text.encoder={folder / 'tiny'}",
        "text.precision=fp32",
        f"text.cache={folder / 'text'}",
        "evaluate.bootstrap=100",
        f"run.folder={folder / 'run'}",
    ]


def config(asked, *more):
    return load_config("configs/search_relevance.yaml", [*asked[1], *more])


@pytest.fixture(scope="module")
def run(asked):
    """Return (run folder, what it said)."""
    said: list[str] = []
    run_relevance(config(asked), said.append)
    return asked[0] / "run", said


def found(run):
    return json.loads((run[0] / "relevance.json").read_text())


def test_every_system_is_measured_on_every_query_that_has_an_order(run):
    metrics = found(run)
    assert metrics["queries"] == 18
    assert metrics["queries_with_order"] == 16
    assert metrics["left_out_of_ndcg"] == {"one product": 1, "products of one grade": 1}
    for name in ("random", "word_overlap", "bm25", "zero_shot", "tower", "cross_encoder", "fused"):
        ndcg = metrics["systems"][name]["ndcg@10"]
        assert 0 < ndcg["low"] <= ndcg["value"] <= ndcg["high"] <= 1
        assert 0 <= metrics["systems"][name]["macro_f1"]["value"] <= 1
    paired = metrics["paired"]["fused - tower"]["ndcg@10"]
    each = metrics["systems"]
    assert paired["value"] == pytest.approx(each["fused"]["ndcg@10"]["value"] - each["tower"]["ndcg@10"]["value"])
    assert set(metrics["by_fold"]) == set(metrics["blend"]) == {"0", "1"}
    assert min(metrics["blend"]["0"].values()) >= 0


def test_no_score_comes_from_a_model_that_was_trained_or_validated_on_the_query(run):
    table = pq.read_table(run[0] / "relevance" / "scored.parquet")
    fold, held = table["fold"].to_numpy(), table["held_out"].to_numpy()
    query = table["query"].to_numpy()
    for number in (0, 1):
        scores = np.load(run[0] / f"tower-{number}" / "scores.npy")
        assert np.array_equal(np.isfinite(scores), (fold == number) | held)
        kept = fold == number
        assert np.array_equal(table["tower"].to_numpy()[kept], scores[kept])
        assert not set(query[kept]) & set(query[~kept])


def test_a_folds_blend_is_fitted_on_the_other_folds_measured_where_there_are_enough():
    fold_of = np.array([0, 1, 2, 3, 0, 1])
    assert crossed_rows(fold_of, [0, 1, 2], 1).tolist() == [0, 2, 4]
    assert crossed_rows(fold_of, [0, 1], 1).tolist() == []


def test_what_is_done_is_skipped_and_a_cross_encoders_setting_leaves_the_towers_alone(asked, run):
    said: list[str] = []
    again = Run("configs/search_relevance.yaml", *asked[1]).relevance(said.append)
    assert again == found(run)
    assert all(line.endswith("unchanged, skipped") for line in said)
    assert len(said) == 10  # pairs, baselines, warm, three towers, three cross-encoders, relevance
    said.clear()
    run_relevance(config(asked, "relevance.final=false", "relevance.measured_folds=[0]"), said.append)
    assert "tower-0: unchanged, skipped" in said
    assert "cross-0: unchanged, skipped" in said
    assert found(run)["folds"] == [0]
    run_relevance(config(asked), said.append)
    assert found(run)["folds"] == [0, 1]


def test_cross_encoders_start_from_what_was_warmed_without_grades(asked, run, tmp_path):
    assert any("queries made of titles; divergence from the untuned" in line for line in run[1])
    manifest = json.loads((run[0] / "warm" / "manifest.json").read_text())
    assert list(manifest["inputs"]) == ["pairs"]  # one for all folds
    assert "warm" in json.loads((run[0] / "cross-0" / "manifest.json").read_text())["inputs"]


def test_what_is_learned_from_grades_does_not_warm_anew(run):
    settings = json.loads((run[0] / "warm" / "manifest.json").read_text())["settings"]
    assert "relevance.pseudo_queries" in settings
    assert "text" not in settings  # where the cache lies, say
    assert not {f"relevance.{name}" for name in ("cross_epochs", "cross_head_learning_rate", "train_share", "at")} & {
        *settings
    }


@pytest.mark.parametrize("change", ["pseudo_queries=0", "cross_from=tower", "start=random", "cross_encoder=false"])
def test_nothing_is_warmed_where_nothing_starts_from_it(asked, change):
    assert warms(config(asked))
    assert not warms(config(asked, f"relevance.{change}"))
    assert not warms(config(asked, "ranking.encoder=somebodys/cross-encoder"))


def test_titles_without_a_word_cannot_warm(asked, tmp_path):
    write(tmp_path / "pairs.jsonl", [{**row, "title": "***"} for row in rows()])
    own = f"relevance.pairs={tmp_path / 'pairs.jsonl'}", f"run.folder={tmp_path / 'run'}"
    changed = config(asked, *own, "text.refuse_share=1")
    with pytest.raises(InputError, match="of 1 product titles 0 can be made a query of"):
        run_relevance(changed, lambda line: None)


def test_a_made_querys_list_holds_its_own_product_and_none_twice():
    random = np.random.default_rng(0)
    known = random.normal(size=(40, 4)).astype(np.float32)
    own = np.arange(40)[::-1].copy()
    query, product = draw_lists(known[own] + 0.01, known, own, seed=0)
    for number in range(40):
        held = product[query == number]
        assert own[number] in held
        assert len(set(held)) == len(held) <= 8
    assert len(query) > 40 * 6


def test_a_run_that_was_cut_off_goes_on_with_the_fold_it_was_in(asked, run, tmp_path, monkeypatch):
    real, done = pipeline.relevance.parts.train_graded, []

    def stop_at_the_second(*given, **named):
        done.append(1)
        if len(done) == 4:
            raise KeyError("killed")
        return real(*given, **named)

    monkeypatch.setattr(pipeline.relevance.parts, "train_graded", stop_at_the_second)
    changed = config(asked, f"run.folder={tmp_path / 'cut'}", "relevance.final=false")
    with pytest.raises(KeyError, match="killed"):
        run_relevance(changed, lambda line: None)
    monkeypatch.setattr(pipeline.relevance.parts, "train_graded", real)
    said: list[str] = []
    run_relevance(changed, said.append)
    skipped = [line.split(":")[0] for line in said if line.endswith("unchanged, skipped")]
    assert skipped == ["pairs", "baselines", "warm", "tower-0", "cross-0", "tower-1"]
    again = json.loads((tmp_path / "cut" / "relevance.json").read_text())
    assert again["systems"] == found(run)["systems"]  # as if it had not been cut off


def test_the_tuned_encoders_are_folders_that_other_configs_take(asked, run):
    tower = open_encoder(replace(config(asked).text, encoder=str(run[0] / "tower-final" / "encoder")))
    text = replace(config(asked).text, encoder=str(tower.path))
    vectors = folder_vectors(["red lamp", "台灯"], tower, text, kind="item", progress=False)
    before = folder_vectors(["red lamp", "台灯"], open_encoder(config(asked).text), config(asked).text, kind="item")
    assert vectors.shape == (2, 64)
    assert not np.allclose(vectors, before)
    layers = lowest_layers(str(run[0] / "cross-final" / "encoder"), 1, 16)
    assert layers.config.num_hidden_layers == 1


def test_a_share_of_the_queries_and_random_weights(asked, run, tmp_path):
    said: list[str] = []
    changed = ("relevance.train_share=.5", "relevance.start=random", "relevance.measured_folds=[0]")
    run_relevance(
        config(asked, *changed, "relevance.final=false", f"run.folder={tmp_path / 'few'}"),
        said.append,
    )
    few = json.loads((tmp_path / "few" / "relevance.json").read_text())
    assert (few["train_share"], few["start"], few["folds"]) == (0.5, "random", [0])
    # The same queries are measured, whatever was trained on.
    assert few["by_fold"]["0"]["bm25"] == found(run)["by_fold"]["0"]["bm25"]
    trained = [int(line.split("trained on ")[1].split(" ")[0]) for line in said if "trained on" in line]
    whole = [int(line.split("trained on ")[1].split(" ")[0]) for line in run[1] if line.startswith("tower-0: trained")]
    assert trained[0] < whole[0]


def test_an_encoder_that_cannot_read_the_texts_is_refused_before_any_training(asked, tmp_path):
    write(tmp_path / "pairs.jsonl", [{**row, "title": "ᠮᠣᠩᠭᠣᠯ ᠪᠢᠴᠢᠭ"} for row in rows()])
    with pytest.raises(InputError, match="cannot read these texts"):
        run_relevance(
            config(asked, f"relevance.pairs={tmp_path / 'pairs.jsonl'}", f"run.folder={tmp_path / 'run'}"),
            lambda line: None,
        )
    assert not list((tmp_path / "run").glob("tower*"))


@pytest.mark.parametrize(
    ("change", "more", "message"),
    [
        (lambda row: {**row, "grade": 1}, (), "all 99 pairs have the grade 1, so there is nothing to tell apart"),
        (lambda row: {**row, "grade": "fine"}, (), "99 of 99 rows put aside: 99 grade is no number"),
        (lambda row: row, ("relevance.measured_folds=[7]",), "relevance.measured_folds names 7"),
        (lambda row: {**row, "query": "one"}, (), "all 1 queries are in fold"),
    ],
)
def test_what_cannot_be_trained_on_is_refused_in_a_sentence(asked, tmp_path, change, more, message):
    write(tmp_path / "pairs.jsonl", [change(row) for row in rows()])
    with pytest.raises(InputError, match=message):
        run_relevance(
            config(asked, f"relevance.pairs={tmp_path / 'pairs.jsonl'}", f"run.folder={tmp_path / 'run'}", *more),
            lambda line: None,
        )
    assert not list((tmp_path / "run").glob("[!.s]*"))  # nothing half done has a final name


def test_the_verb_is_listed_and_needs_a_table(asked):
    listed = CliRunner().invoke(commands, ["--help"]).output
    assert "relevance" in listed
    failed = CliRunner().invoke(
        commands, ["relevance", "configs/search_relevance.yaml", *asked[1], "relevance.pairs=''"]
    )
    assert isinstance(failed.exception, InputError)
    assert "relevance.pairs is not set" in str(failed.exception)

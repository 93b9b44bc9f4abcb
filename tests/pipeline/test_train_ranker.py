import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertModel

from commerce.candidates import CandidateWriter
from commerce.columns import ACTION_CODES, DAY
from commerce.edges import Edges
from commerce.features import Vocabulary
from commerce.histories import Histories
from commerce.records import Requests, read_ranked
from configs.errors import InputError
from configs.schema import Config
from pipeline.rank import rank
from pipeline.run_folder import RunFolder
from pipeline.stage import Work
from pipeline.train_ranker import train_ranker

ITEMS, USERS, LENGTH, KEPT = 40, 300, 6, 12
WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", *(f"w{item}" for item in range(ITEMS)))
WINDOWS = ("ranker", "validation", "test")


def save_encoder(folder):
    config = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=64,
    )
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    tokenizer = Tokenizer(models.WordLevel({word: code for code, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))


def seal(run, name, fill):
    folder = run.open_temporary(name)
    fill(folder)
    run.commit(name, folder, {"stage": name, "key": "made up"})


def build_run(root, wanted_of, seed=0):
    """A run up to ``retrieve``; ``wanted_of(affinity [R, KEPT], draw)`` says which candidate each user buys next."""
    draw = np.random.default_rng(seed)
    run = RunFolder(root)
    root.mkdir(parents=True, exist_ok=True)
    vectors = draw.normal(size=(ITEMS, 4)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    asked = {window: draw.normal(size=(USERS, 4)).astype(np.float32) for window in WINDOWS}
    listed = {w: np.array([draw.permutation(ITEMS)[:KEPT] for _ in range(USERS)], np.int32) for w in WINDOWS}
    wanted = {}
    for window in WINDOWS:
        affinity = np.einsum("rkd,rd->rk", vectors[listed[window]], asked[window])
        wanted[window] = listed[window][np.arange(USERS), wanted_of(affinity, draw)]

    def prepare(folder):
        offsets = np.arange(USERS + 1) * LENGTH
        n = USERS * LENGTH
        Histories(
            offsets,
            draw.integers(0, ITEMS, n).astype(np.int32),
            np.full(n, ACTION_CODES["purchase"], np.uint8),
            np.tile(np.arange(LENGTH) * DAY, USERS),
            np.full(n, -1, np.int32),
            np.zeros(n, np.int64),
        ).save(folder / "histories")
        rows = 3 * USERS
        Requests(
            request_id=np.arange(rows),
            window=np.repeat(WINDOWS, USERS),
            half=np.concatenate([[""] * USERS, np.tile(["fit", "gate"], USERS // 2), [""] * USERS]),
            user=np.tile(np.arange(USERS, dtype=np.int32), 3),
            time=np.full(rows, LENGTH * DAY),
            history_end=np.tile(offsets[1:], 3),
            query=np.full(rows, -1, np.int32),
            session=np.zeros(rows, np.int64),
            intent=np.full(rows, -1, np.int8),
            offsets=np.arange(rows + 1),
            items=np.concatenate([wanted[window] for window in WINDOWS]),
            gains=np.ones(rows, np.float32),
        ).write(folder / "requests.parquet")
        pq.write_table(
            pa.table({"query": pa.array([], pa.int32()), "text": pa.array([], pa.string())}), folder / "queries.parquet"
        )
        texts = [f"w{item}" for item in range(ITEMS)]
        pq.write_table(pa.table({"item": range(ITEMS), "text": texts}), folder / "item_texts.parquet")
        np.save(folder / "prices.npy", np.full(ITEMS, np.nan, np.float32))
        (folder / "items_features").mkdir()
        np.save(folder / "items_features/leaf.npy", np.full(ITEMS, -1, np.int32))
        np.save(folder / "items_features/numeric.npy", np.zeros((ITEMS, 0), np.float32))
        (folder / "users_features").mkdir()
        np.save(folder / "users_features/categorical.npy", np.ones((USERS, 1), np.int32))
        np.save(folder / "users_features/numeric.npy", np.zeros((USERS, 0), np.float32))
        np.save(folder / "users_features/numeric_mask.npy", np.zeros((USERS, 0), bool))
        vocabularies = {"items": Vocabulary().to_json(), "users": Vocabulary({"age": ["old"]}).to_json()}
        (folder / "vocabulary.json").write_text(json.dumps(vocabularies))

    def embed(folder):
        np.save(folder / "item_vectors.npy", vectors)
        for window in WINDOWS:
            np.save(folder / f"users_{window}.npy", asked[window])
            np.save(folder / f"intents_{window}.npy", np.full((USERS, 3), 1 / 3, np.float32))

    def retrieve(folder):
        scores = np.tile(np.linspace(1, 0.1, KEPT, dtype=np.float32), (USERS, 1))
        ranks = np.tile(np.arange(KEPT, dtype=np.int32), (USERS, 1))[:, :, None]
        for place, window in enumerate(WINDOWS):
            statistics = folder / "statistics" / window
            statistics.mkdir(parents=True)
            np.save(statistics / "popularity.npy", np.zeros(ITEMS, np.float32))
            nothing = Edges(np.zeros(ITEMS + 1, np.int64), np.zeros(0, np.int32), np.zeros(0, np.float32))
            nothing.save(statistics / "associations.npz")
            ids = place * USERS + np.arange(USERS)
            for name in (window, f"{window}_new") if window != "ranker" else (window,):
                with CandidateWriter(folder / f"{name}.parquet") as file:
                    file.write(ids, listed[window], scores, ("vectors",), ranks, scores[:, :, None])

    save_encoder_folder = root / "encoder"
    save_encoder_folder.mkdir()
    save_encoder(save_encoder_folder)
    for name, fill in (("prepare", prepare), ("embed", embed), ("retrieve", retrieve)):
        seal(run, name, fill)
    return run


def build_config(run, **ranking):
    config = Config()
    config.run.name, config.run.folder = "made-up", str(run.root)
    config.retrieval.sources, config.retrieval.candidates = ["vectors"], KEPT
    config.evaluate.bootstrap = 200
    config.rank.probabilities = False  # these runs have no log; tests/pipeline/test_exposures.py has one
    settings = {"depth": 10, "list_length": 8, "width": 8, "precision": "fp32", "epochs": 1}
    for name, value in ({"encoder": str(run.root / "encoder")} | settings | ranking).items():
        setattr(config.ranking, name, value)
    return config


def run_stage(run, config, name, function):
    outcome = []
    seal(run, name, lambda folder: outcome.append(function(Work(config, run, folder, name, "made up"))))
    return outcome[0].lines, run.stage(name)


def shown_of(run, name="test"):
    ids = 2 * USERS + np.arange(USERS)
    return read_ranked(run.root / "rank" / f"{name}.parquet", ids)[0]


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """Users buy the candidate nearest to their vector, which the blended order knows nothing of."""
    root = tmp_path_factory.mktemp("planted")
    run = build_run(root, lambda affinity, draw: affinity[:, :10].argmax(axis=1))
    config = build_config(run)
    lines, _ = run_stage(run, config, "train-ranker", train_ranker)
    ranked, _ = run_stage(run, config, "rank", rank)
    return run, config, lines, ranked


def test_a_better_order_ships_and_is_written(planted):
    run, _, lines, ranked = planted
    gate = json.loads((run.root / "train-ranker/gate.json").read_text())
    assert gate["shipped"] is True
    assert gate["new_items"]["shipped"] is True
    assert gate["paired"]["low"] > 0
    assert lines[0].startswith("gate: the reranked order ships: NDCG@10 over the blended order rises by +")
    assert "12 items, the first 10 re-ordered with weight" in ranked[0]
    requests = Requests.read(run.root / "prepare/requests.parquet").of("test")
    listed, shown = read_ranked_blend(run), shown_of(run)
    assert (np.sort(shown) == np.sort(listed)).all()  # the same items
    assert (shown[:, 10:] == listed[:, 10:]).all()  # beyond the depth as they were
    assert (shown[:, 0] == requests.items).mean() > 0.6 > (listed[:, 0] == requests.items).mean()


def read_ranked_blend(run):
    from ranking.lists import read_lists

    return read_lists(run.root / "retrieve/test.parquet", 2 * USERS + np.arange(USERS), (), KEPT).items


def test_the_gate_file_says_what_it_cost_and_what_the_texts_added(planted):
    gate = json.loads((planted[0].root / "train-ranker/gate.json").read_text())
    assert set(gate["cost"]["tokens"]) >= {"training", "fit", "gate", "test", "test (new items)"}
    assert set(gate["fit_ndcg@10"]) == {"blend", "numbers alone", "numbers and texts"}
    assert gate["users"] == USERS // 2


def test_the_same_seed_gives_the_same_ranker_after_a_cut(planted, tmp_path):
    run, config, *_ = planted
    first = (run.root / "train-ranker/gate.json").read_text()
    scratch = RunFolder(tmp_path)
    for name in ("prepare", "embed", "retrieve"):
        (tmp_path / name).symlink_to(run.root / name)
    run_stage(scratch, config, "train-ranker", train_ranker)
    again = (tmp_path / "train-ranker/gate.json").read_text()
    without_speed = [{**json.loads(text), "cost": None} for text in (first, again)]
    assert without_speed[0] == without_speed[1]


def test_noise_ships_the_blended_order(tmp_path):
    # An interval of 95% lets one shop of noise in forty through: two of four would be no luck any more.
    closed = []
    for seed in range(4):
        run = build_run(tmp_path / str(seed), lambda affinity, draw: draw.integers(0, 10, USERS), seed)
        config = build_config(run)
        lines, folder = run_stage(run, config, "train-ranker", train_ranker)
        if not json.loads((folder / "gate.json").read_text())["shipped"]:
            closed.append((run, config, lines, folder))
    assert len(closed) >= 3
    run, config, lines, folder = closed[0]
    ranked, _ = run_stage(run, config, "rank", rank)
    assert any(line.startswith("gate: the blended order ships: ") for line in lines)
    assert not (folder / "ranker.ckpt").exists()
    assert "blended order" in ranked[0]
    assert (shown_of(run) == read_ranked_blend(run)).all()


def test_a_depth_beyond_the_lists_reorders_whole_lists(planted, tmp_path):
    run = planted[0]
    scratch = RunFolder(tmp_path)
    for name in ("prepare", "embed", "retrieve"):
        (tmp_path / name).symlink_to(run.root / name)
    deep = build_config(run, depth=50)
    run_stage(scratch, deep, "train-ranker", train_ranker)
    lines, _ = run_stage(scratch, deep, "rank", rank)
    assert f"{USERS} lists are shorter than ranking.depth" in lines[0]


def beside(run, folder):
    """A run folder with the same lists and no ranker yet."""
    for name in ("prepare", "embed", "retrieve"):
        (folder / name).symlink_to(run.root / name)
    return RunFolder(folder)


@pytest.mark.parametrize(
    "settings",
    [
        {"attention": "full", "tuning": "lora", "loss": "lambdarank", "context_tokens": 40},
        {"attention": "full", "tuning": "frozen_lower", "context_tokens": 40},
        {"tuning": "lora"},
    ],
)
def test_every_attention_tuning_and_loss_finds_what_was_planted(planted, tmp_path, settings):
    scratch = beside(planted[0], tmp_path)
    config = build_config(planted[0], **settings)
    run_stage(scratch, config, "train-ranker", train_ranker)
    gate = json.loads((tmp_path / "train-ranker/gate.json").read_text())
    assert gate["shipped"]
    assert gate["attention"] == config.ranking.attention
    lines, _ = run_stage(scratch, config, "rank", rank)
    assert "the first 10 re-ordered" in lines[0]


def test_a_training_without_any_spread_is_stopped_and_the_blended_order_ships(planted, tmp_path, monkeypatch):
    monkeypatch.setattr("ranking.collapse.LEAST_SPREAD", 1e6)  # as if all scores were one
    monkeypatch.setattr("ranking.collapse.PATIENCE", 2)
    lines, folder = run_stage(
        beside(planted[0], tmp_path), build_config(planted[0], tokens_per_batch=200), "train-ranker", train_ranker
    )
    assert "the blended order ships: training collapsed and was stopped at step 2" in lines[0]
    assert not (folder / "ranker.ckpt").exists()
    assert not json.loads((folder / "gate.json").read_text())["shipped"]


def test_a_disabled_ranker_says_so(planted, tmp_path):
    run = planted[0]
    config = build_config(run, enabled=False)
    scratch = RunFolder(tmp_path)
    lines, folder = run_stage(scratch, config, "train-ranker", train_ranker)
    assert lines == ["gate: the blended order ships: ranking.enabled is false"]
    assert json.loads((folder / "gate.json").read_text())["shipped"] is False


def test_too_costly_a_ranker_is_refused_before_training(planted, tmp_path):
    run, *_ = planted
    config = build_config(run, max_minutes=1e-6)
    with pytest.raises(InputError, match=r"ranking\.max_minutes=1e-06 is allowed.*ranking\.depth=10"):
        train_ranker(Work(config, run, tmp_path, "train-ranker", "made up"))
    assert list(tmp_path.iterdir()) == []


def test_lists_without_a_relevant_item_close_the_gate(planted, tmp_path):
    run, config, *_ = planted
    scratch = RunFolder(tmp_path)
    for name in ("prepare", "embed"):
        (tmp_path / name).symlink_to(run.root / name)
    import shutil

    shutil.copytree(run.root / "retrieve", tmp_path / "retrieve")
    shutil.copy(run.root / "retrieve/test.parquet", tmp_path / "retrieve/ranker.parquet")  # other requests' lists
    lines, _ = run_stage(scratch, config, "train-ranker", train_ranker)
    assert lines == [
        "gate: the blended order ships: no request of the ranker window has a relevant candidate beside another one"
    ]

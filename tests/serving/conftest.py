"""A tiny shop, its run folder with untrained models, and its bundle: made once for all tests here."""

import json
import shutil

import pytest

SHOP = """
run: {seed: 1, threads: 1}
data:
  reader: bazaar
  item_text: [title]
  item_category: category
  item_categorical: [category, brand]
  item_numeric: [price]
  item_vector: image_vector
  user_categorical: [age_band, region]
  user_numeric: [household_size]
bazaar: {users: 120, items: 90, days: 40}
prepare:
  requests: rolling
  targets: {view: 0.2, cart: 0.5, purchase: 1.0}
text: {refuse_share: 1.0, precision: fp32}
retrieval: {sources: [vectors, associations, tastes, repeats, popularity, lexical], variants: one}
towers: {dim: 16, layers: 1, heads: 2, history_length: 20, max_epochs: 1}
ranking: {layers: 1, depth: 8, context_tokens: 24, item_tokens: 12, precision: fp32}
evaluate: {bootstrap: 20}
export: {precision: fp32}
"""
STAGES = ("ingest", "prepare", "adapt", "train-towers", "embed", "index", "retrieve")


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory):
    """Folder of a random encoder of two layers that reads characters."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel

    folder = tmp_path_factory.mktemp("encoder")
    letters = "abcdefghijklmnopqrstuvwxyz0123456789.:;,-"
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *letters, *(f"##{letter}" for letter in letters)]
    tokenizer = Tokenizer(models.WordPiece({word: code for code, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.save(str(folder / "tokenizer.json"))
    import torch

    torch.manual_seed(0)
    shape = BertConfig(
        vocab_size=len(words),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=128,
    )
    BertModel(shape).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def shop_config(tmp_path_factory, tiny_encoder):
    """The tiny shop's config file and overrides."""
    folder = tmp_path_factory.mktemp("shop")
    (folder / "shop.yaml").write_text(SHOP)
    return [
        str(folder / "shop.yaml"),
        f"run.folder={folder / 'run'}",
        f"text.cache={folder / 'text'}",
        f"text.encoder={tiny_encoder}",
        f"tracking.uri=sqlite:///{folder / 'mlflow.db'}",
    ]


@pytest.fixture(scope="session")
def tiny_shop(shop_config):
    """A run as the stages leave it before ``export``; its reranker is random but is said to ship."""
    from pipeline.api import Run

    run = Run(*shop_config)
    run.run(*STAGES, say=lambda line: None)
    _ship_a_reranker(run)
    interval = {"value": 0.1, "low": 0.05, "high": 0.15}
    measured = {
        "format": 1,
        "dataset": "shop",
        "split": "time",
        "targets": {"purchase": 1.0},
        "window": {"from": "2026-01-01", "until": "2026-01-08"},
        "filter_seen": False,
        "repeats": "allowed",
        "requests": 10,
        "users": 5,
        "items": 90,
        "catalogue": 90,
        "seed": 1,
        "hardware": "none",
        "intervals": {"confidence": 0.95, "resamples": 20, "over": "users"},
        "systems": {"mercato": {"ndcg@10": interval, "recall@10": interval}},
        "paired": {},
        "segments": {"user: new": {"mercato": {"ndcg@10": interval}}},
        "segment_sizes": {"user: new": {"requests": 2, "users": 1}},
    }
    (run.folder / "metrics.json").write_text(json.dumps(measured))
    return run


@pytest.fixture(scope="session")
def exported(tiny_shop):
    """The tiny shop after ``export``: (run, what the stage said)."""
    from pipeline.export import export
    from pipeline.run_folder import RunFolder
    from pipeline.stage import Work

    root = RunFolder(tiny_shop.folder)
    outcome = export(Work(tiny_shop.config, root, root.open_temporary("export"), "export", "k"))
    return tiny_shop, outcome


@pytest.fixture
def bundle(exported, tmp_path):
    """A copy of the tiny bundle, to be damaged."""
    run, _ = exported
    shutil.copytree(run.folder / "bundle", tmp_path / "bundle")
    return tmp_path / "bundle"


def _ship_a_reranker(run):
    import lightning as L
    import torch

    from pipeline.ranking_inputs import RankingInputs, encoder_path
    from pipeline.run_folder import RunFolder
    from ranking.cross_encoder import lowest_layers
    from ranking.module import Ranker

    root, config = RunFolder(run.folder), run.config
    folder = run.folder / "train-ranker"
    folder.mkdir()
    inputs = RankingInputs.open(root, config)
    ranking = config.ranking
    weights = lowest_layers(str(encoder_path(root, config)), 1, ranking.context_tokens + ranking.item_tokens)
    torch.manual_seed(0)
    ranker = Ranker(
        encoder=weights.config.to_dict(),
        features=inputs.features,
        sources=inputs.sources,
        context_tokens=ranking.context_tokens,
        item_tokens=ranking.item_tokens,
        width=8,
        dropout=0.1,
        learning_rate=1e-4,
        head_learning_rate=1e-3,
        weight_decay=0.01,
        steps=1,
        weights=weights,
    )
    trainer = L.Trainer(logger=False, enable_checkpointing=False, accelerator="cpu")
    trainer.strategy.connect(ranker)
    trainer.save_checkpoint(folder / "ranker.ckpt", weights_only=True)
    gate = {
        "shipped": True,
        "weight": 0.5,
        "new_items": None,
        "depth": ranking.depth,
        "context_tokens": ranking.context_tokens,
        "item_tokens": ranking.item_tokens,
        "features": list(inputs.features),
        "reads": sorted(inputs.reads),
        "sources": list(inputs.sources),
    }
    (folder / "gate.json").write_text(json.dumps(gate))
    (folder / "manifest.json").write_text("{}")

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig

from ranking.batches import Examples
from ranking.cross_encoder import empty_encoder
from ranking.module import Ranker
from ranking.pairs import PairTokenizer

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "1", "red", "blue", "shoe", "hat", "query", ":", "buy")
FEATURES = ("one", "two")


def build_tokenizer():
    tokenizer = Tokenizer(models.WordLevel({word: code for code, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.enable_padding(length=40)
    return tokenizer


def build_config():
    return BertConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=32,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    ).to_dict()


@pytest.fixture
def pair_tokenizer():
    return PairTokenizer(build_tokenizer(), context_tokens=8, item_tokens=5)


def build_ranker(attention):
    """A two-layer ranker with random weights, in evaluation mode."""
    torch.manual_seed(0)
    config = build_config()
    return Ranker(
        encoder=config,
        features=FEATURES,
        sources=("vectors",),
        context_tokens=8,
        item_tokens=5,
        width=8,
        dropout=0.0,
        learning_rate=1e-3,
        head_learning_rate=1e-2,
        weight_decay=0.01,
        steps=10,
        attention=attention,
        join=(1, []),
        weights=empty_encoder(config),
    ).eval()


@pytest.fixture
def ranker():
    """Reads each text once."""
    return build_ranker("context_once")


@pytest.fixture
def full_ranker():
    """Reads candidates together with their context."""
    return build_ranker("full")


@pytest.fixture
def describe(pair_tokenizer):
    """Return a function: (items, contexts, features, intent) -> Examples over the items red shoe, blue hat, hat."""
    import numpy as np

    texts = ("red shoe", "blue hat", "hat")

    def build(items, contexts, features=None, intent=None):
        items = np.array(items, dtype=np.int32)
        given = np.zeros((*items.shape, len(FEATURES))) if features is None else np.array(features)
        mixed = np.full((len(items), 3), 1 / 3) if intent is None else np.array(intent)
        return Examples(
            items,
            given.astype(np.float32),
            mixed.astype(np.float32),
            pair_tokenizer.contexts(contexts),
            pair_tokenizer.items(texts),
        )

    return build

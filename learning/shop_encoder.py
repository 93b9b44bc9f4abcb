"""A small text encoder made from a shop's own texts, for a shop that no pretrained encoder fits.

The tokenizer keeps every Han letter by itself and splits other words into pieces. The weights learn to tell texts
apart: two views of one text, each with some words dropped, belong together, and so do a search and the text of what
was chosen after it, among all other texts of the batch (contrastive learning: Oord et al. 2018; dropped words as views:
Gao et al. 2021). The folder is an ordinary transformers model that declares its pooling.
"""

from __future__ import annotations

import json
import string
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from torch import Tensor

from configs.errors import InputError
from configs.schema import TextConfig
from learning.encode import pad
from learning.language_model import TextEncoder
from learning.optimizer import parameter_groups, warmup_cosine
from learning.tokens import token_ids
from learning.views import without_some_tokens

_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
_TEMPERATURE = 0.05
# Most letters that the tokenizer knows: more than the Han letters in common use.
_LETTERS = 6_000
_BATCH = 128
_LEARNING_RATE = 1e-3
_WIDTH_OF_HEAD = 64
_DROPPED_TOKENS = 0.3
"""Share of a text's tokens that a view leaves out."""


def train_shop_encoder(
    texts: Sequence[str],
    pairs: Sequence[tuple[str, str]],
    folder: Path,
    text: TextConfig,
    seed: int,
) -> list[str]:
    """Train tokenizer and weights and write them into ``folder``; return what to say about it.

    Args:
        texts: product texts and queries.
        pairs: (query, text of what was chosen after it), from the towers' window only; may be empty.
        folder: made if needed.
        text: the ``text`` section.
        seed: of weights, order and views.

    Raises:
        InputError: if there are fewer than two distinct texts.
    """
    distinct = sorted({one for one in texts if one.strip()})
    if len(distinct) < 2:
        raise InputError(
            f"text.encoder is `train`, but only {len(distinct)} distinct texts came; check data.item_text, or name a "
            "pretrained encoder"
        )
    tokenizer = train_tokenizer(distinct, text.train_vocabulary)
    encoder = _new_encoder(tokenizer, text, seed)
    losses = _train(encoder, tokenizer, distinct, pairs, text, seed)
    _write(encoder, tokenizer, folder, text)
    return [
        f"encoder trained on {len(distinct):,} texts and {len(pairs):,} searches: "
        f"{tokenizer.get_vocab_size():,} tokens, "
        f"loss {np.mean(losses[:20]):.2f} -> {np.mean(losses[-20:]):.2f} in {len(losses)} steps"
    ]


def train_tokenizer(texts: Sequence[str], vocabulary: int) -> Tokenizer:
    """Return a WordPiece tokenizer in lower case, without accents, whose Han letters stand alone.

    It knows every letter, alone and inside a word, and the most frequent words; other words are spelt. The library's
    own trainer breaks ties differently every time, so that one seed would not give one encoder.
    """
    normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.BertNormalizer(lowercase=True, handle_chinese_chars=True)]
    )
    splitter = pre_tokenizers.BertPreTokenizer()
    words = Counter(word for text in texts for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text)))
    tokens = dict.fromkeys([*_SPECIAL, *_letters(words)])
    for word, _ in sorted(words.items(), key=lambda entry: (-entry[1], entry[0])):
        if len(tokens) >= vocabulary:
            break
        tokens[word] = None
    tokenizer = Tokenizer(models.WordPiece({token: place for place, token in enumerate(tokens)}, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, splitter
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens(_SPECIAL)
    start, end = (tokenizer.token_to_id(token) for token in ("[CLS]", "[SEP]"))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", start), ("[SEP]", end)],
    )
    return tokenizer


def _letters(words: Counter[str]) -> list[str]:
    """Return the letters of the words, most frequent first, and all Latin ones; each also as one inside a word."""
    counts = Counter(string.ascii_lowercase + string.digits)
    for word, times in words.items():
        for letter in word:
            counts[letter] += times
    known = sorted(counts, key=lambda letter: (-counts[letter], letter))[:_LETTERS]
    # A Han letter is a word of its own, never inside one.
    return [*known, *(f"##{letter}" for letter in known if not "\u4e00" <= letter <= "\u9fff")]


def _new_encoder(tokenizer: Tokenizer, text: TextConfig, seed: int) -> TextEncoder:
    from transformers import BertConfig, BertModel

    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=text.train_dim,
        num_hidden_layers=text.train_layers,
        num_attention_heads=max(1, text.train_dim // _WIDTH_OF_HEAD),
        intermediate_size=4 * text.train_dim,
        max_position_embeddings=max(128, text.max_tokens),
        # The views differ by their dropped tokens already; and dropout costs more than these layers on a processor.
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        pad_token_id=tokenizer.token_to_id("[PAD]"),
    )
    return TextEncoder(BertModel(config, add_pooling_layer=False), "mean")


def _train(
    encoder: TextEncoder,
    tokenizer: Tokenizer,
    texts: Sequence[str],
    pairs: Sequence[tuple[str, str]],
    text: TextConfig,
    seed: int,
) -> list[float]:
    tokenizer.enable_truncation(text.max_tokens)
    rows = [np.asarray(row) for row in token_ids(tokenizer, texts)]
    number = {one: place for place, one in enumerate(texts)}
    asked = np.array(
        [(number[query], number[chosen]) for query, chosen in pairs if query in number and chosen in number]
    )
    same = np.stack([np.arange(len(rows))] * 2, axis=1)
    random = np.random.default_rng([seed, 7])
    torch.manual_seed(seed)
    optimizer = torch.optim.AdamW(
        parameter_groups(encoder, learning_rate=_LEARNING_RATE, weight_decay=0.01), fused=True
    )
    schedule = warmup_cosine(optimizer, text.train_steps, 0.1)
    losses = []
    encoder.train()
    for step in range(text.train_steps):
        # Every other step learns from searches, where there are any.
        kind = asked if len(asked) and step % 2 else same
        batch = kind[random.permutation(len(kind))[:_BATCH]]
        loss = _contrast(encoder, batch, rows, _DROPPED_TOKENS, random)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(encoder.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    encoder.eval()
    return losses


def _contrast(
    encoder: TextEncoder,
    batch: np.ndarray,
    rows: Sequence[np.ndarray],
    dropped: float,
    random: np.random.Generator,
) -> Tensor:
    """Return the symmetric cross-entropy of finding each text's partner among the batch's."""
    left = encoder(*pad([without_some_tokens(rows[place], dropped, random) for place in batch[:, 0]]))
    right = encoder(*pad([without_some_tokens(rows[place], dropped, random) for place in batch[:, 1]]))
    scores = left @ right.T / _TEMPERATURE
    # A text that comes twice in a batch is no negative of itself.
    for side in (batch[:, 0], batch[:, 1]):
        twice = torch.from_numpy(side[:, None] == side).fill_diagonal_(False)
        scores = scores.masked_fill(twice, -1e4)
    own = torch.arange(len(batch))
    return (F.cross_entropy(scores, own) + F.cross_entropy(scores.T, own)) / 2


def _write(encoder: TextEncoder, tokenizer: Tokenizer, folder: Path, text: TextConfig) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    encoder.model.save_pretrained(str(folder))  # type: ignore[operator]
    tokenizer.no_truncation()
    tokenizer.save(str(folder / "tokenizer.json"))
    special = {name: f"[{token}]" for name, token in _TOKEN_NAMES.items()}
    described = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        # Without this a pair of texts would lose its token types in silence.
        "model_input_names": ["input_ids", "token_type_ids", "attention_mask"],
        "model_max_length": text.max_tokens,
        **special,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(described, indent=1))
    pooling = folder / "1_Pooling"
    pooling.mkdir(exist_ok=True)
    declared = {"word_embedding_dimension": text.train_dim, "pooling_mode_mean_tokens": True}
    (pooling / "config.json").write_text(json.dumps(declared, indent=1))


_TOKEN_NAMES = {"pad_token": "PAD", "unk_token": "UNK", "cls_token": "CLS", "sep_token": "SEP", "mask_token": "MASK"}

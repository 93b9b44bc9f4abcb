"""Does the encoder read these texts at all? Unknown tokens and colliding texts, per language and field. No torch here.

A tokenizer that lacks a script fails in silence: the English MiniLM turns most Chinese title tokens into unknowns,
so that different products get the same vector.
"""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from configs.schema import TextConfig
from learning.encoder_folder import EncoderError, open_encoder
from learning.tokens import load_tokenizer, token_ids, unknown_id

# A language as far as its letters tell: a tokenizer lacks scripts, not languages.
_SCRIPTS = {"CJK": "Chinese", "HIRAGANA": "Japanese", "KATAKANA": "Japanese", "HANGUL": "Korean"}
_SAMPLE = 50_000
# A handful of foreign titles is worth a warning, not a stop: a group must hold this share of its field's texts.
_REFUSABLE_SHARE = 0.01


@dataclass(frozen=True)
class FieldFit:
    """How an encoder reads the texts of one language in one field."""

    field: str
    language: str
    texts: int
    """Distinct texts looked at."""
    share: float
    """Share of the field's distinct texts that these are."""
    tokens: int
    """Their tokens, special ones left out."""
    unknown: float
    """Share of these tokens that the tokenizer does not know."""
    colliding: float
    """Share of texts whose token ids equal those of a different text (after case and spaces are made equal)."""

    @property
    def worst(self) -> float:
        """The larger of the two shares."""
        return max(self.unknown, self.colliding)

    def line(self) -> str:
        """Return the row for a person."""
        return (
            f"{self.field}, {self.language}: {self.texts:,} texts, {self.unknown:.1%} unknown tokens, "
            f"{self.colliding:.1%} colliding texts"
        )


@dataclass(frozen=True)
class FitReport:
    """What ``check_fit`` found, worst first."""

    encoder: str
    fits: list[FieldFit]
    warnings: list[str] = field(default_factory=list)

    @property
    def lines(self) -> list[str]:
        """Everything found, a line each, for a person."""
        return [f"encoder {self.encoder} reads {fit.line()}" for fit in self.fits] + self.warnings

    def as_json(self) -> dict[str, Any]:
        """Return the report as plain values."""
        return {"encoder": self.encoder, "fits": [asdict(fit) for fit in self.fits], "warnings": self.warnings}


def check_fit(texts_by_field: Mapping[str, Sequence[str]], text: TextConfig, trained: Path | None = None) -> FitReport:
    """Measure how the encoder reads the shop's texts, per field and language.

    Args:
        texts_by_field: field (``items``, ``queries``) -> its texts; at most 50,000 distinct ones of each are read.
        text: the ``text`` section.
        trained: folder of the shop's own encoder, where ``text.encoder`` is ``train``.

    Raises:
        EncoderError: if a share is above ``text.refuse_share``, or the encoder is not there.
    """
    folder = open_encoder(text, trained)
    tokenizer = load_tokenizer(folder.path, text.max_tokens)
    fits = [fit for name, texts in texts_by_field.items() for fit in _measure_field(name, texts, tokenizer)]
    fits.sort(key=lambda fit: -fit.worst)
    refused = [fit for fit in fits if fit.worst > text.refuse_share and fit.share >= _REFUSABLE_SHARE]
    if refused:
        raise EncoderError(
            f"the encoder {text.encoder} cannot read these texts ({'; '.join(fit.line() for fit in refused)}; "
            f"at most {text.refuse_share:.0%} is allowed by text.refuse_share). Choose an encoder made for this "
            "language, or set text.encoder=train to train one on the shop's own texts"
        )
    warnings = [
        f"warning: {fit.line()} (above text.warn_share {text.warn_share:.0%}); text.encoder=train, or an encoder made "
        "for this language, would read more"
        for fit in fits
        if fit.worst > text.warn_share
    ]
    return FitReport(text.encoder, fits, warnings)


def language_of(text: str) -> str:
    """Return the language that most letters of a text point to: Chinese, Japanese, Korean, or the name of a script."""
    counts: Counter[str] = Counter()
    for letter in text:
        if letter.isalpha():
            script = unicodedata.name(letter, "OTHER").split(" ")[0].split("-")[0]
            # A Han letter says as much as a word of Latin letters, which is some five.
            counts[_SCRIPTS.get(script, script.title())] += 5 if script in _SCRIPTS else 1
    if counts["Japanese"] and counts["Chinese"]:
        counts["Japanese"] += counts.pop("Chinese")  # kana beside Han letters is Japanese
    return counts.most_common(1)[0][0] if counts else "no letters"


def _by_language(texts: Sequence[str]) -> dict[str, list[str]]:
    distinct = sorted({text for text in texts if text})
    step = -(-len(distinct) // _SAMPLE) if distinct else 1
    groups: dict[str, list[str]] = defaultdict(list)
    for text in distinct[::step]:
        groups[language_of(text)].append(text)
    return dict(groups)


def _measure_field(name: str, texts: Sequence[str], tokenizer: Tokenizer) -> list[FieldFit]:
    groups = _by_language(texts)
    total = sum(map(len, groups.values()))
    return [_measure(name, language, group, total, tokenizer) for language, group in groups.items()]


def _measure(name: str, language: str, texts: list[str], total: int, tokenizer: Tokenizer) -> FieldFit:
    unknown = unknown_id(tokenizer)
    special = {number for number, token in tokenizer.get_added_tokens_decoder().items() if token.special} - {unknown}
    rows = [tuple(number for number in row if number not in special) for row in token_ids(tokenizer, texts)]
    tokens = sum(len(row) for row in rows)
    unknowns = sum(row.count(unknown) for row in rows) if unknown is not None else 0
    readings: dict[tuple[int, ...], set[str]] = defaultdict(set)
    for text, row in zip(texts, rows, strict=True):
        readings[row].add(_plain(text))
    colliding = sum(len(readings[row]) > 1 for row in rows)
    share = len(texts) / total
    return FieldFit(name, language, len(texts), share, tokens, unknowns / max(tokens, 1), colliding / len(texts))


def _plain(text: str) -> str:
    """Return a text without what a tokenizer may rightly ignore: case, width, accents and spaces."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(letter for letter in decomposed if letter.isalnum() or unicodedata.category(letter)[0] in "PS")

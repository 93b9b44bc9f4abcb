"""Which rerankers the front compares: a grid of attentions, layers and depths, as far as the encoder and lists go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import TypeVar

from transformers import AutoConfig

from configs.errors import InputError
from configs.schema import Config
from ranking.front import Point, Shape
from ranking.pair_reader import KINDS as FULL_KINDS

ATTENTIONS, LAYERS, DEPTHS = ("context_once", "full"), (1, 2, 3), (10, 20, 50)
"""Compared unless the command says otherwise."""
T = TypeVar("T", str, int)


@dataclass(frozen=True)
class Asked:
    """What the command asks for; None: the defaults, as far as they are possible."""

    attentions: Sequence[str] | None = None
    layers: Sequence[int] | None = None
    depths: Sequence[int] | None = None

    @classmethod
    def parse(cls, attentions: str | None, layers: str | None, depths: str | None) -> Asked:
        """Read the flags ``full,context_once``, ``1,2,3`` and ``10,20,50``.

        Raises:
            InputError: if one is not understood.
        """
        return cls(_words(attentions), _numbers("--layers", layers), _numbers("--depths", depths))


@dataclass(frozen=True)
class Grid:
    """What is compared."""

    attentions: tuple[str, ...]
    layers: tuple[int, ...]
    depths: tuple[int, ...]
    """Ascending."""

    @property
    def shapes(self) -> list[Shape]:
        """Return what is trained, the cheapest first."""
        return [Shape(attention, layers) for attention, layers in product(self.attentions, self.layers)]

    @property
    def points(self) -> list[Point]:
        """Return what is measured."""
        return [Point(*shape, depth) for shape, depth in product(self.shapes, self.depths)]


def read_grid(asked: Asked, config: Config, encoder: Path) -> tuple[Grid, list[str]]:
    """Return the grid, and what of the defaults was left out and why.

    Args:
        asked: by the command.
        config: whole.
        encoder: folder of the language model that rerankers start from.

    Raises:
        InputError: if something that was asked for is impossible, or nothing is left of the defaults.
    """
    left_out: list[str] = []
    unreadable = _attention_limits(config, encoder)
    attentions = _possible("attentions", asked.attentions, ATTENTIONS, unreadable, left_out)
    missing = _layer_limits(asked.layers or LAYERS, config, encoder)
    layers = _possible("layers", asked.layers, LAYERS, missing, left_out)
    most = config.retrieval.candidates
    too_deep = {depth: f"lists have retrieval.candidates={most}" for depth in asked.depths or DEPTHS if depth > most}
    depths = _possible("depths", asked.depths, DEPTHS, too_deep, left_out)
    return Grid(attentions, layers, tuple(sorted(depths))), left_out


def config_of(config: Config, point: Point) -> Config:
    """Return the config with the settings of a point."""
    attention, layers, depth = point
    return replace(config, ranking=replace(config.ranking, attention=attention, layers=layers, depth=depth))


def _attention_limits(config: Config, encoder: Path) -> dict[str, str]:
    """Return attention -> why this encoder cannot read so."""
    known, ranking = AutoConfig.from_pretrained(encoder), config.ranking
    limits = ranking.context_tokens, ranking.item_tokens
    whys = {}
    for attention, kinds, tokens in (("context_once", ("bert",), max(limits)), ("full", FULL_KINDS, sum(limits))):
        if known.model_type not in kinds:
            whys[attention] = f"the encoder is a {known.model_type!r} model, and {' or '.join(kinds)} is needed"
        elif tokens > known.max_position_embeddings:
            whys[attention] = (
                f"it reads {tokens} tokens together (ranking.context_tokens, ranking.item_tokens), and the encoder "
                f"knows {known.max_position_embeddings} positions"
            )
    return whys


def _layer_limits(wanted: Sequence[int], config: Config, encoder: Path) -> dict[int, str]:
    """Return number of layers -> why it cannot be."""
    there, ranking = int(AutoConfig.from_pretrained(encoder).num_hidden_layers), config.ranking
    frozen = ranking.frozen_layers if ranking.tuning == "frozen_lower" else 0
    whys = {layers: f"the encoder has {there}" for layers in wanted if layers > there}
    return whys | {layers: f"ranking.frozen_layers={frozen} are frozen" for layers in wanted if layers <= frozen}


def _possible(
    name: str, asked: Sequence[T] | None, defaults: tuple[T, ...], whys: dict[T, str], left_out: list[str]
) -> tuple[T, ...]:
    """Return what was asked for, or the defaults without what cannot be."""
    impossible = [f"{value}: {whys[value]}" for value in asked or defaults if value in whys]
    if asked is not None and impossible:
        raise InputError(f"--{name} asks for what cannot be measured: {'; '.join(impossible)}")
    kept = tuple(value for value in asked or defaults if value not in whys)
    if not kept:
        raise InputError(f"no default of --{name} can be measured ({'; '.join(impossible)}); name others with --{name}")
    left_out += [f"left out of --{name}: {why}" for why in impossible]
    return kept


def _words(text: str | None) -> list[str] | None:
    if text is None:
        return None
    words = [word.strip() for word in text.split(",")]
    if not set(words) <= set(ATTENTIONS) or len(set(words)) < len(words):
        raise InputError(f"--attentions {text} is not understood; some of {', '.join(ATTENTIONS)} are expected")
    return [word for word in ATTENTIONS if word in words]


def _numbers(flag: str, text: str | None) -> list[int] | None:
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise InputError(f"{flag} {text} is not understood; whole numbers above 0 are expected, parted by commas")
    return sorted({int(part) for part in parts})

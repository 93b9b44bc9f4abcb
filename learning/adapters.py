"""Low-rank adapters: a few weights beside a language model's own, trained in their place and merged into them at last.

A linear map W gets a second one beside it, (alpha / rank) B A, of low rank and zero at first (LoRA: Hu et al. 2021).
Once merged, W + (alpha / rank) B A is an ordinary weight again: nothing that reads the model later knows of adapters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from learning.encoder_folder import EncoderError
from learning.language_model import TextEncoder

_PROJECTIONS = {
    "query",  # BERT, RoBERTa, XLM-R, ELECTRA
    "value",
    "q",  # MPNet
    "v",
    "q_lin",  # DistilBERT
    "v_lin",
    "query_proj",  # DeBERTa
    "value_proj",
    "q_proj",  # Qwen, Llama, Gemma
    "v_proj",
    "Wqkv",  # ModernBERT: all three in one
}
"""What encoders call attention's maps to queries and values, the two that Hu et al. adapt."""


def add_adapters(encoder: TextEncoder, *, rank: int, alpha: float, dropout: float, modules: Sequence[str]) -> None:
    """Freeze an encoder's weights and put adapters beside some of its linear maps.

    Args:
        encoder: changed in place; its vectors stay what they were.
        rank: of the adapters.
        alpha: their outputs are scaled by alpha / rank.
        dropout: on their inputs.
        modules: names of linear layers, or the ends of such names; empty: attention's maps to queries and values.

    Raises:
        EncoderError: if the model has no such layers.
    """
    from peft import get_peft_model

    encoder.model = get_peft_model(encoder.model, _settings(encoder.model, rank, alpha, dropout, modules, "towers"))  # type: ignore[arg-type]


def insert_adapters(model: nn.Module, *, rank: int, alpha: float, dropout: float, section: str) -> None:
    """Do the same to a bare model, which stays the object it was; arguments as ``add_adapters``.

    Args:
        model: changed in place; what it gives stays what it was.
        rank: of the adapters.
        alpha: their outputs are scaled by alpha / rank.
        dropout: on their inputs.
        section: of the settings, for the message.

    Raises:
        EncoderError: if the model has no layers known as attention's maps to queries and values.
    """
    from peft import inject_adapter_in_model

    inject_adapter_in_model(_settings(model, rank, alpha, dropout, (), section), model)


def merge_inserted(module: nn.Module) -> None:
    """Add all adapters within a module to the weights that they stand beside, and take them away."""
    from peft.tuners.lora import LoraLayer

    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, LoraLayer):
                child.merge()  # type: ignore[operator]
                setattr(parent, name, child.get_base_layer())


def _settings(model: nn.Module, rank: int, alpha: float, dropout: float, modules: Sequence[str], section: str) -> Any:
    """Return the adapters' settings, with the layers that they stand beside."""
    from peft import LoraConfig

    linear = [name for name, part in model.named_modules() if isinstance(part, nn.Linear)]
    ends = set(modules) or _PROJECTIONS
    chosen = [name for name in linear if any(name == end or name.endswith(f".{end}") for end in ends)]
    missing = sorted(set(modules) - {end for end in modules for name in chosen if f".{name}".endswith(f".{end}")})
    if missing or not chosen:
        known = sorted({name.rpartition(".")[2] for name in linear})
        raise EncoderError(
            f"{section}.tuning is `lora`, but {type(model).__name__} has no linear layers called "
            f"{', '.join(missing) or 'as attention maps to queries and values usually are'}; "
            f"name some of its own in {section}.lora_modules: {', '.join(known) or 'it has none, so tune it in full'}"
        )
    return LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=chosen)  # type: ignore[arg-type]


def merge_adapters(encoder: TextEncoder) -> None:
    """Add the adapters to the weights that they stand beside, and take them away; vectors stay what they were."""
    encoder.model = encoder.model.merge_and_unload()  # type: ignore[operator]

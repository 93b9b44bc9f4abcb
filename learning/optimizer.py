"""The optimiser: which weights decay, and how the learning rate rises and falls."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

_NORMS = (nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.BatchNorm1d)


def decays(module: nn.Module, exempt: Iterable[str] = ()) -> dict[str, bool]:
    """Return for each trained parameter whether weight decay applies to it.

    Biases, norms and single numbers or vectors (a temperature, a start token) are exempt: pulling them to zero
    changes what the model means, not how complex it is.

    Args:
        module: the model.
        exempt: names of further parameters to exempt.
    """
    norms = {
        f"{name}.{own}" if name else own
        for name, part in module.named_modules()
        if isinstance(part, _NORMS) or type(part).__name__.endswith(("LayerNorm", "RMSNorm"))
        for own, _ in part.named_parameters(recurse=False)
    }
    spared = norms | set(exempt)
    return {
        name: parameter.ndim > 1 and not name.endswith("bias") and name not in spared
        for name, parameter in module.named_parameters()
        if parameter.requires_grad
    }


def parameter_groups(
    module: nn.Module,
    *,
    learning_rate: float,
    weight_decay: float,
    rates: Mapping[str, float] | None = None,
    exempt: Iterable[str] = (),
) -> list[dict[str, Any]]:
    """Return optimiser groups, one for each (rate, decayed or not).

    Args:
        module: the model.
        learning_rate: peak rate.
        weight_decay: decay of the weights that ``decays`` names.
        rates: prefix of parameter names -> their own peak rate, e.g. a pretrained encoder's.
        exempt: as in ``decays``.
    """
    decayed = decays(module, exempt)
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for name, parameter in module.named_parameters():
        if name in decayed:
            own = [rate for prefix, rate in (rates or {}).items() if name.startswith(prefix)]
            groups.setdefault((own[0] if own else learning_rate, decayed[name]), []).append(parameter)
    return [
        {"params": parameters, "lr": rate, "weight_decay": weight_decay if decay else 0.0}
        for (rate, decay), parameters in groups.items()
    ]


def warmup_cosine(optimizer: torch.optim.Optimizer, steps: int, warmup_share: float) -> LambdaLR:
    """Return a schedule for every step: a straight rise over a share of all steps, then half a cosine down to 0."""
    rise = max(1, round(steps * warmup_share))

    def factor(step: int) -> float:
        if step < rise:
            return (step + 1) / rise
        passed = min(1.0, (step - rise) / max(1, steps - rise))
        return 0.5 * (1.0 + math.cos(math.pi * passed))

    return LambdaLR(optimizer, factor)

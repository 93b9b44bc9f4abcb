"""What the hardware offers: where models work, and whether matrices are multiplied in bfloat16 or in float32.

A processor without instructions for bfloat16 still runs it, by converting every number: MiniLM-L6 reads eight times
slower in it than in float32 on one that has AVX2 alone (benchmarks/encoding). So ``auto`` asks the hardware.
"""

from __future__ import annotations

import os
import platform
import warnings
from functools import cache
from pathlib import Path
from typing import Literal

import torch

_PROCESSOR_HAS = ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16")
"""Names of what a processor can do (x86, then ARM), any of which multiplies matrices of bfloat16."""


def machine() -> str:
    """Say what numbers were made on: processor, cores in use, memory, graphics processors, and what ``auto`` takes."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        models = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if "model name" in line]
        name = models[0] if models else name
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    graphics = [torch.cuda.get_device_name(place) for place in range(torch.cuda.device_count())]
    known = [
        name,
        f"{cores} cores",
        f"{memory:.0f} GB",
        *(f"{graphics.count(one)} x {one}" for one in dict.fromkeys(graphics)),
    ]
    return f"{', '.join(known)}; precision auto: {number_format('auto', working_device())}"


def working_device() -> str:
    """Return where models read and score: the graphics processor where there is one."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def autocast(precision: str, device: str) -> torch.autocast:
    """Return the context in which matrices are multiplied as a setting says.

    Args:
        precision: ``auto``, ``fp32`` or ``bf16``.
        device: type of device, such as ``cpu`` or ``cuda``.
    """
    return torch.autocast(device, torch.bfloat16, enabled=number_format(precision, device) == "bf16")


def trainer_precision(precision: str, accelerator: str = "auto") -> Literal["bf16-mixed", "32-true"]:
    """Return what Lightning calls a setting of precision.

    Args:
        precision: ``auto``, ``fp32`` or ``bf16``.
        accelerator: Lightning's name for what is trained on.
    """
    device = "cpu" if accelerator == "cpu" else working_device()
    if device == "cpu" != accelerator and torch.backends.mps.is_available():
        device = "mps"  # Lightning trains on an Apple GPU where there is one
    return "bf16-mixed" if number_format(precision, device) == "bf16" else "32-true"


def number_format(precision: str, device: str) -> str:
    """Return ``fp32`` or ``bf16``: what a setting comes to on a device.

    Args:
        precision: ``auto``, ``fp32`` or ``bf16``; the last warns where the hardware must emulate it.
        device: type of device.
    """
    if precision == "fp32":
        return precision
    fast = _multiplies_bf16(device)
    if precision == "bf16" and not fast:
        _warn_slow(device)
    return "bf16" if fast or precision == "bf16" else "fp32"


@cache
def _multiplies_bf16(device: str) -> bool:
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    known = torch.cpu.get_capabilities()
    return device == "cpu" and any(known.get(name, False) for name in _PROCESSOR_HAS)


@cache
def _warn_slow(device: str) -> None:
    """Say it once a process."""
    warnings.warn(
        f"precision is bf16, which this {device} has no instructions for: several times slower here than fp32; set "
        "precision=auto, which takes what is faster",
        stacklevel=4,
    )

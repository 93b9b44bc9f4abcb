"""Number formats by what the hardware can do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

from learning import hardware
from learning.encode import open_cache
from learning.encoder_folder import open_encoder
from learning.hardware import autocast, machine, number_format, trainer_precision, working_device


@pytest.fixture(autouse=True)
def asked_anew() -> Iterator[None]:
    """What hardware can do is asked once a process; here it changes."""
    yield
    hardware._multiplies_bf16.cache_clear()
    hardware._warn_slow.cache_clear()


def processor(monkeypatch: pytest.MonkeyPatch, **able: bool) -> None:
    hardware._multiplies_bf16.cache_clear()
    hardware._warn_slow.cache_clear()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)


@pytest.mark.parametrize(
    ("able", "format"),
    [
        ({"avx2": True, "avx512_f": True, "avx512_bf16": False}, "fp32"),
        ({"avx512_bf16": True}, "bf16"),
        ({"avx512_bf16": False, "amx_bf16": True}, "bf16"),
        ({"neon": True, "bf16": True}, "bf16"),
        ({}, "fp32"),
    ],
)
def test_auto_takes_bf16_where_the_processor_multiplies_it(monkeypatch, able, format):
    processor(monkeypatch, **able)
    assert number_format("auto", "cpu") == format
    assert trainer_precision("auto") == {"fp32": "32-true", "bf16": "bf16-mixed"}[format]
    with autocast("auto", "cpu"):
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype == {"fp32": torch.float32, "bf16": torch.bfloat16}[format]


def test_what_was_asked_for_by_name_is_done_and_bf16_without_instructions_is_told(monkeypatch):
    processor(monkeypatch, avx2=True)
    assert number_format("fp32", "cpu") == "fp32"
    with pytest.warns(UserWarning, match="several times slower here than fp32; set precision=auto"):
        assert number_format("bf16", "cpu") == "bf16"
    processor(monkeypatch, avx512_bf16=True)
    assert number_format("fp32", "cpu") == "fp32"
    assert number_format("bf16", "cpu") == "bf16"


def test_a_graphics_processor_is_asked_for_its_own_instructions(monkeypatch):
    processor(monkeypatch, avx2=True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: not including_emulation)
    assert working_device() == "cuda"
    assert trainer_precision("auto") == trainer_precision("auto", "gpu") == "bf16-mixed"
    assert trainer_precision("auto", "cpu") == "32-true"


def test_an_apple_gpu_trains_in_fp32_though_its_processor_has_bf16(monkeypatch):
    processor(monkeypatch, bf16=True)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert trainer_precision("auto") == trainer_precision("auto", "gpu") == "32-true"
    assert trainer_precision("auto", "cpu") == "bf16-mixed"


def test_vectors_of_another_number_format_are_not_taken_for_these(monkeypatch, shop_encoder, tmp_path):
    path, _, text = shop_encoder
    text = replace(text, encoder=str(path), cache=str(tmp_path), precision="auto")
    folder = open_encoder(text)
    processor(monkeypatch, avx2=True)
    plain = open_cache(folder, text).table_file(["red shoe"])
    processor(monkeypatch, avx512_bf16=True)
    assert open_cache(folder, text).table_file(["red shoe"]) != plain


def test_the_machine_is_told_with_its_graphics_processors_and_what_auto_takes(monkeypatch):
    processor(monkeypatch, avx2=True)
    assert re.search(r", \d+ cores, \d+ GB; precision auto: fp32$", machine())
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda place: ["A", "B", "A"][place])
    assert machine().endswith(" GB, 2 x A, 1 x B; precision auto: bf16")

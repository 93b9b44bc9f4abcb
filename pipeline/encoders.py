"""Which encoder a run reads texts with: the towers' own, else the one adapted to the shop, else what ``text`` names."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from configs.schema import TextConfig
from learning.encoder_folder import EncoderFolder, open_encoder
from learning.language_model import TextEncoder
from pipeline.run_folder import RunFolder

TUNED = "encoder"
"""Folder in ``train-towers`` of an encoder that was trained along."""


ADAPTED = "encoder"
"""Folder in ``adapt`` of an encoder that was adapted to the shop's texts."""


def named_encoder(run: RunFolder, text: TextConfig) -> EncoderFolder:
    """Return the encoder that ``text`` names, or that ``prepare`` trained."""
    return open_encoder(text, run.stage("prepare") / "encoder")


def prepared_encoder(run: RunFolder, text: TextConfig) -> EncoderFolder:
    """Return the encoder before the towers are trained: as ``adapt`` left it."""
    adapted = run.stage("adapt") / ADAPTED
    return open_encoder(replace(text, encoder=str(adapted))) if adapted.is_dir() else named_encoder(run, text)


def towers_encoder(run: RunFolder, text: TextConfig) -> EncoderFolder:
    """Return the encoder that the trained towers read texts with."""
    tuned = run.stage("train-towers") / TUNED
    return open_encoder(replace(text, encoder=str(tuned))) if tuned.is_dir() else prepared_encoder(run, text)


def write_tuned(encoder: TextEncoder, source: EncoderFolder, folder: Path) -> None:
    """Write an encoder whose weights were trained on, with the tokenizer and declarations of where it came from."""
    shutil.copytree(source.path, folder, ignore=shutil.ignore_patterns("*.safetensors", "*.bin", "*.onnx", "*.h5"))
    encoder.model.save_pretrained(str(folder))  # type: ignore[operator]

"""Which encoder a run's towers read texts with: the one that they trained along, else the one that ``text`` names."""

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


def prepared_encoder(run: RunFolder, text: TextConfig) -> EncoderFolder:
    """Return the encoder before the towers are trained."""
    return open_encoder(text, run.stage("prepare") / "encoder")


def towers_encoder(run: RunFolder, text: TextConfig) -> EncoderFolder:
    """Return the encoder that the trained towers read texts with."""
    tuned = run.stage("train-towers") / TUNED
    return open_encoder(replace(text, encoder=str(tuned)), None) if tuned.is_dir() else prepared_encoder(run, text)


def write_tuned(encoder: TextEncoder, source: EncoderFolder, folder: Path) -> None:
    """Write an encoder whose weights were trained on, with the tokenizer and declarations of where it came from."""
    shutil.copytree(source.path, folder, ignore=shutil.ignore_patterns("*.safetensors", "*.bin", "*.onnx", "*.h5"))
    encoder.model.save_pretrained(str(folder))  # type: ignore[operator]

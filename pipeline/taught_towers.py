"""Train towers that another run's reranker teaches: they start from that run's towers and refine, or stay as they were.

The taught towers are kept only where they rank ``fit`` users better; what the teaching is worth is measured afterwards,
on requests that decided nothing (``mercato teach``).
"""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from learning.gather import leave_ranks
from learning.resume import await_true
from pipeline.encoders import TUNED, towers_encoder
from pipeline.lessons import write_lessons
from pipeline.loggers import training_loggers
from pipeline.run_stages import global_rank
from pipeline.stage import Outcome, Work
from pipeline.teacher import Teacher, open_teacher
from pipeline.tower_inputs import Prepared
from pipeline.train_towers import MODEL, SUMMARY, open_training, write_towers
from towers.data import TowerData
from towers.lessons import Lessons
from towers.module import TwoTower
from towers.train import TEXTS, train, write_curve

LESSONS = "lessons.parquet"
"""What the teacher said."""


def train_taught(work: Work) -> Outcome:
    """Refine the teacher's towers with its reranker's scores; write the better ones, and how they compare."""
    started, cpu = time.perf_counter(), time.process_time()
    settings, seed = work.config.towers, work.config.run.seed
    teacher = open_teacher(work.config)
    prepared = Prepared.open(work.run.stage("prepare"))
    encoder = towers_encoder(teacher.run, work.config.text)
    module, data = open_training(work, prepared, encoder, fresh=False)
    _load(module, teacher)
    folder = work.scratch() / "taught"
    folder.mkdir(exist_ok=True)  # by whichever rank comes first
    said, lessons = list[str](), None
    if settings.teaching:
        said += _lessons(folder / LESSONS, teacher, prepared, module, data, work)
        lessons = Lessons.read(folder / LESSONS)
        data.maker = replace(data.maker, lessons=lessons)
    data.plan = replace(data.plan, seed=seed + settings.rounds)  # batches that no round of the teacher's towers saw
    module.refine(data.plan.steps * settings.round_epochs, settings.round_rate)
    refining = replace(settings, max_epochs=settings.round_epochs)
    loggers = training_loggers(work.config.tracking, work.run.root / "logs")
    best = train(module, data, refining, seed + settings.rounds, folder, loggers)
    leave_ranks()
    if global_rank() > 0:
        return Outcome([])

    taught_by = teacher.run.stage("train-towers")
    former: dict[str, Any] = json.loads((taught_by / SUMMARY).read_text())
    before, kept = float(former["val_ndcg@10"]), best.value > former["val_ndcg@10"]
    if kept:
        said += write_towers(work, prepared, module, best, encoder)
    else:
        _copy(taught_by, work.out)
    write_curve(best.curve, work.out / "curves.csv")
    if lessons is not None:
        shutil.copy(folder / LESSONS, work.out / LESSONS)
    teaching = {
        "teacher": settings.teacher,
        "kept": kept,
        "lessons": 0 if lessons is None else len(lessons),
        "weight": settings.teaching,
        "temperature": settings.teaching_temperature,
        "fit_ndcg@10": {"before": before, "after": best.value},
    }
    summary = {
        "best_epoch": best.epoch if kept else former["best_epoch"],
        "epochs": len(best.curve),
        "val_ndcg@10": max(best.value, before),
        "fit_requests": len(data.validation.requests),
        "temperature": 1.0 / module.scale.item() if kept else former["temperature"],
        "seconds": round(time.perf_counter() - started, 1),
        "processor_seconds": round(time.process_time() - cpu, 1),
        "teaching": teaching,
    }
    (work.out / SUMMARY).write_text(json.dumps(summary, indent=1))
    outcome = "the taught towers are kept" if kept else f"not kept: the towers stay as {teacher.run.root} has them"
    requests = f"{len(data.validation.requests):,} fit requests"
    return Outcome([*said, f"taught: NDCG@10 on {requests} {before:.4f} before, {best.value:.4f} after; {outcome}"])


def _load(module: TwoTower, teacher: Teacher) -> None:
    """Put the teacher's towers into the module; what it looks up stays its own."""
    file = teacher.run.stage("train-towers") / MODEL
    weights = torch.load(file, map_location="cpu", weights_only=False)["state_dict"]
    missing, unexpected = module.load_state_dict(weights, strict=False)
    # An encoder that was trained along is a folder of its own, from which it was opened.
    assert not unexpected
    assert all(name.startswith(TEXTS) for name in missing)
    module.eval()


def _lessons(
    file: Path, teacher: Teacher, prepared: Prepared, module: TwoTower, data: TowerData, work: Work
) -> list[str]:
    """Write the lessons, unless it was done before; the first rank does, the others wait."""
    if global_rank() > 0:
        await_true(file.is_file, str(file))
    if file.is_file():
        return []
    settings, seed = work.config.towers, work.config.run.seed
    return [write_lessons(teacher, prepared, module, data.maker.targets, settings.teaching_lists, seed, file)]


def _copy(trained: Path, out: Path) -> None:
    """Take over the teacher's towers as they are."""
    shutil.copy(trained / MODEL, out / MODEL)
    if (trained / TUNED).is_dir():
        shutil.copytree(trained / TUNED, out / TUNED)

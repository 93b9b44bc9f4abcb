"""Running stages: skipped where their key is unchanged, and said so; sealed whole or not at all.

A stage that was cut off left no folder and runs again.
"""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

from configs.errors import InputError
from configs.schema import Config
from pipeline.run_folder import FORMAT, RunFolder, sha256
from pipeline.stage import ITEM_STAGES, NAMES, SHARED, STAGES, Stage, Work
from pipeline.stage_key import is_current, outputs_digest, settings_of, stage_key


def run_stages(config: Config, names: Sequence[str] = NAMES, say: Callable[[str], None] = print) -> None:
    """Run the named stages in their natural order, skipping those that are up to date."""
    _refuse_several(names)
    run = RunFolder(Path(config.run.folder))
    run.root.mkdir(parents=True, exist_ok=True)
    for stage in _stages_of(config, names, say):
        run_stage(stage, config, run, say)


def _stages_of(config: Config, names: Sequence[str], say: Callable[[str], None]) -> list[Stage]:
    """Return the stages to run; those that need a log are left out of a whole run where there is none.

    Raises:
        InputError: where nothing is left.
    """
    if not config.data.items_only:
        return [stage for stage in STAGES if stage.name in names]
    stages = [stage for stage in ITEM_STAGES if stage.name in names]
    left_out = [name for name in NAMES if name in names and name not in {stage.name for stage in stages}]
    if left_out and not stages:
        raise InputError(
            f"{', '.join(left_out)} needs a log, and this shop has none (data.events=none); set data.events, or run "
            f"{', '.join(stage.name for stage in ITEM_STAGES)}"
        )
    if left_out:
        say(f"no log (data.events=none), so these stages are left out: {', '.join(left_out)}")
    return stages


def run_stage(stage: Stage, config: Config, run: RunFolder, say: Callable[[str], None] = print) -> None:
    """Run one stage, or say that it is unchanged."""
    if global_rank() > 0:
        _help(stage, config, run)
        return
    for earlier in stage.after:
        run.stage(earlier)
    key = stage_key(stage, config, run)
    if is_current(run, stage.name, key):
        say(f"{stage.name}: unchanged, skipped")
        return
    started = time.perf_counter()
    temporary = run.open_temporary(stage.name)
    outcome = stage.function(Work(config, run, temporary, stage.name, key))
    seconds = time.perf_counter() - started
    manifest = {
        "format": FORMAT,
        "stage": stage.name,
        "key": key,
        "mercato": version("mercato"),
        "settings": settings_of(stage, config),
        "inputs": {name: outputs_digest(run, name) for name in stage.after},
        "seconds": round(seconds, 1),
        "peak_memory_gb": peak_memory_gb(),
        "published": {str(path.relative_to(run.root)): sha256(path) for path in outcome.published},
    }
    run.commit(stage.name, temporary, manifest)
    for line in outcome.lines:
        say(line)
    say(
        f"{stage.name}: done in {seconds:.1f} s, {manifest['peak_memory_gb']} GB of memory at most so far "
        f"-> {run.root / stage.name}"
    )


def peak_memory_gb() -> float:
    """Return the most memory that this process has held at once since it began, in GB (10^9 bytes)."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(most * (1 if sys.platform == "darwin" else 1024) / 1e9, 2)


def global_rank() -> int:
    """Return this process's rank among those that torchrun, SLURM or Lightning started together; 0 when alone."""
    for variable in ("RANK", "SLURM_PROCID", "NODE_RANK", "LOCAL_RANK"):
        value = os.environ.get(variable, "0")
        if value.isdigit() and int(value) > 0:
            return int(value)
    return 0


def _refuse_several(names: Sequence[str]) -> None:
    """Raise InputError for many stages at once in processes that torchrun or srun started together."""
    if len(names) == 1 or not any(name in os.environ for name in ("TORCHELASTIC_RUN_ID", "SLURM_NTASKS")):
        return
    from learning.launch import started_together

    if started_together() > 1:
        raise InputError(
            f"{started_together()} processes were started together for {len(names)} stages, most of which are for one; "
            f"start {' and '.join(SHARED)} so, one by one, and the other stages by themselves (docs/many-gpus.md)"
        )


def _help(stage: Stage, config: Config, run: RunFolder) -> None:
    """Take a further rank's part in a stage, sealing nothing: the first rank alone does.

    Lightning starts the same command again for each further rank, so every verb arrives here too.
    """
    if stage.name not in SHARED:
        return
    key = stage_key(stage, config, run)
    if is_current(run, stage.name, key):
        return
    if stage.name == "train-towers":
        from learning.resume import await_true

        await_true(lambda: run.has_scratch(stage.name, key), "the first rank to begin training")
    stage.function(Work(config, run, run.temporary(stage.name), stage.name, key))
    sys.exit(0)

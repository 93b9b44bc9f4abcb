"""What a training step costs as the catalogue and the histories grow: seconds, memory, checkpoint, and a fitted curve.

    PYTHONPATH=. python benchmarks/towers/scale.py --items 10000,100000,1000000 --lengths 20,50,200
    PYTHONPATH=. python benchmarks/towers/scale.py --items 10000000 --dim 32 --updates rows --vectors disk

The catalogue and the histories are drawn: text vectors from a normal distribution, items with chances that fall like
1 / rank, every event a purchase, every item with an id residual. Each (items, way of updating, round) is a process of
its own; rounds alternate, and medians are told. Steps are those of ``towers.module``, without Lightning around them.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap

_BLOCK = 65_536
PARTS = ("batch", "forward", "backward", "update")


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--items", default="10000,100000,1000000")
    arguments.add_argument("--lengths", default="20,50,200")
    arguments.add_argument("--updates", default="dense,rows", help="towers.id_updates to compare")
    arguments.add_argument("--vectors", default="memory", help="text.vectors: memory (fp32) or disk (fp16)")
    arguments.add_argument("--dim", type=int, default=128)
    arguments.add_argument("--text-dim", type=int, default=384)
    arguments.add_argument("--users", type=int, default=64, help="histories in a batch")
    arguments.add_argument("--steps", type=int, default=6, help="timed steps of each length and round, after two more")
    arguments.add_argument("--rounds", type=int, default=2)
    arguments.add_argument("--seed", type=int, default=0)
    arguments.add_argument("--folder", type=Path, default=Path("runs/scale"))
    arguments.add_argument("--one", help=argparse.SUPPRESS)
    told = arguments.parse_args()
    if told.one:
        print(json.dumps(_measure(**json.loads(told.one))))
        return
    told.folder.mkdir(parents=True, exist_ok=True)
    found = []
    for number in range(told.rounds):
        for items in map(int, told.items.split(",")):
            for updates in told.updates.split(","):
                one = {
                    **{name: getattr(told, name) for name in ("vectors", "dim", "text_dim", "users", "steps", "seed")},
                    "items": items,
                    "updates": updates,
                    "lengths": [int(length) for length in told.lengths.split(",")],
                    "folder": str(told.folder),
                }
                command = [sys.executable, __file__, "--one", json.dumps(one)]
                printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
                found.append({"items": items, "updates": updates, "round": number, **json.loads(printed)})
                print(json.dumps(found[-1]), file=sys.stderr)
    rows = _medians(found)
    curves = {
        updates: _curve([row for row in rows if row["updates"] == updates]) for updates in told.updates.split(",")
    }
    result = {"rows": rows, "curves": curves, "measured": found}
    (told.folder / "scale.json").write_text(json.dumps(result, indent=1))
    print(_table(rows))
    for updates, curve in curves.items():
        print(f"\n{updates}: {_say(curve)}")


def _measure(
    items: int,
    updates: str,
    vectors: str,
    lengths: list[int],
    dim: int,
    text_dim: int,
    users: int,
    steps: int,
    seed: int,
    folder: str,
) -> dict[str, Any]:
    """Return seconds by length and part of a step, and what memory, checkpoint and validation take."""
    import torch

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    torch.manual_seed(seed)
    with _watched() as watched:
        text = _text(items, text_dim, vectors, Path(folder), seed)
        module, batches = _shop(items, updates, text, lengths, dim, users, steps + 2, seed)
        optimizer = module.configure_optimizers()["optimizer"]
        seconds = {}
        for length, (data, _) in batches.items():
            rows = [_step(module, optimizer, data, step) for step in range(steps + 2)][2:]
            seconds[length] = {part: float(np.median([row[part] for row in rows])) for part in (*PARTS, "whole")}
        training = watched["anonymous"]
        checkpoint = _checkpoint(module, optimizer, Path(folder))
        optimizer.zero_grad()
        validation = _validate(module, batches[lengths[0]][1])
    return {
        "seconds": seconds,
        "tokens": {length: users * length for length in lengths},
        "training_gb": training / 1e9,
        "peak_gb": watched["anonymous"] / 1e9,
        "peak_with_files_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9,
        **checkpoint,
        "validation_seconds": validation,
    }


@contextmanager
def _watched() -> Iterator[dict[str, int]]:
    """Watch the memory that is no mapped file; pages of one are given up whenever others need the room."""
    peak, done = {"anonymous": 0}, threading.Event()

    def look() -> None:
        while not done.wait(0.02):
            lines = Path("/proc/self/status").read_text().splitlines()
            held = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))
            peak["anonymous"] = max(peak["anonymous"], held)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()


def _text(items: int, dim: int, vectors: str, folder: Path, seed: int) -> Any:
    """Return drawn text vectors, ``[items, dim]``, in memory or mapped from a file."""
    import torch

    random = np.random.default_rng([seed, 1])
    if vectors == "memory":
        drawn = random.standard_normal((items, dim), dtype=np.float32)
        drawn /= np.float32(dim**0.5)  # in place, so that the peak of memory is not that of drawing
        return torch.from_numpy(drawn)
    file = folder / f"text-{items}-{dim}.npy"
    if not file.is_file():
        temporary = folder / f".{file.name}.tmp"
        table = open_memmap(temporary, "w+", np.float16, (items, dim))
        for start in range(0, items, _BLOCK):
            block = table[start : start + _BLOCK]
            block[:] = random.standard_normal(block.shape, dtype=np.float32) / dim**0.5
        table.flush()
        os.replace(temporary, file)
    return torch.from_numpy(np.load(file, mmap_mode="c"))


def _shop(
    items: int, updates: str, text: Any, lengths: list[int], dim: int, users: int, steps: int, seed: int
) -> tuple[Any, dict[int, Any]]:
    """Return the towers over a drawn shop, and by length their training steps and validation requests."""
    import torch

    from configs.schema import TowersConfig
    from towers.catalogue import Catalogue, UserFeatures
    from towers.item import ItemInputs
    from towers.module import Shape, TwoTower

    settings = TowersConfig(
        dim=dim, history_length=max(lengths), batch_users=users, popular_negatives=256, dropout=0.1, id_updates=updates
    )
    data, shares, chances = {}, np.zeros(items), np.zeros(items)
    for length in lengths:
        *data[length], shares, chances = _data(items, length, users, steps, settings, seed)
    nothing = torch.zeros(items, 0)
    facts = ItemInputs(
        text=text,
        categorical=nothing.long(),
        numeric=nothing,
        numeric_mask=nothing,
        vectors=nothing,
        vectors_mask=torch.zeros(items),
        residual=torch.arange(1, items + 1),
        popularity=torch.zeros(items),
    )
    people = UserFeatures(
        *(torch.zeros(users * steps, 0).to(kind) for kind in (torch.int64, torch.float32, torch.float32))
    )
    extremes = torch.iinfo(torch.int64)
    module = TwoTower(asdict(Shape(text.shape[1], items, items, [], 0, 0, [], 0)), asdict(settings))
    ever = torch.full((items,), extremes.min), torch.full((items,), extremes.max)
    weights = torch.from_numpy(shares), torch.from_numpy(chances)
    module.attach(Catalogue(facts, torch.zeros(0, text.shape[1]), people, *weights, *ever), steps=1000)
    return module.train(), data


def _data(items: int, length: int, users: int, steps: int, settings: Any, seed: int) -> tuple[Any, ...]:
    """Return training steps, validation requests, and each item's share and chance, of drawn histories."""
    from commerce.columns import ACTION_CODES, NO_QUERY
    from commerce.histories import Histories
    from commerce.records import Requests
    from towers.batches import BatchMaker
    from towers.data import Steps
    from towers.masks import Equivalents
    from towers.pool import PoolPlan, popularity_chances
    from towers.targets import Targets
    from towers.validation import AskedBatches
    from towers.windows import WindowPlan

    random, people = np.random.default_rng([seed, length]), users * steps
    events = people * (length + 1)
    rank = np.minimum(items ** random.random(events), items - 1).astype(np.int32)  # density 1 / rank
    histories = Histories(
        np.arange(0, events + 1, length + 1, dtype=np.int64),
        rank,
        np.full(events, ACTION_CODES["purchase"], dtype=np.uint8),
        np.arange(events, dtype=np.int64) * 3_600_000_000,
        np.full(events, NO_QUERY, dtype=np.int32),
        np.zeros(events, dtype=np.int64),
    )
    cuts = histories.offsets[1:] - 1
    targets = Targets.of(histories, cuts, {"purchase": 1.0})
    shares = targets.shares(items, histories, histories.offsets[:-1], cuts)
    chances = popularity_chances(shares, settings.popular_power)
    counts = settings.pool_targets, settings.uniform_negatives, settings.popular_negatives
    nothing = np.zeros(0, dtype=np.int64)
    maker = BatchMaker(
        histories, targets, Equivalents.of(nothing, nothing, items), PoolPlan(items, False, *counts, chances)
    )
    known = np.arange(people, dtype=np.int32)
    plan = WindowPlan(known, histories.offsets[:-1], cuts, length, users, seed)
    asked = np.arange(min(256, people))
    none, word = np.full(len(asked), -1), np.full(len(asked), "")
    requests = Requests(
        asked,
        word,
        word,
        asked.astype(np.int32),
        histories.time[cuts[asked]],
        cuts[asked],
        none.astype(np.int32),
        none,
        none.astype(np.int8),
        np.arange(len(asked) + 1),
        histories.item[cuts[asked]],
        np.ones(len(asked), dtype=np.float32),
    )
    return Steps(plan, maker, 0, 1), AskedBatches(requests, histories, length), shares, chances


def _step(module: Any, optimizer: Any, data: Any, step: int) -> dict[str, float]:
    """Do one step; return the seconds of its parts."""
    from learning.gather import share_of_mean

    moments = [time.perf_counter()]
    batch = data[step]
    moments.append(time.perf_counter())
    loss = share_of_mean(*module.loss(batch))
    moments.append(time.perf_counter())
    optimizer.zero_grad()
    loss.backward()
    moments.append(time.perf_counter())
    optimizer.step()
    moments.append(time.perf_counter())
    return {**dict(zip(PARTS, np.diff(moments).tolist(), strict=True)), "whole": moments[-1] - moments[0]}


def _checkpoint(module: Any, optimizer: Any, folder: Path) -> dict[str, float]:
    """Write what a resumed training needs, as Lightning lays it out; return its bytes and the seconds it took."""
    import torch

    started = time.perf_counter()
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        torch.save({"state_dict": module.state_dict(), "optimizer_states": [optimizer.state_dict()]}, file)
        file.flush()
        os.fsync(file.fileno())
        return {"checkpoint_bytes": file.tell(), "checkpoint_seconds": time.perf_counter() - started}


def _validate(module: Any, batches: Any) -> float:
    """Rank the catalogue for a batch of requests; return the seconds it took."""
    import torch

    module.eval()
    module.log = lambda *_, **__: None
    started = time.perf_counter()
    with torch.no_grad():
        module.on_validation_epoch_start()
        module.validation_step(batches[0], 0)
        module.on_validation_epoch_end()
    return time.perf_counter() - started


def _medians(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a row for each (items, updates, length): medians over rounds."""
    rows = []
    for items, updates in dict.fromkeys((one["items"], one["updates"]) for one in found):
        same = [one for one in found if (one["items"], one["updates"]) == (items, updates)]
        for length, tokens in same[0]["tokens"].items():
            seconds = {
                part: float(np.median([one["seconds"][length][part] for one in same])) for part in (*PARTS, "whole")
            }
            rest = ("training_gb", "peak_gb", "peak_with_files_gb", "checkpoint_bytes", "checkpoint_seconds")
            rows.append(
                {
                    "items": items,
                    "updates": updates,
                    "length": int(length),
                    "tokens": tokens,
                    **seconds,
                    "tokens_per_second": tokens / seconds["whole"],
                    **{name: float(np.median([one[name] for one in same])) for name in (*rest, "validation_seconds")},
                }
            )
    return rows


def _curve(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Fit seconds of a step = a + b tokens + c tokens length + d items by least squares; {} for too few rows."""
    if len({row["items"] for row in rows}) < 2 or len({row["length"] for row in rows}) < 3:
        return {}
    terms = np.array([[1.0, row["tokens"], row["tokens"] * row["length"], row["items"]] for row in rows])
    seconds = np.array([row["whole"] for row in rows])
    size = np.maximum(terms.max(axis=0), 1.0)
    fitted, *_ = np.linalg.lstsq(terms / size, seconds, rcond=None)
    left = seconds - terms / size @ fitted
    explained = 1 - (left**2).sum() / ((seconds - seconds.mean()) ** 2).sum()
    return {**dict(zip("abcd", (fitted / size).tolist(), strict=True)), "r2": float(explained), "rows": len(rows)}


def _say(curve: dict[str, float]) -> str:
    if not curve:
        return "too few sizes for a curve"
    return (
        f"seconds of a step = {curve['a']:.3g} + {curve['b']:.3g} tokens + {curve['c']:.3g} tokens x length "
        f"+ {curve['d']:.3g} items, R2 {curve['r2']:.3f} over {curve['rows']} rows"
    )


def _table(rows: list[dict[str, Any]]) -> str:
    lines = [
        "| items | updates | length | events/s | step, s | batch | forward | backward | update | training, GB "
        "| peak, GB | checkpoint, GB | written in, s | validation, s |",
        "|" + "---|" * 14,
    ]
    for row in rows:
        parts = " | ".join(f"{row[part]:.3f}" for part in ("whole", *PARTS))
        lines.append(
            f"| {row['items']:,} | {row['updates']} | {row['length']} | {row['tokens_per_second']:,.0f} | {parts} | "
            f"{row['training_gb']:.2f} | {row['peak_gb']:.2f} | {row['checkpoint_bytes'] / 1e9:.2f} | "
            f"{row['checkpoint_seconds']:.1f} | {row['validation_seconds']:.1f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()

"""How long a bundle takes to check, to start and to answer, step by step, whether budgets are kept, and its memory.

    PYTHONPATH=. python benchmarks/serving/latency.py runs/large/run/bundle [--requests 400] [--out figures.json]

Everything runs on one thread. Beside the clock on the wall stands the thread's own, which does not run while others
have the processor: on an idle machine the two agree, on a shared one only the latter tells what the work costs.
Requests are drawn: 0 to 60 events on items of the bundle, every other with search terms out of item texts.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from commerce.columns import MICROSECONDS
from serving.requests import Event, Request
from serving.runtime import Runtime
from serving.verify import verify

CLOCKS = {"wall": time.perf_counter, "cpu": time.thread_time}
BUDGETS = (2, 5, 10, 20, 30, 50, 80, 120)
STARTS = 5


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("bundle", type=Path)
    arguments.add_argument("--requests", type=int, default=400)
    arguments.add_argument("--seed", type=int, default=0)
    arguments.add_argument("--out", type=Path)
    told = arguments.parse_args()
    found = {"bundle": str(told.bundle), "load": os.getloadavg(), "start": cold_start(told.bundle)}
    memory = {"imports": private_mb()}
    runtime = Runtime(told.bundle, check=False, clock=time.thread_time)
    memory["opened"] = private_mb()
    asked = draw(runtime, told.requests, np.random.default_rng(told.seed))
    found["items"] = runtime.items
    for name, clock in CLOCKS.items():
        found[f"steps, {name}"] = steps(Runtime(told.bundle, check=False, clock=clock), asked)
    memory["after requests"] = private_mb()
    for name, clock in CLOCKS.items():
        found[f"budgets, {name}"] = budgets(Runtime(told.bundle, check=False, clock=clock), asked, clock)
    found["private MB"] = memory
    started = {name: clock() for name, clock in CLOCKS.items()}
    report = verify(told.bundle)
    found["verify, s"] = {name: round(clock() - started[name], 2) for name, clock in CLOCKS.items()}
    found["MB"] = {part: round(size / 1e6, 1) for part, size in report.parts.items()}
    found["precisions"] = report.precisions
    text = json.dumps(found, indent=1)
    print(text)
    if told.out:
        told.out.write_text(text)


def draw(runtime: Runtime, count: int, random: np.random.Generator) -> list[Request]:
    """Return requests of users with 0 to 60 events, every other with search terms."""
    end = int(runtime.manifest["window"]["end"])
    requests = []
    for number in range(count):
        size = int(random.integers(0, 61))
        times = np.sort(end - random.integers(1, 30 * 86_400, size) * MICROSECONDS)
        items = random.integers(0, runtime.items, size)
        actions = random.choice(["view", "cart", "purchase"], size)
        events = [Event(str(a), int(t), runtime.item_id(int(i))) for a, t, i in zip(actions, times, items, strict=True)]
        words = runtime.contents.item_texts[int(random.integers(runtime.items))].split()
        query = " ".join(random.choice(words, min(3, len(words)), replace=False)) if number % 2 and words else ""
        requests.append(Request(events=tuple(events), query=query, time=end))
    return requests


def cold_start(bundle: Path) -> dict[str, float]:
    """Return the median seconds of `mercato recommend` from nothing, by the wall and of its processor."""
    wall, cpu = [], []
    for _ in range(STARTS):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        started = time.perf_counter()
        command = [sys.executable, "-m", "pipeline.cli", "recommend", str(bundle), "--query", "red lamp"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        wall.append(time.perf_counter() - started)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return {"wall": round(median(wall), 2), "cpu": round(median(cpu), 2)}


def steps(runtime: Runtime, asked: list[Request]) -> dict[str, dict[str, float]]:
    """Return milliseconds of each step: of the first requests with and without search terms, and warm p50 and p99."""
    cold: dict[str, float] = {}
    for request in asked[:2]:
        for step, seconds in runtime.answer(request).seconds.items():
            cold[step] = max(cold.get(step, 0.0), seconds)
    for request in asked[:20]:
        runtime.answer(request)
    warm = [runtime.answer(request).seconds for request in asked]
    table = {}
    for step in dict.fromkeys(step for one in (cold, *warm) for step in one):
        table[step] = _quantiles(cold.get(step, 0.0), [one[step] for one in warm if step in one])
    retrieval = [sum(s for name, s in one.items() if name.startswith("source ") or name == "blend") for one in warm]
    first = sum(s for name, s in cold.items() if name.startswith("source ") or name == "blend")
    table["retrieval: all sources and blend"] = _quantiles(first, retrieval)
    table["in all"] = _quantiles(sum(cold.values()), [sum(one.values()) for one in warm])
    return table


def _quantiles(cold: float, warm: list[float]) -> dict[str, float]:
    p50, p99 = np.quantile(warm, [0.5, 0.99]) * 1e3
    return {"cold": round(cold * 1e3, 2), "p50": round(float(p50), 2), "p99": round(float(p99), 2)}


def budgets(runtime: Runtime, asked: list[Request], clock) -> dict[str, dict[str, float]]:
    """Return, by budget, the share of answers within it and within a tenth more, and of those that were cut."""
    runtime.warm_up()
    for request in asked[:40]:
        runtime.answer(request)
    table = {}
    for budget in BUDGETS:
        taken, cut = [], 0
        for request in asked:
            limited = Request(**{**vars(request), "budget_ms": float(budget)})
            started = clock()
            answer = runtime.answer(limited)
            taken.append((clock() - started) * 1e3)
            assert answer.items
            cut += bool(answer.cut_short)
        over = np.array(taken) / budget
        table[f"{budget} ms"] = {
            "within": round(float((over <= 1).mean()), 4),
            "within a tenth more": round(float((over <= 1.1).mean()), 4),
            "p99": round(float(np.quantile(taken, 0.99)), 2),
            "cut": round(cut / len(asked), 4),
        }
    return table


def private_mb() -> float:
    """Return the memory that this process shares with nobody (USS), in MB; Linux."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return round(sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1024, 1)


if __name__ == "__main__":
    main()

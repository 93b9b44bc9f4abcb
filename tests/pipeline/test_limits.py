import os
import subprocess
import sys

import pytest
import torch

from pipeline.limits import limit_process

_GROW = """
from pipeline.limits import limit_process
limit_process(1)
import random, torch
network = torch.nn.Sequential(*[torch.nn.Linear(384, 384) for _ in range(6)])
random.seed(0)
def megabytes():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 / 1e6
for step in range(300):
    with torch.autocast("cpu", torch.bfloat16):
        loss = network(torch.randn(random.randint(500, 1500), 384)).float().square().mean()
    loss.backward()
    if step == 149:
        before = megabytes()
print(megabytes() - before)
"""


def test_threads_are_set_for_every_library(monkeypatch):
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "LRU_CACHE_CAPACITY"):
        monkeypatch.setenv(variable, "2")
    told: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", told.append)
    assert limit_process(0) == 2
    assert limit_process(1) == 1
    assert told == [2, 1]
    assert os.environ["MKL_NUM_THREADS"] == os.environ["OPENBLAS_NUM_THREADS"] == "1"
    assert os.environ["LRU_CACHE_CAPACITY"] == "2"  # the caller's word


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_batches_of_ever_new_shapes_do_not_fill_the_memory():
    environment = {key: value for key, value in os.environ.items() if not key.endswith("CACHE_CAPACITY")}
    done = subprocess.run([sys.executable, "-c", _GROW], capture_output=True, text=True, check=True, env=environment)
    assert float(done.stdout) < 60

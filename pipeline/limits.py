"""What a process may take of the machine, in one place: threads, and the memory of hidden caches."""

from __future__ import annotations

import os
import sys

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""torch, FAISS and NumPy each start a thread per core otherwise."""
_CACHES = ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY")
"""oneDNN, and torch on top of it, keep compiled kernels with their buffers for the last 1,024 shapes of a layer. Our
batches differ in shape nearly every step, so training grew by gigabytes: 400 steps of a small bf16 network held 2.0 GB,
and .6 GB with 128 shapes, at the same speed."""
_SHAPES = 128
_WAITING = {"OMP_WAIT_POLICY": "PASSIVE"}
"""OpenMP's threads spin while they wait for each other. Beside another busy process on the same cores, as in a
container, the one they wait for then does not get to run: training on two of two cores took three times as long."""


def limit_process(threads: int) -> int:
    """Let every library use some threads, 0 meaning one per core; return the count in force.

    The variables are read when a library is first imported, or used, so this comes before that; torch, when it is
    already there, is told of its threads as well. Other than thread counts, what the environment gives is left alone.
    """
    chosen = threads or int(os.environ.get("OMP_NUM_THREADS", "0")) or len(os.sched_getaffinity(0))
    for variable in _THREADS:
        os.environ[variable] = str(chosen)
    for variable, value in {**dict.fromkeys(_CACHES, str(_SHAPES)), **_WAITING}.items():
        os.environ.setdefault(variable, value)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(chosen)
    return chosen

"""Thread counts, set in one place: torch, FAISS and NumPy each start a thread per core otherwise."""

from __future__ import annotations

import os
import sys

_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def limit_threads(count: int) -> int:
    """Let every library use ``count`` threads, 0 meaning one per core; return the count in force.

    The variables are read when a library is first imported, so this comes before those imports; torch, when it is
    already there, is told as well.
    """
    chosen = count or int(os.environ.get("OMP_NUM_THREADS", "0")) or len(os.sched_getaffinity(0))
    for variable in _VARIABLES:
        os.environ[variable] = str(chosen)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(chosen)
    return chosen

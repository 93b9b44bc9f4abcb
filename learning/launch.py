"""Processes that torchrun or srun started together for one stage: which of them this is, and where they meet."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch.distributed as dist
from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment

from learning.gather import leave_ranks

_PATIENCE = timedelta(days=1)
"""For each other: shares of work differ, and a rank that died ends the others through whatever started them all."""


@dataclass(frozen=True)
class Place:
    """A process among those that work on one thing."""

    rank: int
    ranks: int
    meet: Callable[[], None]
    """Returns when every rank has called it."""

    def share(self, size: int) -> range:
        """Return this rank's share of ``size`` numbered pieces."""
        return range(self.rank, size, self.ranks)


def started_together() -> int:
    """Return how many processes torchrun or srun started; 1 for one by itself."""
    environment = _environment()
    return environment.world_size() if environment else 1


@contextmanager
def joined() -> Iterator[Place]:
    """Join the processes that were started together, wait for them all, and part from them at the end."""
    environment = _environment()
    if environment is None or environment.world_size() == 1:
        yield Place(0, 1, lambda: None)
        return
    rank, ranks = environment.global_rank(), environment.world_size()
    # torchrun keeps a store of its own at the address that it hands out; elsewhere the first rank opens one.
    meeting = "env://" if isinstance(environment, TorchElasticEnvironment) else _address(environment)
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=ranks, timeout=_PATIENCE)
    try:
        dist.barrier()
        yield Place(rank, ranks, dist.barrier)
        dist.barrier()
    finally:
        leave_ranks()


def _address(environment: ClusterEnvironment) -> str:
    return f"tcp://{environment.main_address}:{environment.main_port}"


def _environment() -> ClusterEnvironment | None:
    for kind in (TorchElasticEnvironment, SLURMEnvironment):
        if kind.detect():
            return kind()
    return None

"""Functions called in processes of their own: several ranks joined by gloo, or one that may be killed."""

import os

import torch
import torch.distributed as dist
import torch.multiprocessing as mp


def run_ranks(function, ranks, folder):
    """Return what ``function(rank, ranks, folder)`` returns in each of so many processes, of one thread each."""
    _preload()
    mp.start_processes(_rank, args=(function, ranks, folder), nprocs=ranks, start_method="forkserver")
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(ranks)]


def exit_code(function, *args):
    """Return how a process that calls a function ends: 0, or minus the signal that killed it."""
    _preload()
    process = mp.get_context("forkserver").Process(target=_alone, args=(function, args))
    process.start()
    process.join()
    return process.exitcode


def _preload():
    # The server imports what takes seconds once; the processes that it forks have it.
    mp.set_forkserver_preload(["torch", "lightning", "torchmetrics"])


def _alone(function, args):
    torch.set_num_threads(1)
    function(*args)


def _rank(rank, function, ranks, folder):
    torch.set_num_threads(1)
    # As torchrun does, so that Lightning takes its place among the ranks.
    told = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": ranks, "TORCHELASTIC_RUN_ID": "tests", "GROUP_RANK": 0}
    os.environ.update({name: str(value) for name, value in told.items()})
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT="1")  # nobody meets there: they are joined already
    meeting = folder / f"meet{ranks}"
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=ranks)
    torch.save(function(rank, ranks, folder), folder / f"{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()
    meeting.unlink(missing_ok=True)

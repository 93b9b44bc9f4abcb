"""Several ranks on this machine, joined by gloo, each with one thread."""

import torch
import torch.distributed as dist
import torch.multiprocessing as mp


def run_ranks(function, ranks, folder):
    """Return what ``function(rank, ranks, folder)`` returns in each of so many processes."""
    # The server imports torch and lightning once; what it forks starts at once.
    mp.set_forkserver_preload(["torch", "lightning", "torchmetrics"])
    mp.start_processes(_rank, args=(function, ranks, folder), nprocs=ranks, start_method="forkserver")
    (folder / f"meet{ranks}").unlink(missing_ok=True)
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(ranks)]


def _rank(rank, function, ranks, folder):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet{ranks}", rank=rank, world_size=ranks)
    torch.save(function(rank, ranks, folder), folder / f"{rank}.pt")
    dist.destroy_process_group()

"""Data-parallel training, in processes of `together` or of `torchrun`: gradients are summed over them, so that a step is the one a single process takes.

Every process holds all frames and takes its share of each batch; the loss is normalised by the whole batch.
"""

import os
from concurrent.futures import FIRST_EXCEPTION, wait
from contextlib import contextmanager
from tempfile import TemporaryDirectory

import torch
import torch.distributed as dist

from ..errors import GlasslibError
from ..processes import pool

MEETING = "GLASSLIB_PROCESSES"  # environment variable: where processes of `together` meet


def together(size, function, *arguments):
    """What `function(*arguments)` returns, called in `size` processes of one group that `train` finds; the first error ends them all."""
    if size == 1:
        return function(*arguments)
    with TemporaryDirectory() as place, pool(size) as executor:
        jobs = [
            executor.submit(_member, rank, size, f"file://{place}/met", function, arguments) for rank in range(size)
        ]
        wait(jobs, return_when=FIRST_EXCEPTION)
        if any(job.done() and job.exception() for job in jobs):
            wait(jobs, timeout=5)  # the others miss the one that failed: what counts is its error
            errors = [job.exception() for job in jobs if job.done() and job.exception()]
            raise next((error for error in errors if isinstance(error, GlasslibError)), errors[0])
        return jobs[0].result()


def _member(rank, size, place, function, arguments):
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(size), MEETING: place}
    return function(*arguments)


@contextmanager
def processes():
    """Join the group that the environment describes, if there is one; yields (rank, number of processes)."""
    joined = int(os.environ.get("WORLD_SIZE", "1")) > 1 and not dist.is_initialized()
    if joined:
        where = os.environ.get(MEETING, "env://")
        dist.init_process_group(
            "gloo", init_method=where, rank=int(os.environ["RANK"]), world_size=int(os.environ["WORLD_SIZE"])
        )
    try:
        yield (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    finally:
        if joined:
            dist.destroy_process_group()


def meet():
    """Wait until every process has come here."""
    if dist.is_initialized():
        dist.barrier()


def share(items, rank, size):
    """The part of the list `items` that process `rank` of `size` works on; parts differ by one item at most."""
    return items[len(items) * rank // size : len(items) * (rank + 1) // size]


def total(tensors):
    """Add up a list of tensors over all processes, in place and in one message."""
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return
    flat = torch.cat([t.reshape(-1) for t in tensors])
    dist.all_reduce(flat)
    for tensor, summed in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
        tensor.copy_(summed.view_as(tensor))


def largest(tensor):
    """The largest of a tensor's values over all processes, elementwise."""
    if dist.is_initialized() and dist.get_world_size() > 1:
        dist.all_reduce(tensor, dist.ReduceOp.MAX)
    return tensor

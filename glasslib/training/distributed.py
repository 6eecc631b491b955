"""Data-parallel training under `torchrun`: gradients are summed over processes, so that a step is the one a single process takes.

Every process holds all frames and takes its share of each batch; the loss is normalised by the whole batch.
"""

import os
from contextlib import contextmanager

import torch
import torch.distributed as dist


@contextmanager
def processes():
    """Join the group that `torchrun` describes in the environment, if there is one; yields (rank, number of processes)."""
    joined = int(os.environ.get("WORLD_SIZE", "1")) > 1 and not dist.is_initialized()
    if joined:
        dist.init_process_group("gloo")
    try:
        yield (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    finally:
        if joined:
            dist.destroy_process_group()


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

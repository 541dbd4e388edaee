# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Torch DistributedDataParallel, on NCCL where there are GPUs and on gloo where there are none.

Every rank trains on its own share of the data; at the end all of them must hold the same parameters, bit for bit.
"""

from __future__ import annotations

import gc
import hashlib
import os
import sys

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel


def train(rank: int, local_rank: int, device: torch.device) -> bytes:
    """Fit a small network; a digest of its parameters. Each rank draws samples of its own of one truth."""
    torch.manual_seed(0)
    truth = torch.randn(32, 1)
    model = DistributedDataParallel(
        torch.nn.Sequential(torch.nn.Linear(32, 64), torch.nn.ReLU(), torch.nn.Linear(64, 1)).to(device),
        device_ids=[local_rank] if device.type == "cuda" else None,
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    torch.manual_seed(1000 + rank)
    for step in range(1, int(os.environ.get("STEPS", "100")) + 1):
        x = torch.randn(64, 32)
        loss = torch.nn.functional.mse_loss(model(x.to(device)), (x @ truth).to(device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if rank == 0 and step % 20 == 0:
            print(f"step {step:3d}  loss {loss.item():.4f}", flush=True)
    digest = hashlib.sha256()
    for parameter in model.module.parameters():
        digest.update(bytes(parameter.detach().cpu().contiguous().view(torch.uint8).flatten().tolist()))
    return digest.digest()


def all_have(digest: bytes, world: int, device: torch.device) -> bool:
    """Whether every rank has this digest. As a tensor: all_gather_object needs numpy, which torch does not bring."""
    mine = torch.tensor(list(digest), dtype=torch.uint8, device=device)
    all_of_them = [torch.empty_like(mine) for _rank in range(world)]
    dist.all_gather(all_of_them, mine)
    return all(torch.equal(mine, other) for other in all_of_them)


def main() -> int:
    rank, local_rank, world = (int(os.environ[key]) for key in ("RANK", "LOCAL_RANK", "WORLD_SIZE"))
    cuda = torch.cuda.is_available()
    dist.init_process_group("nccl" if cuda else "gloo")
    device = torch.device("cuda", local_rank) if cuda else torch.device("cpu")
    digest = train(rank, local_rank, device)
    print(f"RANK={rank} LOCAL_RANK={local_rank} WORLD_SIZE={world} parameters {digest.hex()[:16]}", flush=True)
    alike = all_have(digest, world, device)
    # The model is gone by now: one that still holds on to the process group makes torch abort now and then as it exits.
    gc.collect()
    dist.barrier()
    dist.destroy_process_group()
    return 0 if alike else 1


if __name__ == "__main__":
    sys.exit(main())

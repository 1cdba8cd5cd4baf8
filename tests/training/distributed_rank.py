"""One of several processes that train together: ``python -m tests.training.distributed_rank RANK WORLD FILE URL WORKERS OUT``."""

import json
import os
import sys

import torch
from torch import nn

import scichunk


def main():
    rank, world, meeting, url, workers, out = sys.argv[1:]
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{meeting}", rank=int(rank), world_size=int(world))
    patches = scichunk.patches(url, 32, block_bytes=3 * 2 * 64 * 64)
    loader = scichunk.torch.loader(
        patches, 4, num_workers=int(workers), multiprocessing_context="spawn" if int(workers) else None,
        dtype="float32", normalize=(0, 60000), index=True, seed=3,
    )  # fmt: skip
    torch.manual_seed(0)
    model = nn.parallel.DistributedDataParallel(nn.Conv2d(3, 1, 32))
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    epochs = []
    for _ in range(2):
        seen = []
        for batch in loader:
            optimizer.zero_grad()
            model(batch["image"]).square().mean().backward()
            optimizer.step()
            seen.append(batch["index"].tolist())
        epochs.append(seen)
    weights = [p.detach().flatten()[:3].tolist() for p in model.parameters()]
    with open(out, "w") as file:
        json.dump({"epochs": epochs, "weights": weights, "length": len(loader)}, file)
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()

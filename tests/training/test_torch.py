"""PyTorch: shards of workers and ranks, resuming, types; local and over HTTP, whichever way workers are started."""

import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import scichunk
from scichunk.testing import RangeServer
from tests.training.files import values, write_geotiff

pytestmark = [pytest.mark.framework("torch"), pytest.mark.timeout(240)]
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def scene(tmp_path):
    return write_geotiff(tmp_path / "scene.tif", values((3, 160, 224)), predictor=2)  # 35 patches of 32


@pytest.fixture
def patches(scene):
    return scichunk.patches(scene, 32, block_bytes=3 * 2 * 64 * 64)


def indices(batches):
    return [b["index"].tolist() for b in batches]


def test_batches_are_tensors_that_equal_those_of_numpy(patches):
    import torch

    expected = list(patches.batches(8, seed=4))
    got = list(scichunk.torch.loader(patches, 8, seed=4))
    assert len(got) == len(expected) == 5
    for a, b in zip(got, expected, strict=True):
        assert a["image"].dtype == torch.int32
        np.testing.assert_array_equal(a["image"].numpy(), b["image"])
    floats = next(iter(scichunk.torch.loader(patches, 8, seed=4, dtype="float32", normalize=(100, 10))))["image"]
    assert floats.dtype == torch.float32
    np.testing.assert_allclose(floats.numpy(), (expected[0]["image"].astype("f4") - 100) / 10, rtol=1e-5)


def test_a_transform_is_called_with_each_batch(patches):
    loader = scichunk.torch.loader(patches, 8, dtype="float32", transform=lambda b: b["image"].mean())
    assert all(b.ndim == 0 for b in loader)


def test_each_pass_is_an_epoch_of_its_own_order(patches):
    loader = scichunk.torch.loader(patches, 8, index=True)
    first, second = indices(loader), indices(loader)
    assert first != second
    assert sorted(np.concatenate(first)) == sorted(np.concatenate(second)) == list(range(35))
    loader.set_epoch(0)
    assert indices(loader) == first
    from torch.utils.data import DataLoader

    plain = DataLoader(scichunk.torch.IterableDataset(patches, 8, index=True), batch_size=None)
    assert [indices(plain), indices(plain)] == [first, second]


@pytest.mark.parametrize("where", ["local", "http"])
@pytest.mark.parametrize("how", ["fork", "spawn", "forkserver"])
def test_workers_deal_out_each_epoch(scene, how, where):
    with open(scene, "rb") as file:
        content = file.read()
    with RangeServer({"scene.tif": content}) as server:
        url = scene if where == "local" else server.url("scene.tif")
        p = scichunk.patches(url, 32, block_bytes=3 * 2 * 64 * 64)
        expected = {n: p[n]["image"] for n in range(len(p))}  # the parent has the file open before it forks
        loader = scichunk.torch.loader(p, 4, num_workers=2, multiprocessing_context=how, index=True)
        assert len(loader) == 10
        orders = []
        for _ in range(2):
            batches = list(loader)
            assert len(batches) == 10
            seen = np.concatenate([b["index"].numpy() for b in batches])
            assert set(seen.tolist()) == set(range(35))
            assert len(seen) == 36
            orders.append(seen.tolist())
            for batch in batches:
                for number, image in zip(batch["index"].tolist(), batch["image"].numpy(), strict=True):
                    np.testing.assert_array_equal(image, expected[number])
        assert orders[0] != orders[1]
        del loader, batches


@pytest.mark.parametrize("workers", [0, 2, 3])
def test_a_loader_resumes_at_the_next_batch(patches, workers):
    def new():
        return scichunk.torch.loader(
            patches, 4, num_workers=workers, index=True, multiprocessing_context="fork" if workers else None
        )

    whole = new()
    full = [*indices(whole), *indices(whole)]
    length = len(whole)
    assert len(full) == 2 * length
    for stop in (1, 4, length, length + 3):
        running, seen = new(), []
        while len(seen) < stop:
            for batch in running:
                seen.append(batch["index"].tolist())
                if len(seen) == stop:
                    break
        state = pickle.loads(pickle.dumps(running.state_dict()))
        resumed = new()
        resumed.load_state_dict(state)
        rest = indices(resumed)
        if stop < length:
            rest += indices(resumed)
        assert seen == full[:stop]
        assert rest == full[stop:]
    other = scichunk.torch.loader(patches, 4, num_workers=workers, seed=1)
    with pytest.raises(ValueError, match="another run: seed"):
        other.load_state_dict(whole.state_dict())


def test_augmentation_does_not_depend_on_workers(patches):
    seeds = []
    for workers in (0, 2):
        loader = scichunk.torch.loader(
            patches, 4, num_workers=workers, multiprocessing_context="fork" if workers else None,
            index=True, augment=True, crops=True,
        )  # fmt: skip
        found = {}
        for batch in loader:
            for number, seed, image in zip(
                batch["index"].tolist(), batch["seed"].tolist(), batch["image"], strict=True
            ):
                found[number] = (seed, image.numpy().tobytes())
        seeds.append(found)
    assert seeds[0] == seeds[1]


def test_patches_by_number(patches):
    from torch.utils.data import DataLoader

    dataset = scichunk.torch.MapDataset(patches, dtype="float32")
    assert len(dataset) == 35
    np.testing.assert_array_equal(dataset[3]["image"].numpy(), patches[3]["image"].astype("f4"))
    batches = list(DataLoader(dataset, 8))
    assert [len(b["image"]) for b in batches] == [8, 8, 8, 8, 3]
    np.testing.assert_array_equal(batches[1]["image"][2].numpy(), patches[10]["image"].astype("f4"))


@pytest.mark.parametrize("workers", [0, 2])
def test_ranks_get_all_patches_and_wait_for_nobody(tmp_path, scene, workers):
    out = [tmp_path / f"rank{r}.json" for r in range(2)]
    runs = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.training.distributed_rank", str(r), "2", str(tmp_path / "meeting"), scene, str(workers), str(out[r])],
            cwd=ROOT, stderr=subprocess.PIPE, text=True,
        )
        for r in range(2)
    ]  # fmt: skip
    try:
        ended = [run.communicate(timeout=200) for run in runs]
    finally:
        for run in runs:
            run.kill()
            run.wait()
    assert [run.returncode for run in runs] == [0, 0], ended
    found = [json.loads(o.read_text()) for o in out]
    assert found[0]["weights"] == found[1]["weights"]  # they did train together
    for epoch in range(2):
        lengths = [len(f["epochs"][epoch]) for f in found]
        assert lengths == [found[0]["length"]] * 2
        seen = [n for f in found for batch in f["epochs"][epoch] for n in batch]
        assert set(seen) == set(range(35))
        assert len(seen) - 35 <= 1  # one more, so that all are equally long
    assert found[0]["epochs"][0] != found[0]["epochs"][1]

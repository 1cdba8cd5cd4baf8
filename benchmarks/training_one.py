"""``python -m benchmarks.training_one READER PATH COUNT``: one epoch of patches of one file; prints CPU and wall seconds a patch, and a checksum."""

import json
import resource
import sys
import time
import warnings
from importlib.metadata import version

import numpy as np

SIZE, BATCH = 256, 16


def cpu():
    """CPU seconds of this process and of those that it waited for."""
    both = [resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in both)


def batched(windows, read, count):
    """Read windows one by one into batches."""
    batch = None
    for place, window in enumerate(windows[: count or None]):
        patch = read(*window)
        if not place % BATCH:
            batch = np.empty((BATCH, *patch.shape), patch.dtype)
        batch[place % BATCH] = patch
        if place % BATCH == BATCH - 1:
            yield batch


def positions(patches, how):
    """Corners of all patches: in the order of the plan, or a random one."""
    from scichunk.training.plan import PlanOptions

    random = np.random.default_rng(1).permutation(len(patches))
    order = patches.plan(PlanOptions(seed=1)).numbers if "our order" in how else random
    return patches.samples.corners[order].tolist()


def reader_of(name, path):
    """A function of one window."""
    if name.startswith("rasterio"):
        import rasterio
        from rasterio.windows import Window

        prefix = "/vsicurl/" if path.startswith("http") else ""
        rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR").__enter__()
        file = rasterio.open(prefix + path)
        return lambda y, x: file.read(window=Window(x, y, SIZE, SIZE))
    if name.startswith("rasteret"):
        return read_by_rasteret(path)
    if name.startswith("astropy"):
        from astropy.io import fits

        section = fits.open(path)[-1].section
        return lambda y, x: np.asarray(section[y : y + SIZE, x : x + SIZE]).astype("i2")
    if name.startswith("fitsio"):
        import fitsio

        hdu = fitsio.FITS(path)[-1]
        return lambda y, x: hdu[y : y + SIZE, x : x + SIZE]
    if name.startswith("glymur"):
        from scichunk.formats.jpeg2000.reference import lend_glymur

        with lend_glymur() as glymur:
            image = glymur.Jp2k(path)
        return lambda y, x: image[y : y + SIZE, x : x + SIZE]
    raise ValueError(name)


def read_by_rasteret(path):
    """A function of one window: a collection of one file, whose headers are in its table."""
    import datetime as dt
    import tempfile

    import pyarrow as pa
    import rasteret
    import rasterio
    import shapely
    from rasterio.warp import transform_bounds

    with rasterio.open(path) as file:
        box, crs, bands = file.bounds, file.crs, {f"B{i}": i for i in range(file.count)}
        pixel = file.transform.a
    around = transform_bounds(crs, "EPSG:4326", *box)
    columns = {
        "id": ["scene"],
        "datetime": pa.array([dt.datetime(2024, 1, 1, tzinfo=dt.UTC)]),
        "geometry": pa.array([shapely.to_wkb(shapely.box(*around))], pa.binary()),
        "bbox": pa.array([dict(zip(("xmin", "ymin", "xmax", "ymax"), around, strict=True))]),
        "href": [path],
        "proj:epsg": pa.array([crs.to_epsg()], pa.int32()),
    }
    with tempfile.TemporaryDirectory() as folder:
        known = {"href_column": "href", "band_index_map": bands, "enrich_cog": True, "band_codes": list(bands)}
        scenes = rasteret.build_from_table(pa.table(columns), name="bench", workspace_dir=folder, **known)
        scenes.to_table()

    def read(y, x):
        left, top = box.left + pixel * x, box.top - pixel * y
        bounds = (left, top - pixel * SIZE, left + pixel * SIZE, top)
        return scenes.read_window(record_ids=["scene"], bounds=bounds, res=(pixel, pixel), bands=list(bands))

    return read


def epoch_of(name, path, count):
    """A function that yields the batches of one epoch, and how many patches that are."""
    import scichunk

    if name == "xbatcher":
        import rioxarray
        import xbatcher

        array = rioxarray.open_rasterio(path, chunks={"x": 512, "y": 512}, lock=False)
        found = xbatcher.BatchGenerator(array, input_dims={"y": SIZE, "x": SIZE}, preload_batch=False)
        order = np.random.default_rng(1).permutation(len(found)).tolist()
        return lambda: batched([(n,) for n in order], lambda n: np.asarray(found[n].values), count), len(order)
    if name == "torchgeo":
        from torch.utils.data import DataLoader
        from torchgeo.datasets import RasterDataset, stack_samples
        from torchgeo.samplers import RandomGeoSampler

        class Scene(RasterDataset):
            filename_glob = "*.tif"
            is_image = True

        scene = Scene([path])
        length = count or 256
        sampler = RandomGeoSampler(scene, size=SIZE, length=length)
        load = DataLoader(scene, BATCH, sampler=sampler, collate_fn=stack_samples)
        return lambda: (b["image"].numpy() for b in load), length
    patches = scichunk.patches(path, SIZE)
    if name.startswith("plan"):
        kept = "256 MiB" if "kept" in name else 0
        batches = patches.batches(BATCH, seed=1, threads=2, keep_bytes=kept)
        return lambda: (b["image"] for b in batches), len(patches)
    read, corners = reader_of(name, path), positions(patches, name)
    return lambda: batched(corners, read, count), count or len(patches)


def measure(name, path, count):
    """One epoch of a warm process."""
    epoch, length = epoch_of(name, path, count)
    for number, _ in enumerate(epoch()):  # imports, compiled code, memory: as in the second epoch
        if number == 3 and "random" in name and "in its cache" not in name:
            break
    begun, at, total = cpu(), time.perf_counter(), 0
    for batch in epoch():
        total += int(batch[:, ..., ::7, ::11].sum(dtype=np.int64))
    whole = not count and name != "torchgeo"  # torchgeo draws places of its own
    took = {"cpu": (cpu() - begun) / length, "wall": (time.perf_counter() - at) / length}
    package = name.partition(",")[0]
    told = version(package) if package in {"torchgeo", "rasteret"} else ""  # they may have environments of their own
    return {**took, "sum": total, "whole": whole, "version": told}


def over_http(name, path, count):
    """One epoch from a server on this machine, 30 ms away; its own CPU is in another process' time, so that only seconds are told."""
    import scichunk
    from scichunk.testing import RangeServer

    with open(path, "rb") as file:
        content = file.read()
    with RangeServer({"scene.tif": content}, latency=0.03) as server:
        url = server.url("scene.tif")
        epoch, length = epoch_of(name, url, count)
        scichunk.clear_caches()
        server.reset()
        at = time.perf_counter()
        for _ in epoch():
            pass
        return {"wall": (time.perf_counter() - at) / length, "requests": server.requests, "bytes": server.bytes_sent}


def with_workers(how, path, remote):
    """Two workers of a DataLoader; tells if each patch comes once."""
    import contextlib

    import scichunk
    from scichunk.testing import RangeServer

    with contextlib.ExitStack() as stack:
        if remote:
            with open(path, "rb") as file:
                server = stack.enter_context(RangeServer({"scene.tif": file.read()}, latency=0.03))
            path = server.url("scene.tif")
        patches = scichunk.patches(path, SIZE)
        _ = patches[0]  # the parent has used the file before it forks
        loader = scichunk.torch.loader(patches, BATCH, num_workers=2, multiprocessing_context=how, index=True)
        at = time.perf_counter()
        seen = np.concatenate([b["index"].numpy() for b in loader])
        wall = time.perf_counter() - at
    assert sorted(seen.tolist()) == list(range(len(patches)))
    return {"wall": wall / len(seen), "count": len(seen)}


def plan_of_a_million():
    from scichunk.training.plan import PlanOptions, make_plan

    blocks = np.repeat(np.arange(62_500), 16)
    begun = cpu()
    make_plan(blocks, None, PlanOptions(shards=8, shard=3))
    return {"cpu": cpu() - begun}


def memory_of_blocks(path):
    """Most bytes of block buffers that were lent at once."""
    import scichunk
    from scichunk.training.plan import PlanOptions
    from scichunk.training.reading import BlockBuffers, KeptBlocks, Places, ReadAhead, follow

    lent, most = 0, 0

    class Watched(BlockBuffers):
        def take(self, nbytes):
            nonlocal lent, most
            lent += nbytes
            most = max(most, lent)
            return super().take(nbytes)

        def give(self, buffers):
            nonlocal lent
            lent -= sum(b.size for b in buffers)
            super().give(buffers)

    patches = scichunk.patches(path, SIZE)
    plan = patches.plan(PlanOptions(mix=4))
    places = Places(patches.samples.scenes[plan.numbers], patches.samples.corners[plan.numbers], plan.visits)
    for _ in follow(patches.layers, patches.size, places, ReadAhead(2, 2), (Watched(), KeptBlocks())):
        pass
    return {"most": most, "limit": 7 << 24}


def main():
    warnings.simplefilter("ignore")
    name, path, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    if name == "million":
        found = plan_of_a_million()
    elif name == "memory":
        found = memory_of_blocks(path)
    elif name.startswith("http "):
        found = over_http(name.removeprefix("http "), path, count)
    elif name.startswith("workers "):
        found = with_workers(name.removeprefix("workers "), path, count)
    else:
        found = measure(name, path, count)
    print(json.dumps(found))


if __name__ == "__main__":  # and not in workers that are spawned
    main()

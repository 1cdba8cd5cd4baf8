"""Batches: types, scaling, symmetries, crops, resuming, and how much is held in memory."""

import sys
import threading

import numpy as np
import pytest
import xarray as xr

import scichunk
from tests.training.files import values, write_geotiff


@pytest.fixture
def scene(tmp_path):
    return write_geotiff(tmp_path / "scene.tif", values((3, 160, 224)), nodata=7, predictor=2)


def test_batches_have_the_size_that_was_asked_for(scene):
    p = scichunk.patches(scene, 32)
    assert len(p) == 35
    assert [len(b["image"]) for b in p.batches(8)] == [8, 8, 8, 8, 3]
    assert [len(b["image"]) for b in p.batches(8, drop_last=True)] == [8] * 4
    assert (len(p.batches(8)), len(p.batches(8, drop_last=True)), len(p.batches(8, shards=4))) == (5, 4, 2)
    with pytest.raises(ValueError, match="batch_size"):
        p.batches(0)


def test_values_are_converted_and_normalized_on_their_way(scene):
    p = scichunk.patches(scene, 32)
    stored = next(iter(p.batches(8, seed=2)))["image"]
    floats = next(iter(p.batches(8, seed=2, dtype="float32")))["image"]
    assert floats.dtype == "f4"
    np.testing.assert_array_equal(floats, stored.astype("f4"))
    mean, deviation = np.array([10, 20, 30.0]), np.array([2, 4, 8.0])
    normal = next(iter(p.batches(8, seed=2, dtype={"image": "f4"}, normalize={"image": (mean, deviation)})))["image"]
    expected = (stored.astype("f4") - mean.reshape(3, 1, 1).astype("f4")) / deviation.reshape(3, 1, 1).astype("f4")
    np.testing.assert_allclose(normal, expected, rtol=1e-6)


def test_masked_values_are_filled(tmp_path):
    data = values((2, 64, 64))
    data[:, ::3] = 7
    url = write_geotiff(tmp_path / "a.tif", data, nodata=7)
    p = scichunk.patches(url, 32, mask_and_scale=True)
    plain = next(iter(p.batches(4, shuffle=False)))["image"]
    expected = xr.open_dataset(url, engine="geotiff").band_data.values
    np.testing.assert_array_equal(plain[0], expected[:, :32, :32])
    assert np.isnan(plain).any()
    filled = next(iter(p.batches(4, shuffle=False, fill=-1.0)))["image"]
    np.testing.assert_array_equal(filled, np.where(np.isnan(plain), -1, plain))
    whole = next(iter(p.batches(4, shuffle=False, fill=-1, dtype="int32")))["image"]
    np.testing.assert_array_equal(whole, filled)
    stored = next(iter(scichunk.patches(url, 32).batches(4, shuffle=False, fill=-1, dtype="int32")))["image"]
    np.testing.assert_array_equal(stored[0], data[:, :32, :32])


def test_scaling_of_each_band_is_applied(tmp_path):
    import rasterio

    url = write_geotiff(tmp_path / "a.tif", values((2, 64, 64)), nodata=7)
    with rasterio.open(url, "r+") as file:
        file.scales, file.offsets = (0.5, 2.0), (1.0, -3.0)
    for given in (url, xr.open_dataset(url, engine="geotiff", chunks=None).band_data):
        p = scichunk.patches(given, 32, mask_and_scale=True)
        got = next(iter(p.batches(4, shuffle=False)))["image"]
        expected = xr.open_dataset(url, engine="geotiff").band_data.values
        np.testing.assert_array_equal(got[1], expected[:, :32, 32:])
        one = scichunk.patches(xr.open_dataset(url, engine="geotiff", chunks=None).band_data[1], 32)
        np.testing.assert_array_equal(one[1]["image"], expected[1, :32, 32:])


def symmetries(patch):
    turned = [np.rot90(patch, k, axes=(-2, -1)) for k in range(4)]
    return turned + [t[..., ::-1] for t in turned]


def test_augmented_patches_are_symmetric_images_of_themselves_and_all_layers_alike(tmp_path, scene):
    label = write_geotiff(tmp_path / "label.tif", values((1, 160, 224), "u1"))
    p = scichunk.patches({"image": scene, "label": label}, 32)
    seen = set()
    for batch in p.batches(8, augment=True, index=True, seed=5):
        for place, number in enumerate(batch["index"]):
            plain = p[number]
            which = [
                {k for k, s in enumerate(symmetries(plain[name])) if np.array_equal(s, batch[name][place])}
                for name in ("image", "label")
            ]
            (both,) = which[0] & which[1]
            seen.add(both)
    assert len(seen) == 8
    long = scichunk.patches(scene, (16, 32))
    batch = next(iter(long.batches(8, augment=True, index=True)))
    for place, number in enumerate(batch["index"]):
        plain = long[number]["image"]
        flips = [plain, plain[:, ::-1], plain[..., ::-1], plain[:, ::-1, ::-1]]
        assert any(np.array_equal(f, batch["image"][place]) for f in flips)


def test_crops_lie_anywhere_and_differ_by_epoch(tmp_path):
    rows, columns = np.mgrid[:160, :200].astype("u2")
    url = write_geotiff(tmp_path / "places.tif", np.stack([rows, columns]))
    half = write_geotiff(tmp_path / "half.tif", np.stack([rows[::2, ::2], columns[::2, ::2]]) // 2, pixel=20.0)
    p = scichunk.patches({"image": url, "half": half}, 32)
    made = p.batches(64, crops=True, index=True)
    epochs = [next(iter(made)) for _ in range(2)]
    for batch in epochs:
        for number, patch, coarse in zip(batch["index"], batch["image"], batch["half"], strict=True):
            y, x = int(patch[0, 0, 0]), int(patch[1, 0, 0])
            np.testing.assert_array_equal(patch, np.stack([rows, columns])[:, y : y + 32, x : x + 32])
            np.testing.assert_array_equal(coarse[:, 0, 0], (y // 2, x // 2))
            assert (y % 2, x % 2) == (0, 0)
            assert 0 <= y - p.table["y"][number] < 32
            assert 0 <= x - p.table["x"][number] < 32
    first = {n: tuple(p[:, 0, 0]) for n, p in zip(epochs[0]["index"], epochs[0]["image"], strict=True)}
    second = {n: tuple(p[:, 0, 0]) for n, p in zip(epochs[1]["index"], epochs[1]["image"], strict=True)}
    assert first != second
    again = next(iter(p.batches(64, crops=True, index=True, shards=2, shard=1)))
    for number, patch in zip(again["index"], again["image"], strict=True):
        assert first[number] == tuple(patch[:, 0, 0])


@pytest.mark.parametrize("stride", [32, 20])
def test_crops_leak_into_no_other_part_of_a_split(tmp_path, stride):
    rows, columns = np.mgrid[:160, :200].astype("u2")
    url = write_geotiff(tmp_path / "places.tif", np.stack([rows, columns]))
    p = scichunk.patches(url, 32, stride=stride, block_bytes=2 * 2 * 96 * 96)
    owner = np.full((160, 200), -1)
    moved = 0
    for part, these in enumerate(p.split(0.6, seed=3)):
        made = these.batches(8, crops=True)
        for batch in [b for _ in range(5) for b in made]:
            for patch in batch["image"]:
                y, x = int(patch[0, 0, 0]), int(patch[1, 0, 0])
                moved += y % stride > 0
                assert set(np.unique(owner[y : y + 32, x : x + 32])) <= {-1, part}
                owner[y : y + 32, x : x + 32] = part
    assert moved


def test_resuming_goes_on_at_the_next_patch(scene):
    p = scichunk.patches(scene, 32, block_bytes=3 * 2 * 64 * 64)
    options = {"seed": 9, "index": True, "augment": True}
    made = p.batches(4, **options)
    full = [*made, *made]
    for stop in (0, 1, 4, 8, 9, 12):
        running = p.batches(4, **options)
        iterator = iter(running)
        for number in range(stop):
            try:
                next(iterator)
            except StopIteration:
                iterator = iter(running)
                next(iterator)
            assert running.state_dict()["position"] == (4 * (number % 9 + 1)) % 36
        resumed = p.batches(4, **options)
        resumed.load_state_dict(running.state_dict())
        rest = [*resumed, *(resumed if stop < 9 else ())]
        assert len(rest) == 18 - stop
        for a, b in zip(rest, full[stop:], strict=True):
            assert all(np.array_equal(a[k], b[k]) for k in a)
        iterator.close()


def test_an_iteration_that_was_left_begins_again(scene):
    made = scichunk.patches(scene, 32).batches(4, index=True)
    first = next(iter(made))
    again = list(made)
    assert again[0]["index"].tolist() == first["index"].tolist()
    assert len(again) == 9


def test_a_state_of_another_run_is_refused(scene):
    p = scichunk.patches(scene, 32)
    made = p.batches(4, seed=1)
    next(iter(made))
    state = made.state_dict()
    for other in (p.batches(4, seed=2), p.batches(4, seed=1, shards=2), p.isel(patch=slice(9)).batches(4, seed=1)):
        with pytest.raises(ValueError, match="another run"):
            other.load_state_dict(state)
    made.set_epoch(3)
    other = p.batches(4, seed=1, shards=2)
    other.load_state_dict(made.state_dict())
    assert other.epoch == 3


def test_batches_in_turn_share_their_memory_if_asked(scene):
    p = scichunk.patches(scene, 32)
    expected = [b["image"].copy() for b in p.batches(4)]
    kept = []
    for batch, right in zip(p.batches(4, buffers=2), expected, strict=True):
        np.testing.assert_array_equal(batch["image"], right)
        kept.append(batch["image"])
    assert len({b.__array_interface__["data"][0] for b in kept}) == 2
    assert len({b["image"].__array_interface__["data"][0] for b in list(p.batches(4))}) == 9


def test_each_block_is_read_once_and_few_are_held(scene):
    from scichunk.training.reading import BlockBuffers

    p = scichunk.patches(scene, 32, block_bytes=3 * 2 * 32 * 64)
    assert p.blocks.size > 15

    class Watched(BlockBuffers):
        made, most = 0, 0

        def take(self, nbytes):
            type(self).made += 1
            type(self).most = max(self.most, self.made)
            return super().take(nbytes)

        def give(self, buffers):
            type(self).made -= len(buffers)
            super().give(buffers)

    from scichunk.training.plan import PlanOptions
    from scichunk.training.reading import KeptBlocks, Places, ReadAhead, follow

    for mix, ahead in ((1, 0), (3, 1), (4, 2)):
        Watched.made = Watched.most = 0
        plan = p.plan(PlanOptions(mix=mix))
        places = Places(p.samples.scenes[plan.numbers], p.samples.corners[plan.numbers], plan.visits)
        assert sum(1 for _ in follow(p.layers, p.size, places, ReadAhead(2, ahead), (Watched(), KeptBlocks()))) == len(
            p
        )
        assert Watched.made == 0
        assert Watched.most <= mix + ahead + 1


def test_weights_say_how_often_a_patch_comes(scene):
    p = scichunk.patches(scene, 32, block_bytes=3 * 2 * 64 * 64)
    weights = np.ones(len(p))
    weights[3], weights[8] = 0, 11
    q = scichunk.patches(scene, 32, block_bytes=3 * 2 * 64 * 64, weights=weights)
    counts = np.zeros(len(p), int)
    epochs = 40
    made = q.batches(8, index=True)
    for _ in range(epochs):
        for batch in made:
            np.add.at(counts, batch["index"], 1)
    share = weights / weights.sum() * len(p)
    assert counts.sum() == epochs * len(p)
    assert counts[3] == 0
    assert (np.abs(counts / epochs - share) < 0.35).all()
    seeds = {s for batch in q.batches(8, index=True) for s in batch["seed"].tolist()}
    assert len(seeds) == len(p)  # also those of one patch that comes twice
    by_function = p.weighted({"image": lambda image: float(image[0, 0, 0])})
    expected = [float(p[n]["image"][0, 0, 0]) for n in range(len(p))]
    np.testing.assert_array_equal(by_function.sample_weights, expected)
    assert len(list(q)) == len(p)  # by itself, each is read once
    np.testing.assert_array_equal(list(q)[3]["image"], p[3]["image"])
    with pytest.raises(ValueError, match="weights"):
        p.weighted(-np.ones(len(p)))


def test_no_thread_is_left_when_a_loop_is_left(scene):
    for number, _ in enumerate(scichunk.patches(scene, 32, block_bytes=3 * 2 * 64 * 64).batches(2)):
        if number == 3:
            break


@pytest.mark.parametrize("share", [0, 0.4, 1])
def test_blocks_that_are_kept_are_read_once(tmp_path, scene, share):
    from scichunk.testing import RangeServer

    with open(scene, "rb") as file:
        content = file.read()
    with RangeServer({"a.tif": content}) as server, scichunk.options.set(cached_tile_bytes=0):
        p = scichunk.patches(server.url("a.tif"), 32, block_bytes=3 * 2 * 64 * 64)
        made = p.batches(4, index=True, keep_bytes=int(3 * 2 * 160 * 224 * share))
        first = {n: v for b in made for n, v in zip(b["index"].tolist(), b["image"], strict=True)}
        server.reset()
        for batch in made:
            for number, image in zip(batch["index"].tolist(), batch["image"], strict=True):
                np.testing.assert_array_equal(image, first[number])
        sent = server.bytes_sent / len(content)
    assert {0: 0.9 < sent < 1.3, 0.4: 0.5 < sent < 0.75, 1: sent == 0}[share], sent
    with pytest.raises(ValueError, match="crops or keep_bytes"):
        p.batches(4, crops=True, keep_bytes="1 MiB")


def test_blocks_are_given_back_while_others_are_kept():
    """Threads that read keep blocks at the time at which the one that cuts patches asks whether a block is kept."""
    from scichunk.training.reading import KeptBlocks, _Block

    kept, wrong, done = KeptBlocks(1 << 20), [], threading.Event()
    blocks = [_Block((), (), ()) for _ in range(4000)]

    def ask():
        try:
            while not done.is_set():
                assert not kept.has(_Block((), (), ()))
        except Exception as error:
            wrong.append(error)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        thread = threading.Thread(target=ask)
        thread.start()
        for number, block in enumerate(blocks):
            kept.offer((number, (0,), (1,)), block)
        done.set()
        thread.join()
    finally:
        sys.setswitchinterval(before)
    assert not wrong
    assert all(map(kept.has, blocks))

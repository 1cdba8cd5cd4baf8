"""Plans of epochs: complete, disjoint, of equal lengths, the same when resumed, for any blocks, shards and weights."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from scichunk.training.plan import PlanOptions, make_plan, sample_seeds
from scichunk.training.samples import Blocks, Samples
from scichunk.training.splitting import split_samples

blocks_of = st.lists(st.integers(1, 9), min_size=1, max_size=12).map(lambda n: np.repeat(np.arange(len(n)) * 3, n))
options = st.builds(
    PlanOptions, seed=st.integers(0, 5), epoch=st.integers(0, 3), mix=st.integers(1, 6), shuffle=st.booleans()
)


def shard(options, number, shards, even=True):
    return PlanOptions(options.seed, options.epoch, number, shards, options.mix, options.shuffle, even)


@given(blocks_of, options, st.integers(1, 7))
def test_shards_are_complete_and_equally_long(blocks, options, shards):
    plans = [make_plan(blocks, None, shard(options, s, shards)) for s in range(shards)]
    lengths = {len(p) for p in plans}
    assert lengths == {-(-len(blocks) // shards)}
    dealt = np.concatenate([p.numbers for p in plans])
    assert set(dealt.tolist()) == set(range(len(blocks)))
    counts = np.bincount(dealt, minlength=len(blocks))
    assert counts.sum() - len(blocks) == shards * lengths.pop() - len(
        blocks
    )  # repeated for evenness, and for nothing else
    if shards <= len(blocks):
        assert counts.max() <= 2


@given(blocks_of, options, st.integers(1, 7))
def test_uneven_shards_are_disjoint(blocks, options, shards):
    dealt = np.concatenate(
        [make_plan(blocks, None, shard(options, s, shards, even=False)).numbers for s in range(shards)]
    )
    assert sorted(dealt.tolist()) == list(range(len(blocks)))


@given(blocks_of, options)
def test_few_blocks_are_open_at_once_and_each_is_visited_once(blocks, options):
    plan = make_plan(blocks, None, options)
    assert len({(v, b) for v, b in zip(plan.visits.tolist(), blocks[plan.numbers].tolist(), strict=True)}) == len(
        set(blocks.tolist())
    )
    first, last = {}, {}
    for place, visit in enumerate(plan.visits.tolist()):
        first.setdefault(visit, place)
        last[visit] = place
    assert sorted(first, key=first.get) == list(range(len(first)))  # numbered in the order of first use
    open_at = [sum(first[v] <= place <= last[v] for v in first) for place in range(len(plan))]
    assert max(open_at) <= (options.mix if options.shuffle else 1)


@given(blocks_of, options, st.integers(0, 60))
def test_a_plan_is_the_same_each_time_and_can_be_cut(blocks, options, position):
    one, two = make_plan(blocks, None, options), make_plan(blocks, None, options)
    np.testing.assert_array_equal(one.numbers, two.numbers)
    rest = one[position:]
    np.testing.assert_array_equal(rest.numbers, two.numbers[position:])
    assert len(rest) == max(0, len(blocks) - position)


@given(blocks_of, options, st.integers(1, 5), st.integers(0, 3))
def test_seeds_of_patches_do_not_depend_on_shards(blocks, options, shards, seed):
    weights = np.random.default_rng(seed).random(len(blocks)) + 0.01
    whole = make_plan(blocks, weights, options)
    seeds = sample_seeds(options.seed, options.epoch, whole.numbers, whole.repeats)
    assert len(set(seeds.tolist())) == len(seeds)
    parts = [make_plan(blocks, weights, shard(options, s, shards)) for s in range(shards)]
    dealt = {s for p in parts for s in sample_seeds(options.seed, options.epoch, p.numbers, p.repeats).tolist()}
    assert dealt == set(seeds.tolist())


@given(blocks_of, options, st.integers(0, 3))
def test_weights_give_floor_or_ceil_of_each_share(blocks, options, seed):
    weights = np.random.default_rng(seed).random(len(blocks)) ** 4
    counts = np.bincount(make_plan(blocks, weights, options).numbers, minlength=len(blocks))
    share = weights / weights.sum() * len(blocks)
    assert counts.sum() == len(blocks)
    assert (counts >= np.floor(share - 1e-9)).all()
    assert (counts <= np.ceil(share + 1e-9)).all()


@given(
    st.tuples(st.integers(2, 6), st.integers(2, 6)),
    st.tuples(st.integers(3, 9), st.integers(3, 9)),
    st.tuples(st.integers(1, 12), st.integers(1, 12)),
    st.integers(0, 50),
)
def test_split_patches_share_no_pixel(counts, shape, size, seed):
    blocks = Blocks(np.array([shape]), np.zeros((1, 2), int), np.array([counts]), np.zeros(1, int))
    height, width = counts[0] * shape[0], counts[1] * shape[1]
    rng = np.random.default_rng(seed)
    n = 40
    corners = np.stack(
        [rng.integers(0, max(1, height - size[0] + 1), n), rng.integers(0, max(1, width - size[1] + 1), n)], axis=1
    )
    keep = (corners + size <= (height, width)).all(axis=1)
    corners = corners[keep]
    scenes = np.zeros(len(corners), np.int64)
    numbers = blocks.numbers(scenes, blocks.cells(scenes, corners))
    samples = Samples(scenes, corners, numbers, np.arange(len(corners)))
    if len(set(numbers.tolist())) < 2:
        return
    owner = np.full((height, width), -1)
    for part, these in enumerate(split_samples(blocks, samples, size, [0.7, 0.3], by="block", seed=seed)):
        for y, x in corners[these]:
            box = owner[y : y + size[0], x : x + size[1]]
            assert set(np.unique(box).tolist()) <= {-1, part}
            box[...] = part


@given(
    st.lists(st.integers(1, 9), min_size=2, max_size=12),
    st.lists(st.integers(1, 9), min_size=2, max_size=5),
    st.integers(0, 9),
)
def test_parts_have_their_shares(counts, shares, seed):
    if len(counts) < len(shares):
        return
    blocks = Blocks(np.array([[4]]), np.zeros((1, 1), int), np.array([[len(counts)]]), np.zeros(1, int))
    corners = np.repeat(np.arange(len(counts)) * 4, counts)[:, None]
    scenes = np.zeros(len(corners), np.int64)
    samples = Samples(scenes, corners, blocks.numbers(scenes, blocks.cells(scenes, corners)), np.arange(len(corners)))
    wanted = np.array(shares) / sum(shares)
    parts = split_samples(blocks, samples, [2], wanted.tolist(), by="block", seed=seed)
    assert all(len(p) for p in parts)
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(corners)))
    if min(wanted) * len(corners) >= max(counts):  # blocks are fine enough: each part is right to a block at either end
        assert (np.abs([len(p) for p in parts] - wanted * len(corners)) <= max(counts)).all()


def test_a_million_patches_are_planned_as_integers():
    blocks = np.repeat(np.arange(62_500), 16)
    plan = make_plan(blocks, None, PlanOptions(shards=8, shard=3))
    assert len(plan) == 125_000
    assert plan.visits.max() + 1 <= 7814

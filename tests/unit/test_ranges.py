from hypothesis import given
from hypothesis import strategies as st

from scichunk.sources.ranges import plan_ranges

RANGES = st.lists(st.tuples(st.integers(0, 500), st.integers(0, 60)).map(lambda t: (t[0], t[0] + t[1])), max_size=30)


@given(RANGES, st.integers(0, 50), st.integers(1, 300))
def test_every_range_is_covered_once(ranges, gap, max_size):
    starts, stops = [r[0] for r in ranges], [r[1] for r in ranges]
    fetches = plan_ranges(starts, stops, gap=gap, max_size=max_size)
    members = [i for f in fetches for i in f.members]
    assert sorted(members) == [i for i, (a, b) in enumerate(ranges) if b > a]
    for f in fetches:
        assert all(f.start <= starts[i] and stops[i] <= f.stop for i in f.members)
        assert f.start == min(starts[i] for i in f.members)
        assert f.stop == max(stops[i] for i in f.members)
        assert (
            f.stop - f.start <= max_size
            or len(f.members) == 1
            or any(stops[i] - starts[i] >= max_size for i in f.members)
        )
    assert [f.start for f in fetches] == sorted(f.start for f in fetches)


@given(RANGES)
def test_without_limits_close_ranges_become_one(ranges):
    fetches = plan_ranges([r[0] for r in ranges], [r[1] for r in ranges], gap=10**6, max_size=10**9)
    assert len(fetches) <= 1


def test_gap_is_respected():
    assert [(f.start, f.stop) for f in plan_ranges([0, 15, 40], [10, 20, 50], gap=5, max_size=1000)] == [
        (0, 20),
        (40, 50),
    ]
    assert [(f.start, f.stop) for f in plan_ranges([0, 15, 40], [10, 20, 50], gap=4, max_size=1000)] == [
        (0, 10),
        (15, 20),
        (40, 50),
    ]

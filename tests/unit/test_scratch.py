"""Warm memory for results and scratch."""

import gc
import threading

import numpy as np
import pytest

from scichunk import buffers as scratch
from scichunk import options
from scichunk.buffers import LARGE_BYTES, allocate_result, borrow_buffer, cached_blocks


@pytest.fixture(autouse=True)
def _empty_pool():
    scratch._freed.clear()
    yield
    scratch._freed.clear()


def address(array):
    return array.__array_interface__["data"][0]


def test_large_results_reuse_memory_that_is_gone():
    first = allocate_result((LARGE_BYTES // 8 + 1, 2), "f8")
    place = address(first)
    view = first[5:, ::2]
    del first
    assert not scratch._freed  # a view still needs it
    view += 1
    del view
    gc.collect()
    again = allocate_result((2, LARGE_BYTES // 8 + 1), "u8")
    assert address(again) == place
    assert again.flags.c_contiguous
    assert again.flags.writeable


def test_small_results_are_plain_arrays():
    assert allocate_result((3, 4), "i2").base is None


def test_the_pool_is_bounded():
    with options.set(warm_bytes=3 * LARGE_BYTES):
        many = [allocate_result((LARGE_BYTES + i,), "u1") for i in range(1, 6)]
        del many
        assert sum(b.size for b in scratch._freed) <= 3 * LARGE_BYTES
    with options.set(warm_bytes=0):
        allocate_result((LARGE_BYTES + 1,), "u1")
        assert not scratch._freed


def test_much_larger_memory_is_not_used_up_for_less():
    del (big := [allocate_result((3 * LARGE_BYTES,), "u1")])[0]
    assert allocate_result((LARGE_BYTES + 1,), "u1").base is not None
    assert sum(b.size for b in scratch._freed) >= 3 * LARGE_BYTES
    assert not big


def test_threads_never_share_a_result():
    wrong = []

    def work(number):
        for _ in range(50):
            array = allocate_result((LARGE_BYTES + 1,), "u1")
            array[::4096] = number
            if not (array[::4096] == number).all():
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def test_borrowed_memory_is_of_one_thread_and_name():
    one = borrow_buffer("a", 10)
    assert address(borrow_buffer("a", 5)) == address(one)
    assert address(borrow_buffer("b", 5)) != address(one)
    large = address(borrow_buffer("a", 1_000_000))
    assert address(borrow_buffer("a", 1_200_000)) == large  # so that each that is a little longer is not fresh memory
    other = []
    thread = threading.Thread(target=lambda: other.append(address(borrow_buffer("a", 5))))
    thread.start()
    thread.join()
    assert other[0] != address(one)


@pytest.mark.parametrize("shape", [(), (5,), (200_000,), (3, 100_000), (1, 1, 70_000), (1000, 1000)])
@pytest.mark.parametrize("strided", [False, True])
def test_blocks_cover_all(shape, strided):
    source = np.arange(np.prod(shape, dtype=int)).reshape(shape)
    out = np.zeros(shape, int)
    if strided and shape:
        source, out = np.repeat(source, 2, -1)[..., ::2], np.repeat(out, 2, -1)[..., ::2]
    for a, b in cached_blocks(source, out):
        np.add(a, 1, out=b)
    np.testing.assert_array_equal(out, source + 1)

"""FITS tables beside astropy: a random matrix of columns, and real files, which are also written and read back."""

import warnings

import numpy as np
import pyarrow as pa
import pytest
from astropy.io import fits

import scichunk
from scichunk.core.files import TableId
from scichunk.core.handles import open_file
from scichunk.core.tables import Rows
from scichunk.sources import locate
from tests.differential.test_corpus import CORPUS, manifest
from tests.fits_tables import astropy_columns, columns, random_values, table, variable


def same(found, wanted):
    """A column in NumPy form beside astropy's."""
    if isinstance(wanted, np.ndarray) and wanted.dtype.kind != "O":
        wanted = np.asarray(wanted)
        if wanted.dtype.kind == "S":  # texts beyond ASCII
            return
        if wanted.dtype.kind == "U":
            texts = [t.split("\0")[0].rstrip(" ") for t in wanted.reshape(-1).tolist()]
            assert found.reshape(-1).tolist() == texts
            return
        if wanted.dtype.kind == "f" and found.dtype.kind in "ic":  # signed bytes; scaled complex numbers
            found = found.real
        np.testing.assert_array_equal(found.reshape(-1), wanted.reshape(-1))
        return
    for one, two in zip(found, wanted, strict=True):
        if isinstance(one, str):
            assert one == "".join(np.atleast_1d(two).tolist()).partition("\0")[0].rstrip(" ")
        else:
            np.testing.assert_array_equal(one.reshape(-1), np.asarray(two).reshape(-1))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(60))
def test_random_tables(seed):
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 2000))
    forms, arrays, heap, cards = [], [], b"", {}
    for number in range(1, int(rng.integers(2, 14))):
        code = str(rng.choice(list("LXBIJKAEDCM")))
        if rng.random() < 0.25 and code not in "XA":
            counts = rng.integers(0, 5, count).tolist()
            pairs, more, _ = variable(code, counts, rng, wide=bool(rng.random() < 0.5))
            pairs[:, 1] += len(heap)
            heap += more
            forms.append(f"1{'P' if pairs.dtype.itemsize == 4 else 'Q'}{code}({max(counts)})")
            arrays.append(pairs)
            continue
        repeat = int(rng.choice([1, 1, 1, 2, 6, 17]))
        forms.append(f"{repeat}{code}")
        if code == "X":
            arrays.append(rng.integers(0, 256, (count, -(-repeat // 8)), dtype="u1"))
            continue
        arrays.append(random_values(code, (count, repeat), rng))
        if repeat == 6 and rng.random() < 0.5:
            cards[f"TDIM{number}"] = "(3,2)"
        if code in "BIJED" and rng.random() < 0.3:
            cards[f"TSCAL{number}"], cards[f"TZERO{number}"] = float(rng.normal()), float(rng.normal() * 100)
        elif code in "IJK" and rng.random() < 0.3:
            cards[f"TZERO{number}"] = {"I": 1 << 15, "J": 1 << 31, "K": 1 << 63}[code]
    data = table(forms, columns(*arrays), count, heap, gap=int(rng.choice([0, 0, 5])), **cards)
    ours = open_file("fits", locate(data)).table(TableId())
    batch = ours.read_rows(Rows(0, count))
    batch.validate(full=True)
    start, stop = sorted(rng.integers(0, count + 1, 2).tolist())
    for column, (wanted, _, _) in zip(ours.columns, astropy_columns(data), strict=True):
        found = ours.read_column(column.name, 0, count)
        same(found, wanted)
        part = ours.read_column(column.name, start, stop)
        assert repr(part.tolist()) == repr(found[start:stop].tolist())
        again = pa.Table.from_batches([batch])[column.name].slice(start, stop - start).to_pylist()
        assert repr(ours.read_rows(Rows(start, stop), [column.name]).column(0).to_pylist()) == repr(again)


def plain(value):
    """Cells with one kind of nothing: FITS has no null floats and texts."""
    if isinstance(value, list):
        return [plain(v) for v in value]
    return None if value is None or value == "" or value != value else value


def tables_of(path):
    """Numbers of the tables of a file that astropy can open."""
    try:
        with fits.open(path, memmap=False) as file:
            return [i for i, h in enumerate(file) if isinstance(h, fits.BinTableHDU | fits.TableHDU) and not isinstance(h, fits.CompImageHDU)]  # fmt: skip
    except Exception:
        return []


@pytest.mark.corpus
@pytest.mark.slow
@pytest.mark.skipif(not manifest("fits"), reason="no corpus")
@pytest.mark.parametrize("part", range(4))
def test_real_tables(part, tmp_path):
    compared = 0
    for name in manifest("fits")[part::4]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for hdu in tables_of(CORPUS / name):
                frame = scichunk.read_fits_table(CORPUS / name, hdu=hdu)
                copy = tmp_path / f"{compared}.fits"
                scichunk.write_fits_table(frame, copy)
                one = open_file("fits", locate(CORPUS / name)).table(TableId(hdu))
                two = open_file("fits", locate(copy)).table(TableId())
                assert [c.attrs for c in one.columns] == [c.attrs for c in two.columns], name
                first, second = (t.read_rows(Rows(0, t.n_rows)) for t in (one, two))
                for column in one.columns:
                    cells = [plain(b.column(column.name).to_pylist()) for b in (first, second)]
                    assert repr(cells[0]) == repr(cells[1]), (name, hdu, column.name)
                compared += 1
    assert compared > 5

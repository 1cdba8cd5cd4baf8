"""Tables written and read back: values, nulls, metadata; files that other readers accept."""

import os
import threading
import warnings

import dask.dataframe as dd
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import xarray as xr
from astropy import units
from astropy.io import fits
from astropy.table import QTable
from hypothesis import given, settings
from hypothesis import strategies as st

import scichunk
from scichunk import errors
from scichunk.tables.arrow import arrow_type
from tests.fits_tables import columns, table, variable

RNG = np.random.default_rng(8)


def back(path):
    return pa.Table.from_pandas(
        scichunk.read_fits_table(path).compute(), preserve_index=False
    ).replace_schema_metadata()


def verify(path):
    with fits.open(path) as file:
        file.verify("exception")
        assert len(file[1].data) == file[1].header["NAXIS2"]


COMPLEX = arrow_type(np.dtype("c16"))


def cells(kind):
    """Values of an Arrow type that FITS can hold."""
    if pa.types.is_fixed_size_list(kind):
        return st.lists(cells(kind.value_type), min_size=kind.list_size, max_size=kind.list_size)
    if pa.types.is_list(kind):
        return st.lists(cells(kind.value_type).filter(lambda v: v is not None), max_size=4)
    if pa.types.is_struct(kind):
        half = st.floats(width=32 if pa.types.is_float32(kind[0].type) else 64, allow_nan=False)
        return st.fixed_dictionaries({"real": half, "imag": half})
    if pa.types.is_string(kind):
        return st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=5)
    if pa.types.is_boolean(kind):
        return st.sampled_from([True, False, None])
    if pa.types.is_floating(kind):
        return st.floats(width=kind.bit_width, allow_nan=False)
    info = np.iinfo(kind.to_pandas_dtype())
    return st.one_of(st.none(), st.integers(int(info.min), int(info.max)))


SCALARS = [pa.bool_(), pa.int8(), pa.uint8(), pa.int16(), pa.uint16(), pa.int32(), pa.uint32(), pa.int64(), pa.uint64(), pa.float32(), pa.float64(), pa.string(), arrow_type(np.dtype("c8")), COMPLEX]  # fmt: skip
KINDS = [
    *SCALARS,
    *(pa.list_(k, 3) for k in SCALARS),
    *(pa.list_(pa.list_(k, 2), 2) for k in SCALARS),
    *(pa.list_(k) for k in SCALARS if not pa.types.is_string(k) and not pa.types.is_boolean(k)),
]


@settings(max_examples=60, deadline=None)
@given(data=st.data(), kinds=st.lists(st.sampled_from(KINDS), min_size=1, max_size=5), rows=st.integers(0, 12))
def test_values_and_nulls_survive(data, kinds, rows, tmp_path_factory):
    arrays = [pa.array([data.draw(cells(k)) for _ in range(rows)], k) for k in kinds]
    made = pa.table(arrays, [f"c{i}" for i in range(len(kinds))])
    path = tmp_path_factory.mktemp("w") / "t.fits"
    try:
        scichunk.write_fits_table(made, path)
    except errors.UnsupportedFeature as error:  # every value that could stand for null occurs
        assert "no value is left" in error.message
        return
    found = back(path)
    assert found.schema.types == [k if not rows or not pa.types.is_string(k) else found.schema.field(i).type for i, k in enumerate(kinds)]  # fmt: skip
    assert found.to_pylist() == made.to_pylist()


def test_astropy_reads_what_is_written(tmp_path):
    made = pa.table(
        {
            "i": pa.array([1, None, 3], pa.int32()),
            "u": pa.array([0, 1 << 63, 5], pa.uint64()),
            "f": pa.array([1.5, None, np.nan]),
            "s": pa.array(["a", None, "three"]),
            "b": pa.array([True, None, False]),
            "v": pa.array([[1, 2], [], [3]], pa.list_(pa.int16())),
            "m": pa.array([[[1, 2], [3, 4]]] * 3, pa.list_(pa.list_(pa.float32(), 2), 2)),
        }
    )
    path = tmp_path / "t.fits"
    scichunk.write_fits_table(made, path, extname="ROWS")
    with fits.open(path) as file:
        assert file[1].header["EXTNAME"] == "ROWS"
        assert file[1].columns["i"].null == -(1 << 31)
        assert file[1].data["u"].tolist() == [0, 1 << 63, 5]
        np.testing.assert_array_equal(file[1].data["f"], [1.5, np.nan, np.nan])
        assert file[1].data["s"].tolist() == ["a", "", "three"]
        assert [v.tolist() for v in file[1].data["v"]] == [[1, 2], [], [3]]
        assert file[1].data["m"].shape == (3, 2, 2)
    assert path.stat().st_size % 2880 == 0
    verify(path)


def test_a_value_for_nulls_is_one_that_does_not_occur(tmp_path):
    low = -(1 << 15)
    made = pa.table({"x": pa.array([low, None, low + 1], pa.int16()), "full": pa.array([None, 1, 2], pa.uint8())})
    scichunk.write_fits_table(made, tmp_path / "t.fits")
    assert back(tmp_path / "t.fits").to_pylist() == made.to_pylist()
    with fits.open(tmp_path / "t.fits") as file:
        assert file[1].columns["x"].null == low + 2
    every = pa.table({"x": pa.array([*range(256), None], pa.uint8())})
    with pytest.raises(errors.UnsupportedFeature, match="no value is left"):
        scichunk.write_fits_table(every, tmp_path / "u.fits")
    assert os.listdir(tmp_path) == ["t.fits"]


@pytest.fixture
def original(tmp_path):
    """A file with everything that should survive."""
    n = 50
    pairs, heap, _ = variable("D", RNG.integers(0, 4, n).tolist(), RNG)
    raw = RNG.integers(0, 5, n).astype(">i4")
    data = table(
        ["J", "J", "2I", "1PD(3)", "6A", "4A", "L", "20X", "C", "B"],
        columns(raw, raw, RNG.integers(-9, 9, (n, 2)).astype(">i2"), pairs, RNG.integers(97, 123, (n, 6), dtype="u1"), RNG.integers(97, 123, (n, 4), dtype="u1"),
                RNG.choice(np.frombuffer(b"TF\0", "u1"), n), RNG.integers(0, 255, (n, 3), dtype="u1") & 0xF0, RNG.normal(size=2 * n).astype(">f4").view(">c8"), RNG.integers(0, 9, n, dtype="u1")),
        n, heap, TNULL1=3, TZERO2=1 << 31, TNULL2=2, TSCAL3=0.5, TZERO3=1.25, TDIM6="(2,2)", TNULL10=7, TUNIT1="km/s", TCOMM1="speed", TUCD1="phys.veloc",
        TLMIN1=-5, TDISP3="F8.2", TCTYP1="TIME", EXTNAME="THINGS", EXTVER=3, OBSERVER="O'Neill", EXPTIME=12.5, FLAG=True,
    )  # fmt: skip
    comment = "COMMENT first".ljust(80) + "HISTORY made up".ljust(80) + "HISTORY again".ljust(80)
    end = data.index(b"END" + b" " * 77, 2880)
    data = data[:end] + comment.encode() + b"END".ljust(80) + data[end + 80 + len(comment) :]
    path = tmp_path / "original.fits"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("mask", [True, False])
@pytest.mark.parametrize("chunks", [None, {"row": 7}])
def test_datasets_survive(original, tmp_path, mask, chunks):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ds = xr.open_dataset(original, engine="fits", mask_and_scale=mask, chunks=chunks)
        scichunk.write_fits_table(ds, tmp_path / "copy.fits")
    again = xr.open_dataset(tmp_path / "copy.fits", engine="fits", mask_and_scale=mask)
    for name in ds.variables:
        one, two = ds[name], again[name]
        assert one.dtype == two.dtype, name
        assert one.attrs == two.attrs, name
        if one.dtype == object:
            assert repr(one.to_numpy().tolist()) == repr(two.to_numpy().tolist())
        else:
            np.testing.assert_array_equal(one, two)
    left, right = dict(ds.attrs), dict(again.attrs)
    cards = [fits.Header.fromstring(a.pop("fits_header")) for a in (left, right)]
    assert left == right
    assert left["OBSERVER"] == "O'Neill"
    for header in cards:
        assert list(header["HISTORY"]) == ["made up", "again"]
        assert list(header["COMMENT"]) == ["first"]
        assert header["EXTVER"] == 3
    verify(tmp_path / "copy.fits")


@pytest.mark.parametrize("lazily", [True, False])
def test_frames_survive(original, tmp_path, lazily):
    frame = scichunk.read_fits_table(original, blocksize=400)
    scichunk.write_fits_table(frame if lazily else frame.compute(), tmp_path / "copy.fits")
    one, two = frame.compute(), scichunk.read_fits_table(tmp_path / "copy.fits").compute()
    assert one.attrs == two.attrs
    assert one.attrs["columns"]["c1"] == {"units": "km/s", "description": "speed", "ucd": "phys.veloc", "TLMIN": -5, "TCTYP": "TIME"}  # fmt: skip
    pd.testing.assert_frame_equal(one.drop(columns="c4"), two.drop(columns="c4"))
    assert one.c4.tolist().__repr__() == two.c4.tolist().__repr__()


def test_changed_attributes_win(original, tmp_path):
    ds = xr.open_dataset(original, engine="fits")
    ds.attrs["OBSERVER"] = "you"
    ds.attrs["a long name"] = 5
    ds.c1.attrs["units"] = "m/s"
    ds["new"] = ("row", np.arange(50, dtype="i8"), {"units": "s", "description": "seconds", "flag": "no keyword"})
    scichunk.write_fits_table(ds, tmp_path / "copy.fits")
    with fits.open(tmp_path / "copy.fits") as file:
        header = file[1].header
    assert (header["OBSERVER"], header["a long name"], header["TUNIT1"], header["TUNIT11"]) == ("you", 5, "m/s", "s")


def test_what_has_no_form_in_a_header_is_left_out_with_a_warning(tmp_path):
    ds = xr.Dataset({"x": ("row", [1, 2], {"units": "µm"})}, attrs={"list": [1, 2], "ok": 1})
    with pytest.warns(errors.MetadataWarning) as caught:
        scichunk.write_fits_table(ds, tmp_path / "t.fits")
    assert {w.message.args[0].split("'")[1] for w in caught} == {"list", "TUNIT1"}
    assert xr.open_dataset(tmp_path / "t.fits", engine="fits").attrs["OK"] == 1


def test_types_that_fits_has_no_form_for(tmp_path):
    for column in (pa.array([["a"]], pa.list_(pa.string())), pa.array([1], pa.timestamp("s")), pa.array([{"a": 1}])):
        with pytest.raises(errors.UnsupportedFeature, match="column 'x'"):
            scichunk.write_fits_table(pa.table({"x": column}), tmp_path / "t.fits")
    with pytest.raises(TypeError, match="expected a Dataset"):
        scichunk.write_fits_table([1, 2], tmp_path / "t.fits")
    with pytest.raises(TypeError, match="share their first dimension"):
        scichunk.write_fits_table(xr.Dataset({"x": ("a", [1]), "y": ("b", [1, 2])}), tmp_path / "t.fits")
    assert os.listdir(tmp_path) == []


def test_failures_leave_nothing_behind(original, tmp_path):
    target = tmp_path / "sub"
    target.mkdir()
    frame = scichunk.read_fits_table(original, blocksize=400)

    def fail(part):
        if part.index[0] > 20:
            raise RuntimeError("halfway")
        return part

    with pytest.raises(RuntimeError, match="halfway"):
        scichunk.write_fits_table(frame.map_partitions(fail, meta=frame._meta), target / "t.fits")
    assert os.listdir(target) == []
    with pytest.raises(errors.SourceError, match="exists already"):
        scichunk.write_fits_table(frame, original)
    scichunk.write_fits_table(frame, original, overwrite=True)  # although it is read while it is written
    assert len(scichunk.read_fits_table(original).compute()) == 50
    with pytest.raises(errors.SourceError, match="cannot be written"):
        scichunk.write_fits_table(pa.table({"x": [1]}), tmp_path / "none" / "t.fits")


def test_frames_of_others(tmp_path):
    plain = pd.DataFrame({"a": [1, 2, 3], "b": [1.5, np.nan, 2], "c": ["x", "yy", None], "d": [True, False, True]})
    plain.index.name = "id"
    for number, frame in enumerate((plain, dd.from_pandas(plain, npartitions=2))):
        path = tmp_path / f"{number}.fits"
        scichunk.write_fits_table(frame, path)
        found = back(path).to_pydict()
        assert found.pop("id") == [0, 1, 2]
        np.testing.assert_array_equal(np.array(found.pop("b"), float), [1.5, np.nan, 2])
        assert found == {"a": [1, 2, 3], "c": ["x", "yy", ""], "d": [True, False, True]}
    scichunk.write_fits_table(plain.iloc[:0], tmp_path / "empty.fits")
    assert len(back(tmp_path / "empty.fits")) == 0
    verify(tmp_path / "empty.fits")


def test_rows_are_written_as_they_come(tmp_path):
    """A hundred million bytes of rows do not go through memory at once."""
    import tracemalloc

    n, parts = 100_000, 20

    def part(i):
        return pd.DataFrame(
            {"x": pd.array(np.arange(n), "int64[pyarrow]"), "y": pd.array(np.ones(n), "double[pyarrow]")}
        )

    frame = dd.from_map(part, range(parts))
    tracemalloc.start()
    scichunk.write_fits_table(frame, tmp_path / "t.fits")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (tmp_path / "t.fits").stat().st_size > 16 * n * parts
    assert peak < 16 * n * parts / 2


def test_threads_write_different_files(original, tmp_path):
    wrong = []

    def work(i):
        path = tmp_path / f"{i}.fits"
        scichunk.write_fits_table(scichunk.read_fits_table(original, columns=["c1", "c5"]).compute(), path)
        if len(scichunk.read_fits_table(path).compute(scheduler="synchronous")) != 50:
            wrong.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


# ---- QTable


@pytest.mark.parametrize("kind", ["dask", "pandas", "dataset", "arrow"])
def test_qtables(original, kind):
    frame = scichunk.read_fits_table(original)
    obj = {
        "dask": lambda: frame,
        "pandas": frame.compute,
        "dataset": lambda: xr.open_dataset(original, engine="fits"),
        "arrow": lambda: pa.Table.from_pandas(frame.compute()),
    }[kind]()
    found = scichunk.to_qtable(obj)
    assert isinstance(found, QTable)
    assert found.colnames == [f"c{i}" for i in range(1, 11)]
    assert len(found) == 50
    nulls = frame.c1.compute().isna().to_numpy()
    assert nulls.any()
    assert (np.asarray(found["c1"].mask) == nulls).all()
    if kind != "arrow":
        assert found["c1"].unit == units.km / units.s
        assert found["c1"].info.description == "speed"
        assert found["c1"].info.meta["ucd"] == "phys.veloc"
        assert found["c1"].to("m/s")[~nulls][0].value % 1000 == 0
    assert found["c3"].shape == (50, 2)
    assert found["c9"].dtype == "c8"
    assert found["c6"].shape == (50, 2)
    assert found["c4"].dtype == object
    if kind == "dataset":
        assert found.meta["OBSERVER"] == "O'Neill"


def test_qtables_keep_units_that_astropy_does_not_know(tmp_path):
    scichunk.write_fits_table(xr.Dataset({"x": ("row", [1.0, 2], {"units": "furlongs"})}), tmp_path / "t.fits")
    found = scichunk.to_qtable(scichunk.read_fits_table(tmp_path / "t.fits"))
    assert str(found["x"].unit) == "furlongs"
    assert np.asarray(found["x"]).tolist() == [1, 2]


@pytest.mark.parametrize("write", ["write_fits_table", "write_votable"])
def test_a_table_without_columns(tmp_path, write):
    fits.BinTableHDU().writeto(tmp_path / "in.fits")
    with xr.open_dataset(tmp_path / "in.fits", engine="fits", hdu=1) as ds:
        assert len(scichunk.to_qtable(ds).colnames) == 0
        getattr(scichunk, write)(ds, tmp_path / "out")
    with xr.open_dataset(tmp_path / "out", engine="scichunk") as back:
        assert not back.variables


def test_times_say_what_helps(tmp_path):
    fits.BinTableHDU.from_columns([fits.Column("t", "D", unit="s since 2000-01-01", array=[1.0, 2.5])]).writeto(
        tmp_path / "in.fits"
    )
    with xr.open_dataset(tmp_path / "in.fits", engine="fits", hdu=1) as ds:
        assert ds.t.dtype.kind == "M"
        with pytest.raises(errors.UnsupportedFeature, match=r"column 't' .*decode_times=False"):
            scichunk.write_fits_table(ds, tmp_path / "out.fits")
    with xr.open_dataset(tmp_path / "in.fits", engine="fits", hdu=1, decode_times=False) as ds:
        scichunk.write_fits_table(ds, tmp_path / "out.fits")
    assert fits.getheader(tmp_path / "out.fits", 1)["TUNIT1"] == "s since 2000-01-01"
    assert fits.getdata(tmp_path / "out.fits", 1)["t"].tolist() == [1.0, 2.5]


WORLD = {
    "TCTYP2": "RA---TAN", "TCTYP3": "DEC--TAN", "TCRVL2": 10.0, "TCTY2A": "GLON-TAN", "TCNA2": "detector", "TP2_3": 0.1, "TPC3_2": 0.2,
    "TCD2_2A": 0.3, "TC3_3": 0.4, "TV2_1": 5.0, "TPV2_1A": 6.0, "LONP2": 170.0, "RADE2": "FK5", "EQUI3A": 1975.0, "MJDOB4": 5e4,
    "TRPOS4": "GEOCENTER", "1CTYP5": "RA---TAN", "2CRP5A": 3.0, "11CD5": 0.7, "12PC5B": 0.8, "1V5_1": 3.5, "2PV5_1": 4.5, "WCAX5": 2,
    "OBSGX4": 1e6,
}  # fmt: skip
NUMBERS = {
    "TCTYP2": (2,), "TCTYP3": (3,), "TCRVL2": (2,), "TCTY2A": (2,), "TCNA2": (2,), "TP2_3": (2, 3), "TPC3_2": (3, 2),
    "TCD2_2A": (2, 2), "TC3_3": (3, 3), "TV2_1": (2,), "TPV2_1A": (2,), "LONP2": (2,), "RADE2": (2,), "EQUI3A": (3,), "MJDOB4": (4,),
    "TRPOS4": (4,), "1CTYP5": (5,), "2CRP5A": (5,), "11CD5": (5,), "12PC5B": (5,), "1V5_1": (5,), "2PV5_1": (5,), "WCAX5": (5,), "OBSGX4": (4,),
}  # fmt: skip
"""Numbers of columns in each of them (FITS 4.0, table 22)."""


def with_numbers(key, numbers):
    """A keyword with other numbers of columns, those of the axes and of parameters as they are."""
    if len(numbers) == 2:
        stem, alternate = key.rstrip("AB_0123456789"), key[len(key.rstrip("AB")) :]
        return f"{stem}{numbers[0]}_{numbers[1]}{alternate}"
    behind = key.index("_") if "_" in key else len(key.rstrip("AB"))
    return key[:behind].rstrip("0123456789") + str(numbers[0]) + key[behind:]


@pytest.fixture
def events(tmp_path):
    columns = [fits.Column("N", "J", array=np.arange(3))]
    columns += [fits.Column(n, "D", array=np.arange(3.0)) for n in ("X", "Y/2", "T")]
    columns += [fits.Column("STAMP", "6E", dim="(3,2)", array=np.arange(18.0).reshape(3, 2, 3))]
    hdu = fits.BinTableHDU.from_columns(columns, name="EVENTS")
    hdu.header.update(WORLD)
    hdu.writeto(tmp_path / "events.fits")
    return tmp_path / "events.fits"


@pytest.mark.parametrize("kind", ["frame", "dataset", "netcdf"])
@pytest.mark.parametrize("order", [[1, 2, 3, 4, 5], [2, 3, 4, 5], [5, 4, 3, 2, 1], [3, 5, 1], [1, 2, 5]])
def test_world_coordinates_of_columns_follow_them(events, tmp_path, kind, order):
    """The numbers of columns in keywords are those of the columns that are written, wherever they stand in the keyword."""
    if kind == "frame":
        read = scichunk.read_fits_table(events)
        read = read[[read.columns[n - 1] for n in order]]
    else:
        read = xr.open_dataset(events, engine="fits", hdu=1)
        read = read[[list(read)[n - 1] for n in order]]
    if kind == "netcdf":
        read.to_netcdf(tmp_path / "events.nc")
        read = xr.open_dataset(tmp_path / "events.nc").load()
        read.close()
    scichunk.write_fits_table(read, tmp_path / "out.fits")
    place = {old: new for new, old in enumerate(order, 1)}
    wanted = {
        with_numbers(key, [place[n] for n in NUMBERS[key]]): value
        for key, value in WORLD.items()
        if all(n in place for n in NUMBERS[key])
    }
    header = fits.getheader(tmp_path / "out.fits", 1)
    plain = {*fits.BinTableHDU.from_columns([fits.Column("x", "D")]).header, "EXTNAME", "TTYPE1", "TFORM1", "NAXIS1"}
    found = {k: v for k, v in header.items() if k not in plain and not k.startswith(("TTYPE", "TFORM", "TDIM"))}
    assert found == wanted


@pytest.mark.parametrize("blocksize", [None, 1000])
def test_rows_that_were_chosen_are_written(tmp_path, blocksize):
    """A frame that was filtered by a logical column of its own, in one partition and in several."""
    keep = np.arange(500) % 3 == 0
    columns = [fits.Column("KEEP", "L", array=keep), fits.Column("N", "J", array=np.arange(500), unit="ct")]
    fits.BinTableHDU.from_columns(columns).writeto(tmp_path / "in.fits")
    frame = scichunk.read_fits_table(tmp_path / "in.fits", blocksize=blocksize)
    chosen = frame[frame.KEEP]
    scichunk.write_fits_table(chosen, tmp_path / "out.fits")
    scichunk.write_votable(chosen, tmp_path / "out.vot")
    for written in (scichunk.read_fits_table(tmp_path / "out.fits"), scichunk.read_votable(tmp_path / "out.vot")):
        assert written.N.compute().tolist() == np.arange(500)[keep].tolist()
        assert scichunk.columns(written).units == {"N": "ct"}


CARDS = {"NAME": "M 31", "CLASS": "galaxy", "FLUXCAL": True, "CLIPPED": False, "HUGE": 2**70, "GAIN": 1.5, "LIMIT_": 3}


@pytest.mark.parametrize("kind", ["frame", "dataset", "netcdf"])
def test_cards_keep_their_names_and_types(tmp_path, kind):
    """Attributes of datasets have other names and types where netCDF has no place for those of the cards."""
    hdu = fits.BinTableHDU.from_columns([fits.Column("N", "J", array=np.arange(3))])
    hdu.header.update(CARDS)
    hdu.writeto(tmp_path / "in.fits")
    read = (
        scichunk.read_fits_table(tmp_path / "in.fits")
        if kind == "frame"
        else xr.open_dataset(tmp_path / "in.fits", engine="fits", hdu=1)
    )
    if kind == "netcdf":
        read.to_netcdf(tmp_path / "in.nc")
        read = xr.open_dataset(tmp_path / "in.nc").load()
        read.close()
    scichunk.write_fits_table(read, tmp_path / "out.fits")
    header = fits.getheader(tmp_path / "out.fits", 1)
    found = {k: v for k, v in header.items() if k not in {*fits.BinTableHDU().header, "TTYPE1", "TFORM1"}}
    assert found == CARDS
    assert [type(found[k]) for k in CARDS] == [type(v) for v in CARDS.values()]


def test_changed_attributes_of_other_names_and_types_win(tmp_path):
    hdu = fits.BinTableHDU.from_columns([fits.Column("N", "J", array=np.arange(3))])
    hdu.header.update(CARDS)
    hdu.writeto(tmp_path / "in.fits")
    read = xr.open_dataset(tmp_path / "in.fits", engine="fits", hdu=1)
    read.attrs.update(NAME_="M 32", FLUXCAL=0, HUGE=1, NEW_=2)
    scichunk.write_fits_table(read, tmp_path / "out.fits")
    header = fits.getheader(tmp_path / "out.fits", 1)
    assert {k: header.get(k) for k in ("NAME", "NAME_", "FLUXCAL", "HUGE", "NEW_")} == {
        "NAME": "M 32",
        "NAME_": None,
        "FLUXCAL": False,
        "HUGE": 1,
        "NEW_": 2,
    }
    assert header["FLUXCAL"] is False


@pytest.mark.parametrize("kind", ["dask", "pandas", "arrow"])
def test_rows_without_columns(tmp_path, kind):
    fits.BinTableHDU.from_columns([], nrows=70_000).writeto(tmp_path / "a.fits")
    frame = scichunk.read_fits_table(tmp_path / "a.fits")
    rows = {
        "dask": frame,
        "pandas": pd.DataFrame(index=range(70_000)),
        "arrow": pa.RecordBatch.from_struct_array(pa.nulls(70_000, pa.struct([]))),
    }[kind]
    scichunk.write_fits_table(rows, tmp_path / "b.fits")
    assert fits.getheader(tmp_path / "b.fits", 1)["NAXIS2"] == 70_000
    assert len(scichunk.read_fits_table(tmp_path / "b.fits").compute()) == 70_000


def test_one_long_text_makes_all_rows_wide_and_not_all_of_them_at_once(tmp_path):
    import tracemalloc

    n, width = 4000, 20_000
    table = pa.table({"x": np.arange(n), "text": ["a"] * (n - 1) + ["b" * width]})
    tracemalloc.start()
    scichunk.write_fits_table(table, tmp_path / "t.fits")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (tmp_path / "t.fits").stat().st_size > n * width
    assert peak < n * width
    found = scichunk.read_fits_table(tmp_path / "t.fits", blocksize="8 MiB")
    assert found.x.compute().tolist() == list(range(n))
    assert found.text.str.len().compute().tolist() == [1] * (n - 1) + [width]

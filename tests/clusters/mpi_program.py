"""What the tests of MPI run: rank 0 schedules, rank 1 is this program, the rest are workers. The argument is a folder of files."""

import sys
from pathlib import Path

from dask_mpi import initialize
from distributed import Client

import scichunk

if __name__ == "__main__":
    initialize(nthreads=1, dashboard=False, interface="lo")
    folder = Path(sys.argv[1])
    with Client() as client:
        client.wait_for_workers(2, timeout=60)
        images = scichunk.from_geotiffs(sorted(folder.glob("image_*.tif")), headers="first")
        cube = scichunk.from_fits(folder / "cube.fits")
        rice = scichunk.from_fits(folder / "rice.fits", hdu="RICE")
        table = scichunk.read_votable(folder / "stars.vot", blocksize="100kB")
        found = [len(client.scheduler_info()["workers"]), int(images.sum(dtype="u8").compute())]
        found += [int(cube.sum().compute()), int(rice.sum().compute()), int(table.id.sum().compute())]
        print("found", *found, flush=True)

"""What would be submitted to schedulers that are not here: the scripts of PBS, SGE and LSF, line by line."""

import pytest

import scichunk

COMMON = {
    "cores": 4,
    "processes": 2,
    "memory": "16GB",
    "walltime": "02:00",
    "interface": "lo",
    "python": "python",
    "scheduler_options": {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"},
}
COMMAND = (
    "python -m distributed.cli.dask_worker tcp://<scheduler>:8786 --name <name> --nthreads 2 --memory-limit 7.45GiB --nworkers 2 "
    "--nanny --death-timeout 60 --resources pool-{pool}=1 --interface lo"
)
SCRIPTS = {
    "PBSCluster": (
        "#PBS ",
        ["-N dask-worker", "-q {queue}", "-l select=1:ncpus=4:mem=15GB", "-l walltime=02:00"],
        "-l ngpus=1",
    ),
    "SGECluster": ("#$ ", ["-N dask-worker", "-q {queue}", "-l h_rt=02:00", "-cwd", "-j y"], "-l gpu=1"),
    "LSFCluster": (
        "#BSUB ",
        ["-J dask-worker", "-q {queue}", "-n 4", '-R "span[hosts=1]"', "-M 16000000", "-W 02:00"],
        '-gpu "num=1"',
    ),
}
"""How lines for the scheduler begin, what they say, and the line that asks for a GPU."""


@pytest.mark.parametrize("name", SCRIPTS)
def test_job_scripts(name):
    jobqueue = pytest.importorskip("dask_jobqueue")
    before, lines, gpu = SCRIPTS[name]
    big = {"queue": "gpu", "job_extra_directives": [gpu]}
    with scichunk.cluster.Pools(getattr(jobqueue, name), common=COMMON, io={"queue": "short"}, big=big) as cluster:
        for pool, queue, more in (("io", "short", []), ("big", "gpu", [gpu])):
            script = cluster.job_script(pool).splitlines()
            wanted = [line.format(queue=queue) for line in lines] + more
            assert [line.removeprefix(before) for line in script if line.startswith(before)] == wanted
            assert [line.strip() for line in script if "dask_worker" in line] == [COMMAND.format(pool=pool)]
        assert cluster.job_script() == cluster.job_script("io")

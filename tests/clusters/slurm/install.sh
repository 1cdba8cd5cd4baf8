#!/bin/sh
# Installs SLURM, MUNGE and Open MPI from Debian's packages. Where that cannot be done it says why and ends well: the tests then skip.
set -u
if command -v slurmctld >/dev/null && command -v slurmd >/dev/null && command -v munged >/dev/null && command -v mpirun >/dev/null; then
    exit 0
fi
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "tests/clusters: SLURM and Open MPI are not installed, and only root can install them with apt-get" >&2
    exit 0
fi
export DEBIAN_FRONTEND=noninteractive
# the packages start no service: a policy of Debian that forbids it, for as long as they are installed
policy=/usr/sbin/policy-rc.d
[ -e "$policy" ] || { printf '#!/bin/sh\nexit 101\n' > "$policy"; chmod +x "$policy"; trap 'rm -f "$policy"' EXIT; }
{ timeout 120 apt-get update -qq &&
  timeout 400 apt-get install -y -qq --no-install-recommends slurmctld slurmd slurm-client munge openmpi-bin libopenmpi-dev
} >/dev/null 2>&1 || echo "tests/clusters: apt-get could not install SLURM and Open MPI" >&2
exit 0

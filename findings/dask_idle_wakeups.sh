#!/usr/bin/env bash
# Dask (dask and distributed 2026.8.0): a local cluster that has nothing to do does not sleep. Each worker wakes up about a
# hundred times a second, and so does the process with the scheduler and the nannies: a tick every 20 ms in each server,
# to see whether the loop is late, and a sample of the running functions every 10 ms in each worker, for a dashboard that
# need not be looked at. Two settings bring it to a tenth, and to a quarter.
#
# Seen on 2026-11-28 on Linux: beside two computations that use all of two cores, the loops took 22 % of a core. With the
# settings, and a look at the memory every 10 s in place of 0.5, they took 4 %.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "dask==2026.8.0" "distributed==2026.8.0"
cat > "$work/idle.py" <<'PYTHON'
import os
import sys
import time
from pathlib import Path

import dask
from distributed import Client, LocalCluster

SECONDS = 10
FEWER = {"distributed.worker.profile.enabled": False, "distributed.admin.tick.interval": "1s"}


def wakeups(pid):
    """How often the threads of a process have gone to sleep so far."""
    status = [(thread / "status").read_text() for thread in Path(f"/proc/{pid}/task").iterdir()]
    return sum(int(text.split("\nvoluntary_ctxt_switches:")[1].split()[0]) for text in status)


if __name__ == "__main__":
    with dask.config.set(FEWER if "fewer" in sys.argv else {}):
        with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster:
            with Client(cluster) as client:
                worker = next(iter(client.run(os.getpid).values()))
                time.sleep(5)  # until all is started
                before = [wakeups(pid) for pid in (worker, os.getpid())]
                time.sleep(SECONDS)
                after = [wakeups(pid) for pid in (worker, os.getpid())]
    print(*((b - a) // SECONDS for a, b in zip(before, after)))
PYTHON
for settings in usual fewer; do
    read -r worker scheduler <<< "$("$work/venv/bin/python" "$work/idle.py" "$settings" 2> "$work/log")"
    echo "wake-ups a second, $settings settings: a worker $worker, the process with the scheduler and two nannies $scheduler"
    eval "worker_$settings=$worker scheduler_$settings=$scheduler"
done
[ "$worker_usual" -ge 60 ]
[ "$scheduler_usual" -ge 60 ]
[ "$worker_usual" -ge $((4 * worker_fewer)) ]
[ "$scheduler_usual" -ge $((3 * scheduler_fewer)) ]
echo "as seen"

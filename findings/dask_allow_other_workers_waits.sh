#!/usr/bin/env bash
# Dask (dask and distributed 2026.8.0): a task submitted with workers=[A], allow_other_workers=True waits for ever on an
# idle cluster if no worker was connected when the scheduler had to place it: because A had left before, or died with the
# task in its queue. Another worker that joins gets every task but this one. If the other worker is there when A dies, it
# gets the task.
#
# Seen on 2026-11-28. By the docstring of Client.submit the task may run on workers outside of workers= then; a sweep
# hung, on a cluster whose last worker was replaced by another one.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "dask==2026.8.0" "distributed==2026.8.0"
cat > "$work/places.py" <<'PYTHON'
import asyncio
import time

from distributed import Client, Scheduler, Worker


async def ends(task, seconds=5):
    try:
        return f"its result is {await asyncio.wait_for(task.result(), seconds)}"
    except asyncio.TimeoutError:
        return "no result"


async def case(title, b_joins_before_a_dies, a_is_gone_at_first):
    async with Scheduler(port=0, dashboard_address=":0") as scheduler:
        async with Client(scheduler.address, asynchronous=True) as client:
            a, b = await Worker(scheduler.address, nthreads=1), None
            preferred = {"workers": [a.address], "allow_other_workers": True, "pure": False}
            if not a_is_gone_at_first:
                client.submit(time.sleep, 2, workers=[a.address], pure=False, key="keeps A busy")
                await asyncio.sleep(0.5)
                task = client.submit(lambda: 42, **preferred)
                await asyncio.sleep(0.5)
            if b_joins_before_a_dies:
                b = await Worker(scheduler.address, nthreads=1)
            await a.close()
            while a.address in scheduler.workers:
                await asyncio.sleep(0.05)
            if a_is_gone_at_first:
                task = client.submit(lambda: 42, **preferred)
                await asyncio.sleep(0.5)
            b = b or await Worker(scheduler.address, nthreads=1)
            other = client.submit(lambda: 7, pure=False)
            print(f"{title}: {await ends(task)}, state {scheduler.tasks[task.key].state};", end=" ")
            print(f"a task without a preference: {await ends(other)}")
            await b.close()


if __name__ == "__main__":
    for words in (
        ("A dies with the task in its queue, B is there", True, False),
        ("A dies with the task in its queue, B joins later", False, False),
        ("A has left before, B joins later", False, True),
    ):
        asyncio.run(case(*words))
PYTHON
"$work/venv/bin/python" "$work/places.py" 2> "$work/log" | tee "$work/seen"
diff "$work/seen" - <<'SEEN'
A dies with the task in its queue, B is there: its result is 42, state memory; a task without a preference: its result is 7
A dies with the task in its queue, B joins later: no result, state no-worker; a task without a preference: its result is 7
A has left before, B joins later: no result, state no-worker; a task without a preference: its result is 7
SEEN
echo "as seen"

#!/usr/bin/env bash
# Dask (dask and distributed 2026.8.0): that a future is done says nothing of the next moment. Where the worker that holds
# the result ends, result() neither gives what there was nor raises (KilledWorker, CancelledError). If another worker may
# do the task, it is done once more, with its side effects, and its result may be another one. If the task was submitted
# with workers=[A], the future is "lost", done() is False again, and result() without a timeout waits until A is back: on
# a cluster that lives on, for ever. So a loop of wait(..., return_when="FIRST_COMPLETED") and result() can hang between
# the two.
#
# Seen on 2026-11-29, and before in a sweep of ours whose worker was killed at that moment: once in 17 kills. That Dask
# does lost tasks again is documented; that done() is taken back is not: its docstring says nothing of it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "dask==2026.8.0" "distributed==2026.8.0"
cat > "$work/done.py" <<'PYTHON'
import asyncio
import time

from distributed import Client, Scheduler, Worker


async def result(task, before, seconds=5):
    try:
        after = await asyncio.wait_for(task.result(), seconds)
    except asyncio.TimeoutError:
        return f"result() gives nothing in {seconds} s"
    return f"result() gives {'the same' if after == before else 'another value'}"


async def case(title, **where):
    async with Scheduler(port=0, dashboard_address=":0") as scheduler:
        async with Client(scheduler.address, asynchronous=True) as client:
            a = await Worker(scheduler.address, nthreads=1, name="A")
            task = client.submit(time.monotonic_ns, pure=False, **where)
            value = await task.result()
            before = task.status, task.done()
            b = await Worker(scheduler.address, nthreads=1, name="B")
            await a.close()
            while a.address in scheduler.workers:
                await asyncio.sleep(0.05)
            after = await result(task, value)
            then = task.status, task.done(), scheduler.tasks[task.key].state
            print(f"{title}: {before}; A ends, and {after}: {then}")
            await b.close()


if __name__ == "__main__":
    asyncio.run(case("anywhere"))
    asyncio.run(case("A if possible", workers=["A"], allow_other_workers=True))
    asyncio.run(case("A", workers=["A"]))
PYTHON
"$work/venv/bin/python" "$work/done.py" 2> "$work/log" | tee "$work/seen"
diff "$work/seen" - <<'SEEN' || { cat "$work/log"; exit 1; }
anywhere: ('finished', True); A ends, and result() gives another value: ('finished', True, 'memory')
A if possible: ('finished', True); A ends, and result() gives another value: ('finished', True, 'memory')
A: ('finished', True); A ends, and result() gives nothing in 5 s: ('lost', False, 'no-worker')
SEEN
echo "as seen"

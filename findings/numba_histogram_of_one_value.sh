#!/usr/bin/env bash
# Numba 0.68.1: np.histogram, in a compiled function, counts nothing of numbers that are all alike; its median
# of an array with NaN depends on the order.
#
#   Where all numbers are the same, NumPy puts the bins from half below it to half above, and all numbers into the middle
#   one. Numba's bins have no width then, and every count is 0: of seven numbers none is counted. NumPy raises ValueError
#   for an array with NaN, and Numba counts the others. The median of an array with NaN is NaN in NumPy. In Numba it is NaN
#   or a number, by the order in which the same numbers stand.
#
# Seen on 2026-11-29.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "numpy==2.4.6" "numba==0.68.1"
"$work/venv/bin/python" - <<'PYTHON' | tee "$work/seen"
import itertools

import numba
import numpy as np

histogram, median = numba.njit(lambda x: np.histogram(x, 4)), numba.njit(lambda x: np.median(x))
same = np.full(7, 2.0)
for name, (counts, edges) in (("NumPy", np.histogram(same, 4)), ("Numba", histogram(same))):
    print(name, counts.tolist(), edges.tolist())
orders = [np.array(order) for order in itertools.permutations([1.0, 2.0, 4.0, np.nan])]
print("counts of 1, 2, 4 and NaN, in all orders:", sorted({tuple(histogram(order)[0].tolist()) for order in orders}))
print("their median:", sorted({str(median(order)) for order in orders}))
try:
    np.histogram(orders[0], 4)
except ValueError as error:
    print("NumPy:", error)
print("NumPy's median:", {str(np.median(order)) for order in orders})
PYTHON
diff "$work/seen" - <<'SEEN'
NumPy [0, 0, 7, 0] [1.5, 1.75, 2.0, 2.25, 2.5]
Numba [0, 0, 0, 0] [2.0, 2.0, 2.0, 2.0, 2.0]
counts of 1, 2, 4 and NaN, in all orders: [(1, 1, 0, 1)]
their median: ['3.0', 'nan']
NumPy: autodetected range of [nan, nan] is not finite
NumPy's median: {'nan'}
SEEN
echo "as seen"

#!/usr/bin/env bash
# mygrad 2.5.0: the norms of order infinity and minus infinity raise AttributeError where gradients are switched off.
# - With gradients they are right, and so are their gradients. Within no_autodiff, as a context or a decorator, they
#   raise; norms of other orders do not.
# - So a function that trains cannot be evaluated as the documentation of no_autodiff has it, nor be checked by finite
#   differences in that mode.
# The documentation of norm lists both orders. No issue on it was found.
#
# Seen on 2026-11-29.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "numpy==2.4.6" "mygrad==2.5.0"
"$work/venv/bin/python" - <<'PYTHON' 2> "$work/warnings" | tee "$work/seen"
import mygrad as mg
import numpy as np

for order in (1, 2, 3, -1, np.inf, -np.inf):
    x = mg.tensor([3.0, -4.0, 1.0])
    mg.linalg.norm(x, ord=order).backward()
    shown = [round(float(value), 3) + 0.0 for value in x.grad]
    try:
        with mg.no_autodiff:
            without = f"{float(np.asarray(mg.linalg.norm(x, ord=order))):.3f}"
    except AttributeError as error:
        without = f"AttributeError: {error}"
    print(f"order {order}: gradient {shown}; without gradients {without}")
PYTHON
diff "$work/seen" - <<'SEEN' || { cat "$work/warnings"; exit 1; }
order 1: gradient [1.0, -1.0, 1.0]; without gradients 8.000
order 2: gradient [0.588, -0.784, 0.196]; without gradients 5.099
order 3: gradient [0.442, -0.785, 0.049]; without gradients 4.514
order -1: gradient [0.044, -0.025, 0.399]; without gradients 0.632
order inf: gradient [0.0, -1.0, 0.0]; without gradients AttributeError: 'NoneType' object has no attribute 'variables'
order -inf: gradient [0.0, 0.0, 1.0]; without gradients AttributeError: 'NoneType' object has no attribute 'variables'
SEEN
echo "as seen"

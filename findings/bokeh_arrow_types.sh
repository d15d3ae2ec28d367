#!/usr/bin/env bash
# Bokeh 3.9.2: the types of Arrow name other properties than Arrow has.
#
# Bokeh ships types (.pyi) beside its models. For the line of an Arrow they say body_line_color, body_line_width and so on.
# The model has line_color and line_width. So mypy 2.4.0 refuses the call that works, and accepts the one that raises
# AttributeError when it is run; the message of mypy even advises the wrong name. Setting the properties by
# `arrow.update(line_color=...)` is both accepted and right.
#
# Seen on 2026-11-27.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "bokeh==3.9.2" "mypy==2.4.0"
cd "$work"
cat > works.py <<'PYTHON'
from bokeh.models.annotations import Arrow

Arrow(line_color="red")
PYTHON
cat > raises.py <<'PYTHON'
from bokeh.models.annotations import Arrow

Arrow(body_line_color="red")
PYTHON
{
    for file in works raises; do
        "$work/venv/bin/python" $file.py > /dev/null 2>&1 && echo "$file.py: runs" || echo "$file.py: raises"
        "$work/venv/bin/mypy" $file.py > types 2>&1 && echo "$file.py: mypy accepts it" || echo "$file.py: mypy refuses it"
        grep -o 'Unexpected keyword.*"?' types || true
    done
} | tee seen
diff - seen <<'SEEN'
works.py: runs
works.py: mypy refuses it
Unexpected keyword argument "line_color" for "Arrow"; did you mean "body_line_color"?
raises.py: raises
raises.py: mypy accepts it
SEEN

#!/usr/bin/env bash
# Make a virtual environment with the pinned versions of constraints.txt and the project in it.
# Without a GPU torch's CPU build is taken where it can be had: uv knows where each build is published; where that place
# cannot be reached, pip takes what its own configuration offers.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=${1:-.venv}
python=${PYTHON:-python3.11}
command -v "$python" >/dev/null || python=python3
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "setup: Python 3.11 or newer is needed; name one: make setup PYTHON=python3.12" >&2
    exit 1
}
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
pip="$venv/bin/python -m pip install --quiet --disable-pip-version-check"
torch=$(grep '^torch==' constraints.txt)
if ! "$venv/bin/python" -c 'import torch' 2>/dev/null; then
    echo "setup: installing $torch and the rest into $venv (some minutes, 1 GB)"
    if [ "$(uname -s)" = Linux ] && ! command -v nvidia-smi >/dev/null; then
        $pip uv
        "$venv/bin/uv" pip install --quiet --python "$venv/bin/python" --torch-backend cpu "$torch" 2>/dev/null || {
            echo "setup: the place of torch's CPU builds cannot be reached; taking $torch as pip is configured"
            $pip "$torch"
        }
    else
        $pip "$torch"
    fi
fi
$pip --constraint constraints.txt --editable '.[dev]'

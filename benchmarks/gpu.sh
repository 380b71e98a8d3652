#!/usr/bin/env bash
# Everything about lanes on one GPU within 8 minutes, with what is installed: python, torch, NumPy, this project.
#
#     benchmarks/gpu.sh [--out DIR] [--data FOLDER] [--only mlp,memory]
#     benchmarks/gpu.sh --device cpu --small        # tries it out where there is no GPU
#
# The figures go to DIR (by default $OUT, else build/gpu): gpu.md to read, gpu.json with every single run.
# Exit code: 0, 1 if a part failed (the others are measured all the same), 2 for a mistake or no GPU.
set -euo pipefail
OUT="$(realpath -m "${OUT:-build/gpu}")"
export OUT PYTHONUNBUFFERED=1
here="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
export PYTHONPATH="$here${PYTHONPATH:+:$PYTHONPATH}"
if [ -z "${PYTHON:-}" ]; then
    PYTHON=python3
    if command -v python >/dev/null; then PYTHON=python; fi
fi
exec "$PYTHON" -m benchmarks.gpu "$@"

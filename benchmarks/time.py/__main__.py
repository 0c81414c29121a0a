"""Runs instants.py as benchmarks/time.py.

This is a folder, because a module `time` beside the other benchmarks would hide Python's own from the type checks.
"""

import runpy
import sys
from pathlib import Path

if __name__ == "__main__":
    benchmarks = Path(__file__).resolve().parent.parent
    sys.path[0] = str(benchmarks)
    runpy.run_path(str(benchmarks / "instants.py"), run_name="__main__")

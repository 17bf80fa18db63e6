"""How long a study of all methods, three budgets and three seeds on German takes.

    python -m benchmarks.study_speed [--workers 2]

Writes `benchmarks/numbers/study_speed.json`: seconds on the wall, and CPU seconds of this process and its workers.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

from cfq_core.study.plan import read_plan
from cfq_core.study.runner import run_plan
from cfq_core.study.store import Store

OUT = Path(__file__).parent / "numbers" / "study_speed.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    plan = read_plan({"datasets": ["german"], "methods": "all", "bits": [2, 3, 4], "seeds": 3}, "study_speed")
    with tempfile.TemporaryDirectory() as folder:
        wall = time.perf_counter()
        store = Store(folder)
        study = run_plan(plan, store, given.workers)
        wall = time.perf_counter() - wall
        runs = store.study(study)["finished"]
        store.close()
    cpu = time.process_time() + _of_the_server()
    load = os.getloadavg()[0]
    found = {"runs": runs, "workers": given.workers, "cores": os.cpu_count(), "wall": wall, "cpu": cpu, "load": load}
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print(OUT.read_text(encoding="utf-8"))


def _of_the_server() -> float:
    """CPU seconds of the server that workers are forked from, and of the workers that ended."""
    mine = [p for p in Path("/proc").glob("[0-9]*") if _fields(p)[1:2] == [str(os.getpid())]]
    ticks = sum(int(t) for p in mine for t in _fields(p)[11:15])  # user, system, and those of children that ended
    return ticks / os.sysconf("SC_CLK_TCK")


def _fields(process: Path) -> list[str]:
    """What stands behind the name in /proc/PID/stat; nothing of a process that has just ended."""
    try:
        return (process / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


if __name__ == "__main__":
    main()

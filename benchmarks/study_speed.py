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
    used = os.times()
    cpu = used.user + used.system + used.children_user + used.children_system
    load = os.getloadavg()[0]
    found = {"runs": runs, "workers": given.workers, "cores": os.cpu_count(), "wall": wall, "cpu": cpu, "load": load}
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print(OUT.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()

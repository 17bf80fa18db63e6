"""What a store holds that nothing names: files of writes that were killed, artifacts without a row, jobs long ended."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cfq_core.study import jobs
from cfq_core.study.store import Store

YOUNG = 3600.0  # seconds: younger files may be of a write that goes on
DAY = 86_400.0


@dataclass(frozen=True)
class Leftover:
    """A file or folder that may go."""

    path: Path
    why: str
    size: int  # bytes


def leftovers(store: Store, days: float) -> Iterator[Leftover]:
    """Everything that may go; ``days``: how long ended jobs stay."""
    now = time.time()
    named = {store.folder / str(r["path"]) for r in store.db.execute("SELECT path FROM artifact")}
    for path in sorted(store.folder.rglob("*")):
        if path.is_symlink() or not path.is_file() or now - path.stat().st_mtime < YOUNG:
            continue
        if path.suffix == ".part":
            yield Leftover(path, "half written", path.stat().st_size)
        elif path.is_relative_to(store.folder / "artifacts") and path not in named:
            yield Leftover(path, "no run or teacher names it", path.stat().st_size)
    for status in sorted((store.folder / jobs.FOLDER).glob(f"*/{jobs.STATUS}")):
        job = jobs.read(status.parent)
        if not job.live and now - (job.ended or job.created) > days * DAY:
            size = sum(p.stat().st_size for p in status.parent.rglob("*") if p.is_file())
            yield Leftover(status.parent, f"{job.state} over {days:g} days ago", size)


def remove(found: Leftover) -> None:
    """Take it away; what is gone already is no error."""
    if found.path.is_dir():
        shutil.rmtree(found.path, ignore_errors=True)
    else:
        found.path.unlink(missing_ok=True)

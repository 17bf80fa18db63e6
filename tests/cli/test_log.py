"""The log of who audited or ran which file when: nothing is lost, and nothing is changed without a word."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from cfq_core import cli
from cfq_core.base import logbook
from cfq_core.base.errors import CfqError
from cfq_core.base.shipped import shipped
from cfq_core.base.whole import SystemRefused

Lines = list[bytes]


def written(store: Path, count: int = 5) -> Lines:
    """A log of some events."""
    for i in range(count):
        logbook.append(store, logbook.AUDIT, f"user {i}", {"audit": str(i)}, {"a.onnx": "0" * 64})
    return (store / logbook.FILE).read_bytes().splitlines(keepends=True)


#: What somebody does to a log whose lines are these.
CHANGES: dict[str, Callable[[Lines], Lines]] = {
    "the first is deleted": lambda n: n[1:],
    "one is deleted": lambda n: [*n[:2], *n[3:]],
    "the last is deleted": lambda n: n[:-1],
    "all are deleted": lambda n: [],
    "one is edited": lambda n: [*n[:2], n[2].replace(b"user 2", b"user 9"), *n[3:]],
    "the last is edited": lambda n: [*n[:-1], n[-1].replace(b"user 4", b"user 9")],
    "two change places": lambda n: [n[0], n[2], n[1], *n[3:]],
    "one stands twice": lambda n: [*n[:3], n[2], *n[3:]],
    "one is made up": lambda n: [*n, n[-1].replace(b"user 4", b"user 9")],
    "one is cut": lambda n: [*n[:2], n[2][:30] + b"\n", *n[3:]],
    "the last line's end is gone": lambda n: [*n[:-1], n[-1][:-5]],
}


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_is_done_to_a_line_shows_and_goes_on_showing(change: str, tmp_path: Path) -> None:
    lines = written(tmp_path)
    assert not logbook.problems(tmp_path)
    (tmp_path / logbook.FILE).write_bytes(b"".join(CHANGES[change](lines)))
    assert logbook.problems(tmp_path)
    logbook.append(tmp_path, logbook.AUDIT)
    assert logbook.problems(tmp_path), "a further event covers nothing"


def test_an_event_after_a_crash_between_line_and_head_follows_on(tmp_path: Path) -> None:
    written(tmp_path, 3)
    head = (tmp_path / logbook.HEAD).read_bytes()
    written(tmp_path, 1)
    (tmp_path / logbook.HEAD).write_bytes(head)
    written(tmp_path, 1)
    assert not logbook.problems(tmp_path) and len(logbook.events(tmp_path)) == 5


def test_two_processes_lose_no_event(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from cfq_core.base import logbook\n"
        "for i in range(200): logbook.append(Path(sys.argv[1]), logbook.AUDIT, sys.argv[2], {'audit': str(i)})"
    )
    both = [subprocess.Popen([sys.executable, "-c", program, str(tmp_path), who]) for who in ("ann", "ben")]
    assert [p.wait(120) for p in both] == [0, 0]
    found = [(e["user"], e["ids"]["audit"]) for e in logbook.events(tmp_path)]
    assert sorted(found) == sorted((who, str(i)) for who in ("ann", "ben") for i in range(200))
    assert not logbook.problems(tmp_path)


@pytest.mark.parametrize("at", ["the line", "the head"])
def test_a_full_disk_is_one_line_and_leaves_no_half(at: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = b"".join(written(tmp_path, 2))

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def half(log: int, content: bytes) -> int:
        return write(log, content[:10]) if content.startswith(b"{") else full()

    write = os.write
    with monkeypatch.context() as m:
        if at == "the line":
            m.setattr(logbook.os, "write", half)
        else:
            m.setattr(logbook, "write_whole", full)
        with pytest.raises(SystemRefused, match="the disk is full") as refused:
            logbook.append(tmp_path, logbook.AUDIT)
    assert "\n" not in refused.value.line()
    assert (tmp_path / logbook.FILE).read_bytes() == before and not logbook.problems(tmp_path)
    assert len(written(tmp_path, 1)) == 3 and not logbook.problems(tmp_path)


def test_log_prints_exports_and_verifies(tmp_path: Path) -> None:
    logbook.append(tmp_path, logbook.UPLOAD, "=cmd|' /C calc'!A0\x1b[31m", files={"a.csv": "1" * 64})
    logbook.append(tmp_path, logbook.STUDY, "ann", {"plan": "p1"})
    run = lambda *said: CliRunner().invoke(cli.cli, ["log", "--store", str(tmp_path), *said])  # noqa: E731
    printed = run().output
    assert "\x1b" not in printed and len(printed.splitlines()) == 2 and "study started  plan p1" in printed
    assert run("--verify").output.startswith("2 events, ") and logbook.digest(tmp_path) in run("--verify").output
    assert [e["user"] for e in json.loads(run("--json").output)["events"]][1] == "ann"
    assert not run("--csv", str(tmp_path / "log.csv")).output
    exported = (tmp_path / "log.csv").read_text()
    assert exported.startswith("n,at,user,action,ids,files,before") and ",'=cmd" in exported.replace('"', "")
    (tmp_path / logbook.FILE).write_bytes(b"")
    refused = run("--verify").exception
    assert isinstance(refused, CfqError) and "the last 2 of 2 events are missing" in str(refused)


def test_a_run_is_logged_with_the_sha256_of_card_and_table(tmp_path: Path) -> None:
    cards = shipped("cards")
    said = ["run", "--dataset", str(cards / "example.toml"), "--bits", "8", "--seeds", "1", "--hidden", "4"]
    ran = CliRunner().invoke(cli.cli, [*said, "--people", "5", "--workers", "0", "--store", str(tmp_path / "s")])
    assert ran.exit_code == 0, ran.output
    (event,) = logbook.events(tmp_path / "s")
    assert event["action"] == logbook.STUDY and event["user"] == logbook.NOT_NAMED
    sha256 = {n: hashlib.sha256((cards / n).read_bytes()).hexdigest() for n in ("example.toml", "example.csv")}
    assert event["files"] == sha256 and event["ids"]["plan"]

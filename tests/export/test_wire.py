"""A file that unfolds is refused before it does, also where no process can be limited; an honest one is read."""

from __future__ import annotations

import io
import json
import resource
import sys
import time
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper

from cfq_core.datasets.card import read_card
from cfq_core.export.audit import AuditOptions, audit_pair
from cfq_core.models import verify, wire, worker
from cfq_core.models.limits import limited
from cfq_core.models.provenance import BadModel
from cfq_core.models.read import MOST_NAMES, MOST_NODES, MOST_STRINGS, parse_model
from cfq_core.models.runtime import Running
from cfq_core.tables.encode import Encoding

from .conftest import CARD
from .made import graph, network

LIMITS = {"nodes": MOST_NODES, "names": MOST_NAMES, "strings": MOST_STRINGS, "graphs": 1}


def nested(*path: int, content: bytes = b"", times: int = 1) -> bytes:
    """A protobuf message in a message, as a path of field numbers; the innermost stands there so many times."""
    out = _field(path[-1], content) * times
    for number in reversed(path[:-1]):
        out = _field(number, out)
    return out


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


BOMBS = {
    "nodes": (nested(7, 1, times=9_000_000), "more than 5000 nodes"),
    "inputs of a node": (nested(7, 1, 1, times=4_000_000), "more than 200000 names"),
    "attributes": (nested(7, 1, 5, times=4_000_000), "more than 200000 names"),
    "tensors": (nested(7, 5, times=4_000_000), "more than 200000 names"),
    "tensors of an attribute": (nested(7, 1, 5, 10, times=4_000_000), "more than 200000 names"),
    "strings of an attribute": (nested(7, 1, 5, 9, times=4_000_000), "more than 1000000 strings"),
    "places of outer data": (nested(7, 5, 13, times=4_000_000), "more than 200000 names"),
    "dimensions": (nested(7, 11, 2, 1, 2, 1, times=4_000_000), "more than 200000 names"),
    "types of types": (nested(7, 11, 2, *(4, 1) * 20, 5), "nested too deeply"),
    "metadata": (nested(14, times=4_000_000), "more than 200000 names"),
    "operator sets": (nested(8, times=4_000_000), "more than 200000 names"),
    "annotations": (nested(7, 14, 2, times=4_000_000), "more than 200000 names"),
    "functions": (nested(25, 7, times=4_000_000), "functions of its own"),
    "training": (nested(20, 1, 1, times=4_000_000), "functions of its own"),
    "graphs of an attribute": (nested(7, 1, 5, 6, 1, times=4_000_000), "a graph of its own"),
    "sparse": (nested(7, 15, 1, times=4_000_000), "sparse tensors"),
    "devices": (nested(7, 1, 10, 2, times=4_000_000), "device configurations"),
    "unknown": (_varint(99 << 3) * 2 * 9_000_000, "more than 2000000 fields"),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_what_unfolds_to_gigabytes_is_refused_in_a_line_and_costs_no_memory(kind: str) -> None:
    content, said = BOMBS[kind]
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with pytest.raises(BadModel, match=said):
        parse_model(content, "a.onnx")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000, "KiB"
    assert time.process_time() - began < 10


def test_honest_files_are_as_large_as_they_were() -> None:
    """A forest of half a million splits: its numbers stand one by one in the file."""
    count = 500_000
    whole, real = np.arange(count).tolist(), np.linspace(-1, 1, count).tolist()
    forest = helper.make_node(
        "TreeEnsembleRegressor", ["x"], ["y"], domain="ai.onnx.ml", nodes_nodeids=whole, nodes_values=real,
        nodes_truenodeids=whole, nodes_falsenodeids=whole, target_weights=real,
    )  # fmt: skip
    began = time.process_time()
    wire.check(graph([forest], {}, 3), LIMITS)
    assert time.process_time() - began < 5
    assert parse_model(graph([forest], {}, 3), "f.onnx").width == 3
    tensor = helper.make_tensor("W", onnx.TensorProto.INT8, (1000, 1000), np.zeros(10**6, int).tolist())
    made = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [], [], [tensor])
    wire.check(helper.make_model(made).SerializeToString(), LIMITS)


@given(edits=st.lists(st.tuples(st.integers(0, 10**4), st.integers(0, 255)), max_size=6), cut=st.integers(0, 10**4))
def test_any_edited_file_is_counted_or_refused_and_never_fails(edits: list[tuple[int, int]], cut: int) -> None:
    content = bytearray(network(6))
    for place, value in edits:
        content[place % len(content)] = value
    try:
        wire.check(bytes(content[: len(content) - cut % 50]), LIMITS)
    except wire.Refused as problem:
        assert str(problem)


# ---------------------------------------------------------------------- where a system sets no limits
class NoLimits(SimpleNamespace):
    """`resource` as macOS has it: a limit of address space cannot be set."""

    RLIMIT_AS, RLIMIT_CPU, RLIMIT_FSIZE = 1, 2, 3

    def setrlimit(self, what: int, most: tuple[int, int]) -> None:
        if what == self.RLIMIT_AS:
            raise ValueError("current limit exceeds maximum limit")


@pytest.mark.parametrize("stand_in", [None, NoLimits()], ids=["no module", "no limit of memory"])
def test_without_limits_a_model_is_run_and_what_is_missing_is_told(
    stand_in: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "resource", stand_in)
    missing = ["memory", "processor time", "files"] if stand_in is None else ["memory"]
    assert limited(1, 1) == tuple(missing)
    verify.limit()
    feeds = [{"name": "x", "kind": "float32", "start": 0, "stop": 6, "flat": False, "words": []}]
    given, told = io.BytesIO(), io.BytesIO()
    worker.send(given, worker.ROWS, network(6))
    worker.send(given, worker.ROWS, json.dumps({"feeds": feeds, "output": "y", "batch": None}).encode())
    worker.send(given, worker.ROWS, np.zeros((2, 6)).tobytes())
    given.seek(0)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=given))
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=told))
    worker.main()
    told.seek(0)
    assert worker.receive(told) == (worker.DONE, json.dumps(missing).encode())
    kind, answer = worker.receive(told)
    assert kind == worker.DONE and len(np.frombuffer(answer)) == 2


def test_a_limit_that_is_missing_is_told_in_the_audit(monkeypatch: pytest.MonkeyPatch) -> None:
    entered = Running.__enter__

    def without(self: Running) -> Running:
        entered(self)
        assert self.unlimited == (), "here there are all limits"
        self.unlimited = ("memory",)
        return self

    monkeypatch.setattr(Running, "__enter__", without)
    table = read_card(CARD)
    file = parse_model(network(Encoding.fit(table.schema, table.values).width), "n.onnx")
    said = AuditOptions(people=10, n_reaudited=2, favourable="high", output="logit", layout="standardised")
    assert any("ran without a limit of memory" in note for note in audit_pair(table, file, file, said).notes)

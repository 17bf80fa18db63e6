"""An audited file that is run again exactly as it was read, and is not parsed again: its bytes, and what was found.

A store keeps it of a file that is no list of layers, in place of weights. Whoever asks it needs neither onnx nor torch:
a process with limits runs it, as when it was audited. `Awake` keeps such processes up between questions. Numbers are
kept as JSON writes them, which gives each float back bit for bit.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import asdict, dataclass, field, replace
from threading import Lock, Timer
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from cfq_core.base.errors import BadStore
from cfq_core.models.columns import Block, Columns
from cfq_core.models.runtime import Computing
from cfq_core.models.scale import Scale
from cfq_core.tables.encode import Encoding, Values
from cfq_core.tables.schema import Schema

if TYPE_CHECKING:
    from cfq_core.models.reading import Reading

SECONDS = 30.0  # that one question may take, or the start of the process
MOST = 4  # processes that stay up: two audits
IDLE = 600.0  # seconds after which one that nobody asked ends; the next question starts it anew


@dataclass(frozen=True)
class Rerun:
    """All of a `Reading` but the file as it was parsed, and the process that computed it."""

    name: str  # of the file, for messages
    content: bytes  # as onnxruntime was given it
    door: Mapping[str, Any]  # what its process is told of it: see `worker.computing`
    columns: Columns
    scale: Scale

    @classmethod
    def of(cls, reading: Reading) -> Rerun:
        """That of an audit."""
        return cls(reading.file.name, reading.file.content, reading.running.door, reading.columns, reading.scale)

    def arrays(self) -> dict[str, np.ndarray]:
        """As a store keeps it."""
        encoding = self.columns.encoding
        read = {
            "name": self.name, "door": self.door, "scale": asdict(self.scale), "layout": self.columns.layout,
            "blocks": [asdict(b) for b in self.columns.blocks], "mean": encoding.mean, "std": encoding.std,
            "log": [f.log for f in encoding.schema.features],
        }  # fmt: skip
        text = json.dumps(read, allow_nan=False, default=lambda number: number.item())
        return {"content": np.frombuffer(self.content, np.uint8), "read": np.frombuffer(text.encode(), np.uint8)}

    @staticmethod
    def stored(arrays: Mapping[str, np.ndarray], schema: Schema) -> Rerun:
        """Back again, for people of the table it was audited on; raises `BadStore`."""
        try:
            read = json.loads(arrays["read"].tobytes())
            features = tuple(replace(f, log=log) for f, log in zip(schema.features, read["log"], strict=True))
            encoding = Encoding(replace(schema, features=features), tuple(read["mean"]), tuple(read["std"]))
            columns = Columns(read["layout"], encoding, tuple(Block(**b) for b in read["blocks"]))
            return Rerun(read["name"], arrays["content"].tobytes(), read["door"], columns, Scale(**read["scale"]))
        except (LookupError, ValueError, TypeError, AttributeError) as problem:
            raise BadStore(f"how an audited file was read cannot be read ({type(problem).__name__})") from None

    def logits(self, running: Computing, values: Values) -> Float[np.ndarray, "n"]:
        """Above 0 is approved; raises `BadModel`."""
        return self.scale.logits(running.outputs(self.columns.make(values)), self.name)


@dataclass
class _Process:
    """One file, and the process that computes it while it is up."""

    file: Rerun
    lock: Lock = field(default_factory=Lock)  # one question at a time
    running: Computing | None = None
    end: Timer | None = None

    def logits(self, values: Values) -> Float[np.ndarray, "n"]:
        with self.lock:
            self._begin()
            try:
                assert self.running is not None
                self.running.left = SECONDS
                return self.file.logits(self.running, values)
            except BaseException:  # it may be in the middle of an answer: the next question gets another process
                self._end()
                raise

    def close(self) -> None:
        with self.lock:
            self._end()

    def _begin(self) -> None:
        if self.running is None:
            self.running = Computing(self.file.name, self.file.content, self.file.door, SECONDS).__enter__()
        if self.end is not None:
            self.end.cancel()
        self.end = Timer(IDLE, self.close)
        self.end.daemon = True
        self.end.start()

    def _end(self) -> None:
        if self.end is not None:
            self.end.cancel()
        if self.running is not None:
            self.running.close()
        self.running = self.end = None


class Awake:
    """The files that were asked last, each in a process that stays up until nobody asked for a while."""

    def __init__(self, most: int = MOST) -> None:
        """``most``: of them at once; the one that was asked longest ago ends first."""
        self.most, self._lock, self._each = most, Lock(), OrderedDict[Hashable, _Process]()

    def logits(self, key: Hashable, load: Callable[[], Rerun], values: Values) -> Float[np.ndarray, "n"]:
        """Of people in exact integer form; ``load`` is called where the file of this key is not known (any more)."""
        with self._lock:
            one = self._each.get(key)
            if one is None:
                one = self._each[key] = _Process(load())
            self._each.move_to_end(key)
            over = [self._each.popitem(last=False)[1] for _ in range(len(self._each) - self.most)]
        for each in over:
            each.close()
        return one.logits(values)

    def close(self) -> None:
        """End all of them."""
        with self._lock:
            each, self._each = list(self._each.values()), OrderedDict()
        for one in each:
            one.close()

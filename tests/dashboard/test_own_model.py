"""A model of somebody's own on the page Study: it becomes the one teacher of the plan, or is refused in a line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from streamlit.testing.v1 import AppTest

from cfq_core.study import jobs
from cfq_core.study.plan import TeacherFile, read_plan


class _Started:
    id = "started"


def _linear() -> bytes:
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", w]) for n, w in (("x", 10), ("y", 1))]
    held = [numpy_helper.from_array(np.ones((10, 1), np.float32), "W")]
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "W"], ["y"])], "g", ends[:1], ends[1:], held)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8).SerializeToString()


def test_an_uploaded_model_is_the_teacher_of_the_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, open_page: Callable[..., AppTest]
) -> None:
    monkeypatch.setenv("CFQ_STORE", str(tmp_path / "store"))
    started: list[dict[str, Any]] = []

    def submit(store: Path, given: dict[str, Any]) -> Any:
        started.append(dict(given))
        return _Started()

    monkeypatch.setattr(jobs, "submit", submit)
    at = open_page("study")
    at.file_uploader(key="own-model-file").upload("model.onnx", b"import os")
    at.run()
    assert any("not an ONNX file" in e.value for e in at.error)
    at.file_uploader(key="own-model-file").upload("model.onnx", _linear())
    at.text_input(key="own-model-favourable").set_value("low")
    at.run()
    assert any("one teacher" in c.value for c in at.caption)
    at.button(key="run").click().run()
    plan = read_plan(started[0], "page")
    assert isinstance(plan.teacher, TeacherFile) and plan.teacher.favourable == "low"
    assert Path(plan.teacher.path).read_bytes() == _linear()
    assert str(tmp_path) in plan.teacher.path and "hidden" not in started[0]

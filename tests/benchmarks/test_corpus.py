"""What is published of the corpus is what its judge found, and the judge knows nothing of the package it judges."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import numpy as np
import pandas as pd
from onnx import TensorProto, helper, numpy_helper

from benchmarks import corpus
from benchmarks.corpus import judge

FOUND = json.loads(corpus.OUT.read_text(encoding="utf-8"))


def test_no_answer_is_silently_wrong_and_nearly_every_teacher_is_read() -> None:
    assert not [p["pair"] for p in FOUND["pairs"] if p["outcome"] == "silent wrong answer"]
    assert all("\n" not in p["refusal"].strip() for p in FOUND["pairs"])
    told = [p for p in FOUND["pairs"] if p["must_refuse"]]
    assert told and all(p["outcome"] == "refused" and not p["wrong"] for p in told)
    meant = [t for t in FOUND["teachers"] if not t["must_refuse"]]
    assert len(FOUND["teachers"]) >= corpus.TEACHERS and len(FOUND["pairs"]) >= corpus.PAIRS
    assert sum(t["audited"] for t in meant) >= corpus.READ * len(meant)
    assert "**no**" not in corpus.section()


def test_the_judge_imports_nothing_of_the_package() -> None:
    tree = ast.parse(Path(judge.__file__).read_text(encoding="utf-8"))
    names = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    names |= {n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    assert {n.split(".")[0] for n in names} == {
        "__future__",
        "json",
        "sys",
        "pathlib",
        "typing",
        "numpy",
        "onnxruntime",
        "pandas",
    }


def test_the_judge_finds_a_wrong_answer(tmp_path: Path) -> None:
    people = pd.DataFrame({
        "income": [10, 30], "debt": [0.5, 0.5], "years": [1, 1], "education": ["school", "school"],
        "housing": ["own", "own"], "purpose": ["car", "car"], "age": [30, 30], "status": ["defaulted", "repaid"],
        "part": ["test", "test"],
    })  # fmt: skip
    people.to_csv(tmp_path / "people.csv", index=False)
    for name, cut in (("t", 20.0), ("s", 25.0)):
        node = helper.make_node("Sub", ["x", "c"], ["y"])
        ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", 1]) for n in "xy"]
        graph = helper.make_graph([node], "g", ends[:1], ends[1:], [numpy_helper.from_array(np.float32([cut]), "c")])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
        (tmp_path / f"{name}.onnx").write_bytes(model.SerializeToString())
    column = {"feature": "income", "level": "", "mean": 0.0, "std": 1.0, "word": False}
    truth = {
        "inputs": [{"name": "x", "columns": [column], "kind": "float32"}], "output": "y", "good": 0, "bad": None,
        "cut": 0.0, "sign": 1.0, "at_cut": False, "batch": None, "levels": {"education": ["school"]},
    }  # fmt: skip
    before = people.iloc[0, :7].to_dict()
    person = {"row": 2, "before": before, "after": before | {"income": 22}, "holds": False, "approved_without": False}
    side = {"approval_rate": 0.5, "accuracy": 1.0}
    found = {"rows": 2, "teacher": side, "student": side, "per_person": [person], "measures": {"vd": 1.0}}
    answer = {
        "pair": "t | s", "card": "whole", "teacher": "t.onnx", "student": "s.onnx", "teacher_truth": truth,
        "student_truth": truth, "found": found,
    }  # fmt: skip
    assert judge.judged(tmp_path, answer)["wrong"] == []
    person |= {"holds": True}
    assert judge.judged(tmp_path, answer)["wrong"] == ["1 of 1 promises hold otherwise than told"]
    person |= {"holds": False, "after": before | {"income": 15}}
    assert "refused by the teacher itself" in judge.judged(tmp_path, answer)["wrong"][0]
    person |= {"after": before | {"income": 22, "age": 31}}
    assert "age" in judge.judged(tmp_path, answer)["wrong"][0]

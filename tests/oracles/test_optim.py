"""Our optimizer against torch's own, and what it is for."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from cfq_core.nets.optim import Adam


@pytest.mark.parametrize("decoupled", [False, True], ids=["Adam", "AdamW"])
def test_steps_equal_torch_bit_for_bit(decoupled: bool) -> None:
    theirs = torch.optim.AdamW if decoupled else torch.optim.Adam
    kinds = [
        lambda p: theirs(p, lr=0.01, weight_decay=0.1, fused=True),
        lambda p: Adam(p, lr=0.01, weight_decay=0.1, decoupled_weight_decay=decoupled, fused=True),
    ]
    ends = []
    for make in kinds:
        weights = [torch.linspace(-1, 1, 35).reshape(5, 7).requires_grad_(), torch.ones(3, requires_grad=True)]
        optimizer = make(weights)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.01, total_steps=21)
        for _ in range(20):
            optimizer.zero_grad()
            sum(((w - 0.3) ** 4).sum() for w in weights).backward()  # type: ignore[union-attr]
            optimizer.step()
            schedule.step()
        assert all(w.requires_grad and w.is_leaf for w in weights)
        ends.append([w.detach().clone() for w in weights])
    assert all(torch.equal(a, b) for a, b in zip(*ends, strict=True))
    assert not torch.equal(ends[0][1], torch.ones(3)), "nothing was trained"


@pytest.mark.parametrize(("what", "compiler"), [("torch.optim", True), ("cfq_core.nets.optim", False)])
def test_training_never_imports_torchs_compiler(what: str, compiler: bool) -> None:
    program = f"""
import sys, torch, {what}
w = torch.ones(3, requires_grad=True)
optimizer = {what}.Adam([w], fused=True)
w.sum().backward(); optimizer.step(); optimizer.zero_grad()
print("torch._dynamo" in sys.modules)
"""
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == str(compiler), "torch no longer needs cfq_core.nets.optim" if compiler else ""

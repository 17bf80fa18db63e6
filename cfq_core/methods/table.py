"""Every method, a line each: the allocator of bits, the calibration of steps, and what is trained on which losses.

Algorithms of their own stand beside it: `adaround.py`, `approval_matched.py`.
"""

from __future__ import annotations

from cfq_core.allocators.hessian_trace import HessianTrace
from cfq_core.allocators.learned import Learned
from cfq_core.allocators.loss_sensitivity import LossSensitivity
from cfq_core.allocators.measured import Measured
from cfq_core.allocators.random import Random
from cfq_core.allocators.recourse_sensitivity import RecourseSensitivity
from cfq_core.allocators.uniform import Uniform
from cfq_core.methods.adaround import AdaRoundPtq
from cfq_core.methods.approval_matched import ApprovalMatchedQat
from cfq_core.methods.method import Ptq, Qat
from cfq_core.quant.adaround import AdaRound
from cfq_core.quant.calibrate import Calibration
from cfq_core.training.finetune import QatConfig, Schedule
from cfq_core.training.losses import Weights

MSE = Calibration("mse", "mse")


def _short(rate: float, small: float) -> Schedule:
    """A third of the steps; the rate for tables of many rows, and for those of few."""
    return Schedule(epochs=20, most_steps=1000, learning_rate=rate, small_learning_rate=small)


# Losses and schedules of the methods that are not ours were chosen by benchmarks/tune.py on validation people, with
# as many trials for each of them; a test holds this file to what it chose.

#: QAT on the task alone.
TASK, TASK_SCHEDULE = QatConfig(), _short(2e-3, 2e-4)
#: Distillation: the teacher's logits in place of outcomes, those near the boundary most.
DISTILL, DISTILL_SCHEDULE = QatConfig(Weights(task=0.0, distill=1.0, focus=0.9)), _short(5e-3, 2e-3)
#: PACT, its clips held by lambda = 1e-4.
PACT, PACT_SCHEDULE = QatConfig(steps="pact", clip_decay=1e-4), _short(1e-3, 1e-3)
#: CF-PTQ: only steps and clips are fitted.
FITTED = QatConfig(Weights(task=0.0, distill=0.5, segment=0.5, endpoint=1.0, focus=0.9), weights=False, step_rate=5.0)
FITTED_SCHEDULE = _short(1e-3, 5e-3)
#: The paper's CFQ: the student approves at x + sg(delta). No shorter or slower schedule was better.
OUTCOME = QatConfig(Weights(task=1.0, outcome=2.0, outcome_margin=0.5))
#: Ours: the teacher's logit is matched along every recourse segment, from both sides, and once more where the student
#: says less than the teacher at a recourse point, or more of somebody it denies. Learned from promises of several
#: sources (`pipeline.FURTHER`), so that it holds what anybody told. Each change by itself: benchmarks/ablation.py.
ANCHORED = QatConfig(Weights(task=0.0, distill=0.5, segment=0.5, endpoint=1.0, focus=0.9, under=4.0, over=1.0))
ANCHORED_SCHEDULE = Schedule(pairs_per_step=512)

LSQ = Qat("QAT (LSQ)", Uniform(), TASK, TASK_SCHEDULE)
CFQ = Qat("CFQ (paper)", Learned(OUTCOME), OUTCOME)

PARTS: dict[str, Ptq | Qat | AdaRoundPtq | ApprovalMatchedQat] = {
    "adaround": AdaRoundPtq(
        allocator=Uniform(), rounding=AdaRound(learning_rate=3e-2),
        about="Post-training quantization whose weights are rounded up or down by what keeps each layer's outputs "
        "(AdaRound)."
    ),
    "cf_ptq": Qat(
        "CF-PTQ", Uniform(), FITTED, FITTED_SCHEDULE,
        about="CF-PTQ: uniform bits, steps and clips fitted on factual and recourse points, backbone frozen.",
    ),
    "cf_ptq_alloc": Qat(
        "CF-PTQ + recourse allocation", RecourseSensitivity(), FITTED, FITTED_SCHEDULE,
        about="CF-PTQ with bits by recourse sensitivity.",
    ),
    "cf_ptq_measured": Qat(
        "CF-PTQ, measured bits", Measured(), FITTED, FITTED_SCHEDULE,
        about="CF-PTQ with the bits of ptq_measured.",
    ),
    "cfq": Qat(
        "CFQ (paper)", Learned(OUTCOME), OUTCOME,
        about="CFQ as the paper describes it: task loss plus the target outcome at x + sg(delta), bits learned under "
        "the budget.",
    ),
    "cfq_anchored": Qat(
        "anchored CFQ", RecourseSensitivity(), ANCHORED, ANCHORED_SCHEDULE, several_sources=True,
        about="Anchored CFQ (ours): the teacher's logit is matched along every recourse segment, on promises of "
        "several sources.",
    ),
    "ptq": Ptq(
        "PTQ (MSE)", Uniform(), MSE,
        about="Post-training quantization: uniform bits, steps of least squared error.",
    ),
    "ptq_hawq": Ptq(
        "mixed PTQ (HAWQ)", HessianTrace(), MSE,
        about="Mixed-precision PTQ: bits by HAWQ-V2 (mean Hessian trace times squared weight error).",
    ),
    "ptq_measured": Ptq(
        "mixed PTQ (measured)", Measured(), MSE,
        about="Mixed-precision PTQ: the bits that keep most promises of training people without moving approvals, all "
        "plans judged as deployed (ours).",
    ),
    "ptq_minmax": Ptq(
        "PTQ (min-max)", Uniform(), Calibration("min-max", "min-max"),
        about="Post-training quantization: uniform bits, steps that never clip (min-max).",
    ),
    "ptq_mixed": Ptq(
        "mixed PTQ (loss)", LossSensitivity(), MSE,
        about="Mixed-precision PTQ: bits by factual loss sensitivity.",
    ),
    "ptq_percentile": Ptq(
        "PTQ (percentile)", Uniform(), Calibration("percentile", "percentile"),
        about="Post-training quantization: uniform bits, steps that clip the largest thousandth of the sizes "
        "(percentile).",
    ),
    "ptq_random": Ptq(
        "PTQ (random bits)", Random(), MSE,
        about="A control: PTQ with bits drawn at random under the budget.",
    ),
    "ptq_recourse": Ptq(
        "mixed PTQ (recourse)", RecourseSensitivity(), MSE,
        about="Mixed-precision PTQ: bits by recourse sensitivity, steps as in PTQ; what allocation alone gives.",
    ),
    "ptq_shift": Ptq(
        "PTQ + logit shift", Uniform(), MSE, correct_shift=True,
        about="A control: PTQ plus one scalar logit correction, fitted on training rows.",
    ),
    "qat_distill": Qat(
        "QAT + distillation", Uniform(), DISTILL, DISTILL_SCHEDULE,
        about="QAT (LSQ) on the teacher's logits at factual rows, those near the boundary most.",
    ),
    "qat_lenient": ApprovalMatchedQat(
        LSQ, CFQ,
        about="A control: QAT (LSQ), its threshold lowered until it approves as many validation people as CFQ does.",
    ),
    "qat_lsq": Qat(
        "QAT (LSQ)", Uniform(), TASK, TASK_SCHEDULE,
        about="Quantization-aware training with learned steps (LSQ), uniform bits, task loss.",
    ),
    "qat_mixed": Qat(
        "mixed QAT (loss)", LossSensitivity(), TASK, TASK_SCHEDULE,
        about="Mixed-precision QAT (LSQ): bits by factual loss sensitivity, task loss.",
    ),
    "qat_pact": Qat(
        "QAT (PACT)", Uniform(), PACT, PACT_SCHEDULE,
        about="Quantization-aware training with learned clips (PACT) and SAWB weights, uniform bits, task loss.",
    ),
}  # fmt: skip

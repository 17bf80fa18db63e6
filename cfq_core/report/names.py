"""Plain names of methods, for readers who do not know the codes. The code always stands beside the name."""

from __future__ import annotations

from cfq_core.base import plugins

#: What was done to the model, in words; a method that is not listed goes by its own title.
PLAIN = {
    "ptq": "rounding only",
    "ptq_minmax": "rounding only, full range",
    "ptq_percentile": "rounding only, outliers cut",
    "ptq_mixed": "rounding, bits where accuracy needs them",
    "ptq_hawq": "rounding, bits by curvature (HAWQ)",
    "ptq_recourse": "rounding, bits where promises need them",
    "ptq_random": "rounding, bits at random",
    "ptq_shift": "rounding, cut-off moved",
    "ptq_measured": "rounding, best of all bit plans tried",
    "adaround": "rounding up or down as fits best (AdaRound)",
    "cf_ptq": "rounding, tuned on promises",
    "cf_ptq_alloc": "rounding and bits, tuned on promises",
    "cf_ptq_measured": "rounding tuned on promises, best plan",
    "qat_lsq": "retrained for accuracy (LSQ)",
    "qat_mixed": "retrained for accuracy, mixed bits",
    "qat_pact": "retrained for accuracy (PACT)",
    "qat_distill": "retrained to copy the original",
    "qat_lenient": "retrained to approve more (a warning)",
    "cfq": "trained on promises (paper)",
    "cfq_anchored": "trained on promises (ours)",
    "teacher": "original model (FP32)",
    "file": "the deployed file",
}


def plain(method: str) -> str:
    """``rounding only``; the method's own title where there is no plainer one; the code where it is unknown."""
    if method in PLAIN:
        return PLAIN[method]
    if method not in plugins.names("methods"):
        return method
    return str(getattr(plugins.load("methods", method), "title", method))


def both(method: str) -> str:
    """The plain name with the code: ``rounding only (ptq)``."""
    name = plain(method)
    return name if name == method else f"{name} ({method})"

"""CF-PTQ with bits by recourse sensitivity."""

from __future__ import annotations

from cfq_core.allocators.recourse_sensitivity import RecourseSensitivity
from cfq_core.methods.cf_ptq import FITTED
from cfq_core.methods.method import Trained

PLUGIN = Trained("CF-PTQ + recourse allocation", RecourseSensitivity(), FITTED)

"""Sentences of other populations: the same models on people elsewhere, and on people none of whom were in training."""

from __future__ import annotations

from cfq_core.report import fmt
from cfq_core.report.charts import shifts, unseen
from cfq_core.report.compared import Asked, ends, seeds
from cfq_core.report.frames import Stored


def elsewhere(study: Stored, asked: Asked) -> str:
    """What each student breaks where it was audited, and in the population where it breaks most."""
    rows = shifts.rows(study, asked.dataset, asked.budget, asked.matched)
    if rows.empty or not (rows.series == shifts.PLAIN).any():
        return f"Too few people of {asked.dataset} have recourse at {fmt.bits(asked.budget)} to judge shifts by."
    whole = rows[rows.series == shifts.PLAIN]
    shifted = shifts.rows(study, asked.dataset, asked.budget, asked.matched, "approval_shift")
    parts = []
    for method, line in rows.groupby("method", sort=False):
        plain = line[line.series == shifts.PLAIN].iloc[0]
        worst = line[line.seeds == plain.seeds].sort_values("mean").iloc[-1]  # of those that every teacher has
        of_method = shifted[shifted.method == method].set_index("label")["mean"]
        more = " and ".join(fmt.points(of_method[x.label]) for x in (plain, worst))
        parts.append(f"with {method} {ends([plain, worst])} ({worst.label}), at {more} approvals")
    how = ", judged at the teacher's approval rate on its own validation people" if asked.matched else ""
    return (
        f"On {asked.dataset} at {fmt.bits(asked.budget)}, promised actions that fail as audited and in the "
        f"population that is worst of {rows.label.nunique() - 1}{how}: {'; '.join(parts)} ({seeds(whole)}). The worst "
        "of many is partly chance: see all of them."
    )


def never_seen(study: Stored, asked: Asked) -> str:
    """What each student breaks among people like those in training, among the others, and had these been in it too."""
    rows = unseen.rows(study, asked.dataset, asked.budget, asked.matched)
    if rows.empty or not (rows["where"] == unseen.NEVER).any():
        return f"Too few people of {asked.dataset} have recourse at {fmt.bits(asked.budget)} to judge by."
    shifted = unseen.rows(study, asked.dataset, asked.budget, asked.matched, "approval_shift")
    shift = {(r["slice"], r["where"], r.method): r["mean"] for _, r in shifted.iterrows()}
    parts = []
    for name, of_slice in rows.groupby("slice", sort=False):
        each = []
        for method, line in of_slice.groupby("method", sort=False):
            two = [r for _, r in line.iterrows()]
            more = ", ".join(fmt.points(shift[name, r["where"], method]) for r in two)
            each.append(f"with {method} {ends(two)}, at {more} approvals")
        people = " → ".join(dict.fromkeys(of_slice.label))
        parts.append(
            f"On {str(name).partition(':')[0]} at {fmt.bits(asked.budget)}, promised actions that fail, {people}: "
            f"{'; '.join(each)}"
        )
    how = " Judged at the teacher's approval rate on its own validation people." if asked.matched else ""
    return f"{'. '.join(parts)} ({seeds(rows)}).{how}"

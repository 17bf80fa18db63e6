"""Principal reasons: what, of all that a denied person may change, decides the shipped model's answer about them.

A reason is a feature that alone, moved as the card allows this person, turns the denial into an approval; the least
change comes first, in the card's cost units. Where no feature alone does, a small set is found greedily (the feature
that lifts the logit most, until approved), cut back until every member is needed, and made cheaper. Whole numbers over
a wide range are tried at `SPREAD` values and then halved towards the person's own: the change told is verified, that
none is smaller is not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int

from cfq_core.actions.action_set import ActionSet
from cfq_core.evidence import approved
from cfq_core.tables.encode import Values

MOST = 4  # reasons told of one person
SPREAD = 128  # values of a number tried where its range holds more
AT_ONCE = 200_000  # points judged together
HALVINGS = 40  # of a change, towards the person's own value: enough for any range of whole numbers

Judge = Callable[[Values], Float[np.ndarray, "n"]]  # logits of a model for people in exact integer form
Kind = Literal["alone", "together", "none"]


@dataclass(frozen=True)
class Reason:
    """One feature of a person's reasons, and the change of it that was tried."""

    feature: int  # its place in the schema
    name: str
    words: str  # the card's
    own: int  # grid count or level
    to: int
    line: str  # "monthly income: 900 EUR -> 1,200 EUR"
    cost: float  # of this change alone, in scale units


@dataclass(frozen=True)
class Reasons:
    """Why one person is denied."""

    person: int  # position among the test rows
    before: tuple[int, ...]
    logit: float  # as they are
    kind: Kind  # each alone changes the decision; all of them together; nothing that was tried
    reasons: tuple[Reason, ...] = ()
    after: tuple[tuple[int, ...], ...] = ()  # points that are approved: of each reason, or the one of all together
    logits: tuple[float, ...] = ()  # there
    further: int = 0  # features that alone change it beyond those told
    why: str = ""  # there is none
    protected: tuple[Reason, ...] = ()  # columns that nobody may change and that alone would change the decision
    protected_after: tuple[tuple[int, ...], ...] = ()


@dataclass(frozen=True)
class _Tried:
    """Values of one feature with everything else as it stands: only those that the card allows."""

    rows: Int[np.ndarray, "k"]  # whose
    after: Values
    logits: Float[np.ndarray, "k"]


def principal(actions: ActionSet, judge: Judge, people: Int[np.ndarray, "n"], before: Values) -> list[Reasons]:
    """Reasons of every one of these denied people, whose decisions ``judge`` makes."""
    each = max(1, AT_ONCE // SPREAD)
    parts = range(0, len(people), each)
    return [r for k in parts for r in _Search(actions, judge).of(people[k : k + each], before[k : k + each])]


@dataclass(frozen=True)
class _Search:
    actions: ActionSet
    judge: Judge

    @property
    def movable(self) -> list[int]:
        """Features that may be a reason: no fact about a person, and no protected column, whatever the regime."""
        features = self.actions.schema.features
        moving = sorted((*self.actions.numbers, *self.actions.switches))
        return [i for i in moving if not features[i].immutable and not features[i].protected]

    def of(self, people: Int[np.ndarray, "n"], before: Values) -> list[Reasons]:
        """Of one part of the people."""
        logits = self.judge(before)
        alone = {i: self.cheapest(i, before, before) for i in self.movable}
        single = np.array([alone[i][1] for i in self.movable]).reshape(len(alone), len(before)).any(0)
        rest = np.flatnonzero(~single)
        sets = dict(zip(rest.tolist(), self.together(before[rest]), strict=True))
        protected = list(self._protected(before))
        out = []
        for k, person in enumerate(people.tolist()):
            own = Reasons(person, tuple(before[k].tolist()), float(logits[k]), "none")
            found = self._alone(own, {i: (to[k], at[k]) for i, (to, yes, at) in alone.items() if yes[k]})
            found = self._set(own, *sets[k]) if k in sets else found
            warned = [(self._reason(before[k], after[k], i), after[k]) for i, after, yes in protected if yes[k]]
            columns, points = tuple(r for r, _ in warned), tuple(tuple(a.tolist()) for _, a in warned)
            out.append(replace(found, protected=columns, protected_after=points))
        return out

    # ------------------------------------------------------------------ one feature
    def tried(self, i: int, before: Values, base: Values) -> _Tried:
        """Every allowed value of feature ``i`` for everybody, the rest as in ``base``."""
        rows, values = self._values(i, before)
        f = self.actions.schema.features[i]
        never = np.array([level in f.never for level in f.levels], bool)
        keep = (values != before[rows, i]) & (~never[values] if f.levels else True)
        rows, after = rows[keep], base[rows[keep]]
        after[:, i] = values[keep]
        return self._judged(rows, before, after)

    def _judged(self, rows: Int[np.ndarray, "k"], before: Values, after: Values) -> _Tried:
        after = self.actions.completed(before[rows], after)
        legal = self.actions.legal(before[rows], after)
        rows, after = rows[legal], after[legal]
        parts = [self.judge(after[k : k + AT_ONCE]) for k in range(0, len(after), AT_ONCE)]
        return _Tried(rows, after, np.concatenate([np.zeros(0), *parts]))

    def _values(self, i: int, before: Values) -> tuple[Int[np.ndarray, "k"], Int[np.ndarray, "k"]]:
        """Whose values, and which: all that can be reached, or `SPREAD` of them."""
        if i in self.actions.switches:
            rows, levels = np.nonzero(self.actions.reachable(i, before))
            return rows, levels
        low, high = self.actions.box(i, before)
        values = _spread(low, high, before[:, i])
        return np.repeat(np.arange(len(before)), values.shape[1]), values.reshape(-1)

    def cheapest(
        self, i: int, before: Values, base: Values
    ) -> tuple[Values, Bool[np.ndarray, "n"], Float[np.ndarray, "n"]]:
        """The cheapest change found of feature ``i`` that is approved: where to, for whom there is one, its logit."""
        tried = self.tried(i, before, base)
        yes = approved(tried.logits)
        rows, after, logits = tried.rows[yes], tried.after[yes], tried.logits[yes]
        order = np.lexsort((self.actions.cost(before[rows], after), rows))
        first = order[np.unique(rows[order], return_index=True)[1]]
        to, found, at = before.copy(), np.zeros(len(before), bool), np.full(len(before), np.nan)
        to[rows[first]], found[rows[first]], at[rows[first]] = after[first], True, logits[first]
        if i in self.actions.numbers and not self.actions.schema.features[i].levels:
            self._halved(i, before, to, found, at)
        return to, found, at

    def _halved(self, i: int, before: Values, to: Values, found: Bool[np.ndarray, "n"], at: np.ndarray) -> None:
        """Bring a number's change nearer to the person's own value while it is approved; changes ``to`` and ``at``."""
        denied = before[:, i].copy()
        for _ in range(HALVINGS):
            middle = denied + np.trunc((to[:, i] - denied) / 2).astype(np.int64)
            rows = np.flatnonzero(found & (middle != denied) & (middle != to[:, i]))
            if not len(rows):
                break
            after = to[rows].copy()
            after[:, i] = middle[rows]
            tried = self._judged(rows, before, after)
            yes = approved(tried.logits)
            good = tried.rows[yes]
            to[good], at[good] = tried.after[yes], tried.logits[yes]
            still = np.setdiff1d(rows, good)
            denied[still] = middle[still]

    # ------------------------------------------------------------------ several features
    def together(self, before: Values) -> list[tuple[np.ndarray, list[int], float]]:
        """Of people whom no single change helps: a point, the features changed there (or none), and its logit."""
        current = self._lifted(before)
        current = self._pruned(before, current)
        for i in self.movable:  # make every member cheaper, then see whether all are still needed
            changed = np.flatnonzero(current[:, i] != before[:, i])
            to, found, _ = self.cheapest(i, before[changed], current[changed])
            current[changed[found]] = to[found]
        current = self._pruned(before, current)
        logits = self.judge(current) if len(current) else np.zeros(0)
        members = [[i for i in self.movable if current[k, i] != before[k, i]] for k in range(len(before))]
        needed = self._needed(before, current)
        return [
            (current[k], members[k] if approved(logits[k]) and needed[k] else [], float(logits[k]))
            for k in range(len(before))
        ]

    def _lifted(self, before: Values) -> Values:
        """Greedily: the feature and value that lift the logit most, until approved or nothing lifts it."""
        current = before.copy()
        best = self.judge(current) if len(before) else np.zeros(0)
        for _ in self.movable:
            open_ = np.flatnonzero(~approved(best))
            top, to = best[open_].copy(), current[open_].copy()
            for i in self.movable:
                tried = self.tried(i, before[open_], current[open_])
                order = np.lexsort((-tried.logits, tried.rows))
                first = order[np.unique(tried.rows[order], return_index=True)[1]]
                higher = first[tried.logits[first] > top[tried.rows[first]]]
                top[tried.rows[higher]], to[tried.rows[higher]] = tried.logits[higher], tried.after[higher]
            if not (top > best[open_]).any():
                break
            best[open_], current[open_] = top, to
        return current

    def _without(self, i: int, before: Values, current: Values) -> Values:
        """The same points with one feature back where the person is."""
        after = current.copy()
        after[:, i] = before[:, i]
        return self.actions.completed(before, after)

    def _pruned(self, before: Values, current: Values) -> Values:
        """Approved points without the features that they do not need."""
        current = current.copy()
        for _ in self.movable:
            dropped = False
            for i in self.movable:
                rows = np.flatnonzero(current[:, i] != before[:, i])
                after = self._without(i, before[rows], current[rows])
                kept = self._judged(rows, before, after)
                yes = approved(kept.logits)
                current[kept.rows[yes]] = kept.after[yes]
                dropped |= bool(yes.any())
            if not dropped:
                break
        return current

    def _needed(self, before: Values, current: Values) -> Bool[np.ndarray, "n"]:
        """Whether every changed feature is: back where it was, it leaves the person denied."""
        out = np.ones(len(before), bool)
        for i in self.movable:
            rows = np.flatnonzero(current[:, i] != before[:, i])
            if len(rows):
                out[rows] &= ~approved(self.judge(self._without(i, before[rows], current[rows])))
        return out

    # ------------------------------------------------------------------ in words
    def _alone(self, own: Reasons, found: dict[int, tuple[np.ndarray, float]]) -> Reasons:
        before = np.array(own.before)
        each = [(self._reason(before, to, i), tuple(to.tolist()), float(at)) for i, (to, at) in found.items()]
        told = sorted(each, key=lambda e: (e[0].cost, e[0].feature))[:MOST]
        if not told:
            return own
        reasons, after, logits = zip(*told, strict=True)
        return replace(own, kind="alone", reasons=reasons, after=after, logits=logits, further=len(each) - len(told))

    def _set(self, own: Reasons, after: np.ndarray, members: list[int], logit: float) -> Reasons:
        before = np.array(own.before)
        if not members:
            return replace(own, why="no change that was tried, alone or with others, is approved")
        if len(members) > MOST:
            return replace(own, why=f"{len(members)} things would have to change together, more than {MOST}")
        told = sorted((self._reason(before, after, i) for i in members), key=lambda r: (r.cost, r.feature))
        kind: Kind = "together" if len(told) > 1 else "alone"
        return replace(own, kind=kind, reasons=tuple(told), after=(tuple(after.tolist()),), logits=(logit,))

    def _reason(self, before: np.ndarray, after: np.ndarray, i: int) -> Reason:
        f, only = self.actions.schema.features[i], before.copy()
        only[i] = after[i]
        cost = float(self.actions.cost(before[None], only[None])[0])
        line = f"{f.words}: {f.format_cell(int(before[i]))} -> {f.format_cell(int(after[i]))}"
        return Reason(i, f.name, f.words, int(before[i]), int(after[i]), line, cost)

    def _protected(self, before: Values) -> Iterator[tuple[int, Values, Bool[np.ndarray, "n"]]]:
        """Of each protected column, the nearest other value that is approved with all else as it is, and for whom."""
        for i, f in enumerate(self.actions.schema.features):
            if not f.protected:
                continue
            ends = (0, len(f.levels) - 1) if f.levels else (self.actions.low[i], self.actions.high[i])
            own = before[:, i]
            values = _spread(np.minimum(own, ends[0]), np.maximum(own, ends[1]), own)
            rows = np.repeat(np.arange(len(before)), values.shape[1])
            after = before[rows]
            after[:, i] = values.reshape(-1)
            parts = [self.judge(after[k : k + AT_ONCE]) for k in range(0, len(after), AT_ONCE)]
            logits = np.concatenate([np.zeros(0), *parts]).reshape(values.shape)
            far = np.where(approved(logits) & (values != own[:, None]), np.abs(values - own[:, None]), np.inf)
            nearest = far.argmin(1)
            to = before.copy()
            to[:, i] = values[np.arange(len(before)), nearest]
            yield i, to, np.isfinite(far.min(1, initial=np.inf))


def _spread(low: np.ndarray, high: np.ndarray, own: np.ndarray) -> Int[np.ndarray, "n k"]:
    """Whole numbers between two ends: all of them, or `SPREAD`: even steps, and ever smaller ones near one's own."""
    widest = int((high - low).max(initial=0))
    if widest < SPREAD:
        return np.minimum(low[:, None] + np.arange(widest + 1)[None, :], high[:, None])
    even = low[:, None] + np.rint(np.linspace(0, 1, SPREAD // 2)[None, :] * (high - low)[:, None]).astype(np.int64)
    steps = np.unique(np.rint(np.geomspace(1, widest, SPREAD // 4)).astype(np.int64))[None, :]
    near = np.concatenate([own[:, None] - steps, own[:, None] + steps], axis=1)
    return np.concatenate([even, np.clip(near, low[:, None], high[:, None])], axis=1)


# ---------------------------------------------------------------------- on other models
def confirmed(found: Sequence[Reasons], actions: ActionSet, judges: Sequence[Judge]) -> tuple[list[Reasons], int]:
    """The same with only what every one of these judges decides alike; and how many people lost a reason by that."""
    points, due = _checks(found, actions)
    if not len(points):
        return list(found), 0
    logits = [np.concatenate([j(points[k : k + AT_ONCE]) for k in range(0, len(points), AT_ONCE)]) for j in judges]
    agrees = np.logical_and.reduce([approved(x) == due for x in logits])
    out, start, lost = [], 0, 0
    for r in found:
        size = len(_of(r, actions)[1])
        kept = _kept(r, agrees[start : start + size])
        lost += kept is not r
        out.append(kept)
        start += size
    return out, lost


def _of(r: Reasons, actions: ActionSet) -> tuple[list[Sequence[int]], list[bool]]:
    """What is claimed of one person: points, and whether each is approved. They, their reasons, sets without one."""
    points: list[Sequence[int]] = [r.before, *r.after]
    due = [False] + [True] * len(r.after)
    if r.kind == "together":
        before, after = np.array([r.before]), np.array([r.after[0]])
        for reason in r.reasons:
            one = after.copy()
            one[:, reason.feature] = reason.own
            points.append(actions.completed(before, one)[0].tolist())
            due.append(False)
    return [*points, *r.protected_after], due + [True] * len(r.protected_after)


def _checks(found: Sequence[Reasons], actions: ActionSet) -> tuple[Values, Bool[np.ndarray, "k"]]:
    each = [_of(r, actions) for r in found]
    points = [p for of, _ in each for p in of]
    return np.array(points, np.int64), np.array([d for _, of in each for d in of], bool)


def _kept(r: Reasons, agrees: Bool[np.ndarray, "k"]) -> Reasons:
    """What is left of somebody's reasons where the shipped file does not agree with all that is claimed."""
    if agrees.all():
        return r
    edge = len(agrees) - len(r.protected)
    flags = [bool(a) for a in agrees[edge:]]
    r = replace(
        r,
        protected=tuple(p for p, a in zip(r.protected, flags, strict=True) if a),
        protected_after=tuple(p for p, a in zip(r.protected_after, flags, strict=True) if a),
    )
    own, rest = agrees[0], agrees[1:edge]
    if own and rest.all():
        return r
    none = replace(
        r, kind="none", reasons=(), after=(), logits=(), further=0, why="the shipped file does not confirm it"
    )
    if r.kind == "together" or not own or not rest.any():
        return none
    left = [k for k, a in enumerate(rest) if a]
    picked = {name: tuple(getattr(r, name)[k] for k in left) for name in ("reasons", "after", "logits")}
    return replace(r, reasons=picked["reasons"], after=picked["after"], logits=picked["logits"])

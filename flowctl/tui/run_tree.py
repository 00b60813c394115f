"""A run as a tree: its steps, those that ran side by side as branches, child runs, attempts; and their time."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Literal, NamedTuple

from flowctl.core.listing import AttemptLine, StepLine

Kind = Literal["run", "branches", "step", "attempt"]
How = Literal["worked", "failed", "retry", "slept", "waited"]


class Place(NamedTuple):
    """What a node stands for: it stays the same while the run goes on."""

    kind: Kind
    run: int
    key: str = ""  # of the step; of branches, that of the first one
    attempt: int = 0


class Span(NamedTuple):
    """A stretch of time, and how it was spent. An open one goes on."""

    start: int
    end: int | None
    how: How


class RunSteps(NamedTuple):
    """What the tree shows of one run: its steps, and what hangs from them."""

    steps: Sequence[StepLine]
    attempts: Mapping[str, Sequence[AttemptLine]]  # that did not succeed, by key
    children: Mapping[str, int]  # numbers of runs, by key

    def tries(self, step: StepLine) -> list[Try]:
        """Return the attempts of a step; the one that succeeded, or is under way, is the step's own."""
        known = self.attempts.get(step.key, ())
        tries = [Try(each.attempt, each.state, each.started_at, each.finished_at) for each in known]
        if not tries or tries[-1].attempt != step.attempt:
            tries.append(Try(step.attempt, step.state, step.started_at, step.finished_at))
        return tries

    def spans(self, step: StepLine) -> list[Span]:
        """Return how a step spent its time."""
        if step.kind in ("sleep", "signal", "child"):
            return [Span(step.begun_at, step.finished_at, "slept" if step.kind == "sleep" else "waited")]
        spans: list[Span] = []
        for one in self.tries(step):
            if spans and spans[-1].end is not None:
                spans.append(Span(spans[-1].end, one.started_at, "retry"))
            spans.append(one.span)
        if step.finished_at is None and spans[-1].end is not None:  # its last attempt is over: another one follows
            spans.append(Span(spans[-1].end, None, "retry"))
        return spans


class Try(NamedTuple):
    """One attempt of a step."""

    attempt: int
    state: str
    started_at: int
    finished_at: int | None

    @property
    def span(self) -> Span:
        """Return its stretch of time."""
        how: How = "worked" if self.state in ("running", "succeeded") else "failed"
        return Span(self.started_at, self.finished_at, how)


class Node(NamedTuple):
    """A row of the tree."""

    place: Place
    depth: int
    open: bool | None  # None: there is nothing below it
    step: StepLine | None = None
    one: Try | None = None  # of an attempt
    branches: Sequence[StepLine] = ()
    child: int | None = None  # the run that answers this step


class _Laid(NamedTuple):
    """What was laid out last: the steps, where each group of them begins among steps and rows, and the rows."""

    steps: Sequence[StepLine]
    groups: list[tuple[int, int]]
    nodes: list[Node]


class Tree:
    """The tree of one run. What is folded is remembered by place, so that new data changes nothing of it."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.runs: dict[int, RunSteps] = {}  # its own steps, and those of the child runs that were unfolded
        self._toggled: set[Place] = set()
        self._laid = _Laid([], [], [])

    @property
    def wanted(self) -> list[int]:
        """Return the runs whose steps are shown."""
        shown, pending = [], [self.number]
        while pending:
            number = pending.pop()
            shown.append(number)
            known = self.runs.get(number)
            children = known.children.items() if known is not None else ()
            pending += [child for key, child in children if Place("step", number, key) in self._toggled]
        return shown

    def toggle(self, place: Place) -> None:
        """Fold what is unfolded, or the other way round."""
        self._toggled ^= {place}
        self._laid = _Laid([], [], [])

    def unfold_to(self, key: str) -> None:
        """Unfold the branches that hold a step of the run, if they are folded."""
        for group in together(self.runs[self.number].steps):
            place = Place("branches", self.number, group[0].key)
            if place in self._toggled and any(step.key == key for step in group):
                self.toggle(place)

    def nodes(self) -> list[Node]:
        """Return the rows, the run itself first. Those of steps that are the same as the last time are kept."""
        known = self.runs.get(self.number)
        steps = known.steps if known is not None else ()
        at, kept = self._kept(steps)
        nodes = self._laid.nodes[: kept[-1][1]] if kept else [Node(Place("run", self.number), 0, None)]
        groups = kept[:-1]
        for group in together(islice(steps, at, None)):
            groups.append((at, len(nodes)))
            at += len(group)
            nodes += self._group(self.number, group, 0)
        self._laid = _Laid(steps, groups, nodes)
        return nodes

    def _kept(self, steps: Sequence[StepLine]) -> tuple[int, list[tuple[int, int]]]:
        """Return from which step on rows are to be made, and the groups up to the one that begins there.

        The last group of those steps that are the same may have grown. An unfolded child run may change anywhere.
        """
        laid = self._laid
        if len(self.wanted) > 1:
            return 0, []
        differs = (at for at, (old, new) in enumerate(zip(laid.steps, steps, strict=False)) if old is not new)
        same = next(differs, min(len(laid.steps), len(steps)))
        kept = laid.groups[: bisect_left(laid.groups, (same, 0))]
        return (kept[-1][0], kept) if kept else (0, [])

    def _below(self, number: int, depth: int) -> Iterator[Node]:
        known = self.runs.get(number)
        for group in together(known.steps if known is not None else ()):
            yield from self._group(number, group, depth)

    def _group(self, number: int, group: Sequence[StepLine], depth: int) -> Iterator[Node]:
        if len(group) == 1:
            yield from self._step(number, group[0], depth)
            return
        place = Place("branches", number, group[0].key)
        is_open = place not in self._toggled
        yield Node(place, depth, is_open, branches=group)
        if is_open:
            for step in group:
                yield from self._step(number, step, depth + 1)

    def _step(self, number: int, step: StepLine, depth: int) -> Iterator[Node]:
        known = self.runs[number]
        place, child = Place("step", number, step.key), known.children.get(step.key)
        tries = known.tries(step) if step.key in known.attempts else []
        is_open = place in self._toggled if child is not None or len(tries) > 1 else None
        yield Node(place, depth, is_open, step, child=child)
        if not is_open:
            return
        if child is not None:
            yield from self._below(child, depth + 1)
        if len(tries) > 1:
            for one in tries:
                yield Node(Place("attempt", number, step.key, one.attempt), depth + 1, None, step, one)


def together(steps: Iterable[StepLine]) -> Iterator[list[StepLine]]:
    """Yield the steps in groups: those that follow one another and ran at the same time are branches of one gather.

    A workflow does one thing after another, so nothing else can overlap; a step that it ran alone is a group of one.
    """
    group: list[StepLine] = []
    first, last = 0, 0
    for step in steps:
        end = step.finished_at if step.finished_at is not None else 1 << 62
        if group and step.begun_at < last and end > first:
            group.append(step)
            first, last = min(first, step.begun_at), max(last, end)
        else:
            if group:
                yield group
            group, first, last = [step], step.begun_at, end
    if group:
        yield group

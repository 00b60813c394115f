"""Pay an expense once a person has approved it; when nobody answers in time, ask somebody else.

    flowctl run examples/approval.py amount=120 --detach
    flowctl daemon start
    flowctl ls --state waiting
    flowctl signal @last decision '{"approved": true, "by": "ada"}'
    flowctl show @last

While it waits no process runs, for hours or for months, across reboots. The answer may come before the question. One
that is no Decision is refused where it is given: `flowctl signal @last decision true` says what is missing.
"""

from dataclasses import dataclass

from flowctl import SignalTimeout, step, wait_signal, workflow

LIMIT = 50  # below it nobody is asked


@dataclass
class Decision:
    approved: bool
    by: str
    note: str = ""


@step
def ask(whom: str, amount: int, purpose: str) -> str:
    """Ask a person; a real one would send mail with the command to answer with."""
    return f"{whom}: {amount} for {purpose}?"


@step
def pay(amount: int, purpose: str) -> str:
    """Pay it."""
    return f"paid {amount} for {purpose}"


def decide(amount: int, purpose: str, patience: str) -> Decision | None:
    """Return the decision of the first one who answers, None when nobody does."""
    for whom in ("the team lead", "the director"):
        print(ask(whom, amount, purpose))
        try:
            return wait_signal("decision", Decision, timeout=patience)
        except SignalTimeout:
            print(f"{whom} has not answered within {patience}")
    return None


@workflow
def approval(amount: int, purpose: str = "books", patience: str = "2d") -> str:
    """Have an expense approved, and pay it."""
    if amount > LIMIT:
        decision = decide(amount, purpose, patience)
        if decision is None:
            return "nobody has decided"
        if not decision.approved:
            return f"refused by {decision.by}: {decision.note or 'no reason given'}"
    return pay(amount, purpose)

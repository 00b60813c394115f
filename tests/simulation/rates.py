"""How often what goes wrong: drawn anew for each seed, so that each seed is a machine with troubles of its own."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from random import Random
from typing import Any


def _up_to(highest: float) -> Any:
    return field(default=0.0, metadata={"highest": highest})


@dataclass(slots=True)
class Rates:
    """Chances from 0 to 1. All are 0 on a machine that is well."""

    # at each place where an engine or a command touches the file or an executor
    kill: float = _up_to(0.01)
    # at each write, commit or BEGIN
    disk_fails: float = _up_to(0.02)
    disk_fills: float = _up_to(0.003)  # and stays full for a while
    busy: float = _up_to(0.02)
    answer_lost: float = _up_to(0.03)  # of a commit that did happen
    # at each turn of an engine
    crash: float = _up_to(0.03)
    pause: float = _up_to(0.03)
    jump: float = _up_to(0.05)
    suspend: float = _up_to(0.02)
    reboot: float = _up_to(0.006)
    ctrl_c: float = _up_to(0.02)
    # at each arrival of what an executor says
    meddle: float = _up_to(0.3)
    # of executors and the code in them
    lingers: float = _up_to(1.0)  # after the death of its engine, until somebody kills it
    refuses_term: float = _up_to(0.5)
    swallows: float = _up_to(0.05)
    pensive: float = _up_to(0.2)
    leftovers: float = _up_to(0.2)
    load_fails: float = _up_to(0.03)
    load_hangs: float = _up_to(0.02)
    no_interpreter: float = _up_to(0.03)
    body_trouble: float = _up_to(1.0)  # whether bodies hang and die as their conduct says


def swarm(random: Random) -> Rates:
    """Return the rates of one seed: each kind of trouble is absent in about half of them, and rarely at its worst."""
    rates = Rates()
    for kind in fields(Rates):
        if random.random() < 0.5:
            setattr(rates, kind.name, kind.metadata["highest"] * random.choice((0.2, 0.5, 1.0)))
    return rates

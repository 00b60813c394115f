"""How often what goes wrong: drawn anew for each seed, so that each seed is a machine with troubles of its own."""

from __future__ import annotations

from dataclasses import dataclass, fields
from random import Random


@dataclass(slots=True)
class Rates:
    """Chances from 0 to 1. All are 0 on a machine that is well."""

    # at each place where an engine or a command touches the file or an executor
    kill: float = 0.0
    # at each write, commit or BEGIN
    disk_fails: float = 0.0
    disk_fills: float = 0.0  # and stays full for a while
    busy: float = 0.0
    answer_lost: float = 0.0  # of a commit that did happen
    # at each turn of an engine
    crash: float = 0.0
    pause: float = 0.0
    jump: float = 0.0
    suspend: float = 0.0
    reboot: float = 0.0
    ctrl_c: float = 0.0
    # at each arrival of what an executor says
    meddle: float = 0.0
    # of executors and the code in them
    lingers: float = 0.0  # after the death of its engine, until somebody kills it
    refuses_term: float = 0.0
    swallows: float = 0.0
    pensive: float = 0.0
    leftovers: float = 0.0
    load_fails: float = 0.0
    load_hangs: float = 0.0
    no_interpreter: float = 0.0
    body_trouble: float = 0.0  # whether bodies hang and die as their conduct says


_HIGHEST = {
    "kill": 0.01,
    "disk_fails": 0.02,
    "disk_fills": 0.003,
    "busy": 0.02,
    "answer_lost": 0.03,
    "crash": 0.03,
    "pause": 0.03,
    "jump": 0.05,
    "suspend": 0.02,
    "reboot": 0.006,
    "ctrl_c": 0.02,
    "meddle": 0.3,
    "lingers": 1.0,
    "refuses_term": 0.5,
    "swallows": 0.05,
    "pensive": 0.2,
    "leftovers": 0.2,
    "load_fails": 0.03,
    "load_hangs": 0.02,
    "no_interpreter": 0.03,
    "body_trouble": 1.0,
}


def swarm(random: Random) -> Rates:
    """Return the rates of one seed: each kind of trouble is absent in about half of them, and rarely at its worst."""
    rates = Rates()
    for kind in fields(Rates):
        if random.random() < 0.5:
            setattr(rates, kind.name, _HIGHEST[kind.name] * random.choice((0.2, 0.5, 1.0)))
    return rates

"""Reserve, charge, ship; and undo in reverse order what was done when a later part fails.

    flowctl run examples/order.py:order item=lamp
    flowctl run examples/order.py:order item=lamp country=AQ
    flowctl show @last

Each `compensate` registers the call that undoes what was done just before. When the run fails, is cancelled or takes
too long, those calls are made as steps of their own, the last one first: a crash in the middle goes on where it was,
and one that fails does not keep the others from being made. The run still fails with its own error.

The shop is a file, its ledger: every entry carries the idempotency key of its step, so an attempt that is made again
finds its own entry.
"""

from pathlib import Path

from flowctl import GiveUp, compensate, current_run, step, workflow


def enter(ledger: Path, text: str) -> None:
    """Add a line to the ledger, unless an earlier attempt of this step has done so."""
    line = f"{current_run().idempotency_key} {text}\n"
    with ledger.open("a+", encoding="utf-8") as file:
        file.seek(0)
        if line not in file.readlines():
            file.write(line)


@step
def reserve(ledger: Path, item: str) -> str:
    """Put the goods aside."""
    enter(ledger, f"reserved {item}")
    return f"shelf-{item}"


@step(retries=3, backoff="100ms")
def release(ledger: Path, place: str) -> None:
    """Undo `reserve`."""
    enter(ledger, f"released {place}")


@step
def charge(ledger: Path, amount: int) -> str:
    """Take the money."""
    enter(ledger, f"charged {amount}")
    return f"charge-{amount}"


@step(retries=3, backoff="100ms")
def refund(ledger: Path, charge_id: str) -> None:
    """Undo `charge`."""
    enter(ledger, f"refunded {charge_id}")


@step
def ship(ledger: Path, item: str, country: str) -> str:
    """Hand the parcel over. The carrier does not serve every country."""
    if country == "AQ":
        raise GiveUp("the carrier does not deliver to Antarctica")
    enter(ledger, f"shipped {item}")
    return f"parcel-{item}"


@workflow(timeout="1h")
def order(item: str, amount: int = 30, country: str = "DE", ledger: Path = Path("ledger.txt")) -> str:
    """Deliver one order, or leave nothing of it behind."""
    place = reserve(ledger, item)
    compensate(release.bind(ledger, place))
    charge_id = charge(ledger, amount)
    compensate(refund.bind(ledger, charge_id))
    return ship(ledger, item, country)

"""Process orders: reserve the goods, take the money, ship. What was done is undone when a later part fails.

    flowctl run examples/order_processing/orders.py:process_orders

A card that is declined is followed by an attempt with the customer's wallet. Each `compensate` registers the call that
undoes what was just done: when neither pays, or nothing can be shipped, those calls are made, the last one first.
Each order is a run of its own (a child), so `flowctl ls` shows which ones went wrong, and `flowctl show` why.

The shop is a folder with one file, its ledger. Every entry carries the idempotency key of its step, so an attempt that
is made again after a crash finds its own entry instead of charging twice.
"""

import json
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from flowctl import GiveUp, StepFailed, compensate, current_run, gather, step, workflow

HERE = Path(__file__).parent


@dataclass
class Order:
    number: str
    customer: str
    item: str
    quantity: int
    total: Decimal
    card: str
    wallet: Decimal
    country: str


@dataclass
class Receipt:
    order: str
    state: str  # shipped, or cancelled
    paid_by: str | None
    note: str


class Declined(Exception):
    """The payment was refused; asking again will not help."""


class Unreachable(Exception):
    """The payment service did not answer; asking again may help."""


def enter(ledger: Path, kind: str, **details: Any) -> bool:
    """Add an entry under the key of the current step, unless an earlier attempt of it already did."""
    key = current_run().idempotency_key
    if any(entry["key"] == key for entry in entries(ledger)):
        return False
    with ledger.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"key": key, "kind": kind, **details}) + "\n")
    return True


def entries(ledger: Path) -> list[dict[str, Any]]:
    """Return what the ledger holds so far."""
    if not ledger.exists():
        return []
    return [json.loads(line) for line in ledger.read_text(encoding="utf-8").splitlines()]


@step
def read_orders(path: Path) -> list[Order]:
    """Read the orders of the day."""
    return [
        Order(**{**order, "total": Decimal(order["total"]), "wallet": Decimal(order["wallet"])})
        for order in json.loads(path.read_text(encoding="utf-8"))
    ]


@step
def reserve(ledger: Path, order: Order) -> None:
    """Put the goods aside."""
    if order.quantity > 10:
        raise GiveUp(f"only 10 {order.item} in stock, {order.quantity} ordered")
    enter(ledger, "reserved", order=order.number, item=order.item, quantity=order.quantity)


@step
def release(ledger: Path, order: Order) -> None:
    """Undo `reserve`."""
    enter(ledger, "released", order=order.number, item=order.item, quantity=order.quantity)


@step(retries=3, backoff="50ms", timeout="10s", retry_on=Unreachable)
def charge_card(ledger: Path, order: Order) -> str:
    """Charge the card. The service is unreachable now and then; a declined card stays declined."""
    if order.card.endswith("0001"):
        raise Declined("insufficient funds")
    if order.card.endswith("0002") and (current_run().step_attempt or 1) < 3:
        raise Unreachable("no answer from the card service")
    enter(ledger, "charged", order=order.number, by="card", amount=str(order.total))
    return "card"


@step
def charge_wallet(ledger: Path, order: Order) -> str:
    """Charge the customer's balance with us."""
    if order.wallet < order.total:
        raise Declined(f"the wallet holds {order.wallet}, {order.total} needed")
    enter(ledger, "charged", order=order.number, by="wallet", amount=str(order.total))
    return "wallet"


@step
def refund(ledger: Path, order: Order, paid_by: str) -> None:
    """Undo a charge."""
    enter(ledger, "refunded", order=order.number, by=paid_by, amount=str(order.total))


@step(retries=1, backoff="50ms")
def ship(ledger: Path, order: Order) -> None:
    """Hand the parcel over. The carrier does not serve every country."""
    if order.country == "AQ":
        raise GiveUp("the carrier does not deliver to Antarctica")
    enter(ledger, "shipped", order=order.number, to=order.country)


def take_payment(ledger: Path, order: Order) -> str:
    """Charge the card, or else the wallet, and return which one paid."""
    try:
        return charge_card(ledger, order)
    except StepFailed as failure:
        print(f"{order.number}: card: {failure.message}; trying the wallet")
        return charge_wallet(ledger, order)


@workflow
def process_order(order: Order, ledger: Path) -> str:
    """Process one order and return what paid for it, or fail and leave nothing of it behind."""
    reserve(ledger, order)
    compensate(release.bind(ledger, order))
    paid_by = take_payment(ledger, order)
    compensate(refund.bind(ledger, order, paid_by))
    ship(ledger, order)
    return paid_by


@workflow
def settle_order(order: Order, ledger: Path) -> Receipt:
    """Write the receipt of an order, which may have failed: the others go on."""
    try:
        paid_by = process_order(order, ledger)
    except StepFailed as failure:
        return Receipt(order.number, "cancelled", None, failure.message)
    return Receipt(order.number, "shipped", paid_by, "")


@workflow
def process_orders(orders: Path = HERE / "orders.json", ledger: Path = Path("ledger.jsonl")) -> list[Receipt]:
    """Process all orders of the day, three at a time."""
    calls = [settle_order.bind(order, ledger) for order in read_orders(orders)]
    receipts = gather(*calls, concurrency=3)
    for receipt in receipts:
        print(f"{receipt.order}: {receipt.state} {receipt.paid_by or receipt.note}")
    return receipts

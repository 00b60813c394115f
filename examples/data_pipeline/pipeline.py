"""Read sales from a CSV file, check them, add them up in batches, and write a report.

    flowctl run examples/data_pipeline/pipeline.py
    flowctl run examples/data_pipeline/pipeline.py source=sales.csv report=sales.md batch_size=500

Each batch is a step. If the machine dies in the middle, `flowctl resume @last` goes on with the first batch that is
not recorded. Give `pace=1` to make each batch take a second, and try it: kill -9, resume, and look with
`flowctl show @last`.
"""

import csv
import hashlib
import logging
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from itertools import islice
from pathlib import Path

from flowctl import GiveUp, gather, step, workflow

HERE = Path(__file__).parent
COLUMNS = ["day", "region", "product", "quantity", "unit_price"]

log = logging.getLogger("pipeline")


@dataclass
class Source:
    """What the file looked like when the run began; a batch refuses to mix two versions of it."""

    path: Path
    rows: int
    sha256: str


@dataclass
class Sale:
    day: date
    region: str
    product: str
    revenue: Decimal


@dataclass
class Rejected:
    line: int
    reason: str


@dataclass
class Batch:
    sales: list[Sale]
    rejected: list[Rejected]


@dataclass
class Summary:
    sales: int
    revenue: Decimal
    by_region: dict[str, Decimal]
    by_month: dict[str, Decimal]
    rejected: list[Rejected]
    report: Path


@step
def survey(path: Path) -> Source:
    """Count the rows and take the fingerprint of the file."""
    text = path.read_bytes()
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if reader.fieldnames != COLUMNS:
            raise GiveUp(f"{path} has the columns {reader.fieldnames}, expected {COLUMNS}")
        rows = sum(1 for _ in reader)
    return Source(path.resolve(), rows, hashlib.sha256(text).hexdigest())


@step(retries=2, backoff="1s", timeout="1m")
def load(source: Source, start: int, count: int, pace: float) -> Batch:
    """Read one batch of rows and sort them into sales and rejected lines."""
    if hashlib.sha256(source.path.read_bytes()).hexdigest() != source.sha256:
        raise GiveUp(f"{source.path} changed since this run began; start a new one")
    time.sleep(pace)
    batch = Batch([], [])
    with source.path.open(newline="", encoding="utf-8") as file:
        for line, row in islice(enumerate(csv.DictReader(file), start=2), start, start + count):
            try:
                batch.sales.append(parse(row))
            except ValueError as problem:
                batch.rejected.append(Rejected(line, str(problem)))
                log.warning("line %d: %s", line, problem)
    print(f"rows {start + 1} to {start + len(batch.sales) + len(batch.rejected)}: {len(batch.sales)} good")
    return batch


def parse(row: dict[str, str]) -> Sale:
    """Turn a row into a sale, or say in a ValueError what is wrong with it."""
    if not row["region"].strip():
        raise ValueError("no region")
    try:
        quantity, price = int(row["quantity"]), Decimal(row["unit_price"])
    except (ValueError, InvalidOperation):
        raise ValueError(f"{row['quantity']!r} x {row['unit_price']!r} is not an amount") from None
    if quantity <= 0:
        raise ValueError(f"quantity {quantity} is not positive")
    return Sale(date.fromisoformat(row["day"]), row["region"].strip().title(), row["product"], quantity * price)


@step(pure=True)
def summarise(batches: list[Batch], report: Path) -> Summary:
    """Add the batches up."""
    sales = [sale for batch in batches for sale in batch.sales]
    return Summary(
        sales=len(sales),
        revenue=sum((sale.revenue for sale in sales), Decimal()),
        by_region=totals((sale.region, sale.revenue) for sale in sales),
        by_month=totals((f"{sale.day:%Y-%m}", sale.revenue) for sale in sales),
        rejected=[line for batch in batches for line in batch.rejected],
        report=report,
    )


def totals(amounts: Iterator[tuple[str, Decimal]]) -> dict[str, Decimal]:
    """Return the sum for each name, in order of the names."""
    found: dict[str, Decimal] = {}
    for name, amount in amounts:
        found[name] = found.get(name, Decimal()) + amount
    return dict(sorted(found.items()))


@step
def write_report(summary: Summary) -> Path:
    """Write the report beside its final name and move it there: nobody ever reads half of it."""
    lines = ["# Sales", "", f"{summary.sales} sales, revenue {summary.revenue:,.2f}", ""]
    for title, amounts in (("Region", summary.by_region), ("Month", summary.by_month)):
        lines += [f"| {title} | Revenue |", "|---|---:|"]
        lines += [f"| {name} | {amount:,.2f} |" for name, amount in amounts.items()] + [""]
    if summary.rejected:
        lines += [f"{len(summary.rejected)} lines were left out:", ""]
        lines += [f"- line {line.line}: {line.reason}" for line in summary.rejected] + [""]
    draft = summary.report.with_name(summary.report.name + ".new")
    draft.write_text("\n".join(lines), encoding="utf-8")
    os.replace(draft, summary.report)
    return summary.report.resolve()


@workflow
def pipeline(
    source: Path = HERE / "sales.csv", report: Path = Path("report.md"), batch_size: int = 40, pace: float = 0
) -> Summary:
    """Turn a CSV file of sales into a report, batch by batch."""
    surveyed = survey(source)
    starts = range(0, surveyed.rows, batch_size)
    batches = gather(*[load.bind(surveyed, start, batch_size, pace) for start in starts], concurrency=2)
    summary = summarise(batches, report)
    write_report(summary)
    return summary

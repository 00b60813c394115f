"""`flowctl db prune` and `flowctl db retention`: how long runs are kept, and the end of those that were."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from flowctl.cli.control import confirm
from flowctl.cli.group import Command
from flowctl.cli.instants import parse_duration
from flowctl.cli.invocation import Invocation, pass_invocation
from flowctl.core.clock import SYSTEM_CLOCK
from flowctl.core.errors import UsageError
from flowctl.core.keeping import Keep, Retained, keep_of
from flowctl.core.text import plural
from flowctl.sdk.durations import short_text

if TYPE_CHECKING:
    from flowctl.engine.retention import Wanted
    from flowctl.store import Store


@click.command(
    "prune",
    cls=Command,
    examples=["flowctl db prune --dry-run", "flowctl db prune --yes", "flowctl db prune --workflow digest --keep 7d"],
)
@click.option("--dry-run", is_flag=True, help="Only tell what would go.")
@click.option("--keep", metavar="DURATION", help="Keep runs that ended since, failed ones as well, this time.")
@click.option("--keep-runs", metavar="N", type=click.IntRange(0), help="Keep so many runs of a workflow, this time.")
@click.option("--workflow", metavar="NAME", help="Only runs of this workflow.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@pass_invocation
def prune(
    invocation: Invocation, /, dry_run: bool, keep: str | None, keep_runs: int | None, workflow: str | None, yes: bool
) -> int:
    """Delete finished runs that were kept long enough, with all they recorded, and make the file smaller.

    Runs of this namespace are kept for 90 days, failed ones for 180, and of a workflow the newest 200, unless
    flowctl db retention says otherwise. Active runs stay, and so does what belongs to them. The daemon does the same
    each night. It may be interrupted at any moment.
    """
    from flowctl.engine.retention import Wanted

    keep_ms = None if keep is None else parse_duration(keep, "--keep")
    wanted = Wanted(invocation.namespace, workflow, keep_ms, keep_runs)
    if dry_run:
        with invocation.reading() as store:
            _print(invocation, _counts(store, wanted), "would go")
        return 0
    with invocation.writing() as store:
        counts = _counts(store, wanted)
        if counts:
            confirm(f"delete {plural(counts.total(), 'run')} of {plural(len(counts), 'workflow')} for good", yes)
        _prune(store, wanted)
    _print(invocation, counts, "deleted")
    return 0


def _counts(store: Store, wanted: Wanted) -> Counter[str]:
    """Return how many runs of each workflow are to go; those that they started are not counted. Raises NotFound."""
    from flowctl.engine.retention import going

    if wanted.workflow is not None:
        _check_known(store, wanted.namespace, wanted.workflow)
    counts: Counter[str] = Counter()
    for each in going(store, SYSTEM_CLOCK.now(), wanted):
        counts[each.workflow] += len(each.roots)
    return +counts


def _check_known(store: Store, namespace: str | None, workflow: str) -> None:
    """Refuse a name that is neither that of a run nor of a registered workflow. Raises NotFound."""
    from flowctl.cli.targets import unknown_workflow

    known = {name for place, name in store.retention.workflows() if place == namespace}
    known |= {each.name for each in store.workflows.all() if each.namespace == namespace}
    if workflow not in known:
        raise unknown_workflow(workflow, known, "flowctl ls shows what runs there are")


def _prune(store: Store, wanted: Wanted) -> None:
    from flowctl.engine.retention import prune

    for _ in prune(store, SYSTEM_CLOCK.now(), wanted, SYSTEM_CLOCK):
        pass


def _print(invocation: Invocation, counts: Counter[str], what: str) -> None:
    if invocation.json:
        from flowctl.cli.json_shapes import dumps

        shape = [{"workflow": name, "runs": count} for name, count in sorted(counts.items())]
        invocation.terminal.data_json(dumps({"dry_run": what != "deleted", "pruned": shape}))
        return
    for name, count in sorted(counts.items()):
        invocation.terminal.data(f"{count:>7,}  {name}")
    invocation.terminal.say(
        f"{plural(counts.total(), 'run')} {what}, children included" if counts else "nothing is to go"
    )


@click.command(
    "retention",
    cls=Command,
    examples=[
        "flowctl db retention",
        "flowctl db retention digest --keep 30d --keep-runs 50 --keep-failed 365d",
        "flowctl db retention digest --default",
    ],
)
@click.argument("workflow", metavar="[WORKFLOW]", required=False, help="A workflow, registered or not.")
@click.option("--keep", metavar="DURATION", help="How long runs are kept after they ended.")
@click.option("--keep-runs", metavar="N", type=click.IntRange(0), help="How many of the newest runs are kept at most.")
@click.option("--keep-failed", metavar="DURATION", help="How long failed runs are kept.  [default: twice --keep]")
@click.option("--default", "reset", is_flag=True, help="Leave it to the defaults again.")
@pass_invocation
def retention(invocation: Invocation, /, workflow: str | None, reset: bool, **given: Any) -> int:
    """Show how long the runs of a workflow are kept, of all that have settings of their own, or set it."""
    changed = {name: value for name, value in given.items() if value is not None}
    if workflow is None and (changed or reset):
        raise UsageError("no workflow is named", "flowctl db retention WORKFLOW --keep 30d")
    if changed and reset:
        raise UsageError("--default takes no other option", "flowctl db retention WORKFLOW --default")
    if workflow is None:
        with invocation.reading() as store:
            own = [each for each in store.retention.settings() if each.namespace == invocation.namespace]
        _print_settings(invocation, [Retained(invocation.namespace, ""), *own])
        return 0
    if changed or reset:
        _set(invocation, workflow, changed)
    with invocation.reading() as store:
        found = store.retention.setting(invocation.namespace, workflow) or Retained(invocation.namespace, workflow)
    _print_settings(invocation, [found])
    return 0


def _set(invocation: Invocation, workflow: str, changed: dict[str, Any]) -> None:
    """Change what is given and leave the rest; without anything, go back to the defaults."""
    fields: dict[str, Any] = {}
    for option, column in (("keep", "keep_ms"), ("keep_failed", "keep_failed_ms")):
        if option in changed:
            fields[column] = parse_duration(changed[option], f"--{option.replace('_', '-')}")
    if "keep_runs" in changed:
        fields["keep_runs"] = changed["keep_runs"]
    with invocation.writing(create=True) as store, store.transaction():
        now = SYSTEM_CLOCK.now()
        store.events.note(f"workflow {workflow}", f"retention changed: {', '.join(fields) or 'the defaults'}", now)
        if not fields:
            store.retention.reset(invocation.namespace, workflow)
            return
        found = store.retention.setting(invocation.namespace, workflow) or Retained(invocation.namespace, workflow)
        store.retention.set(found._replace(**fields), now)


def _print_settings(invocation: Invocation, settings: list[Retained]) -> None:
    if invocation.json:
        from flowctl.cli.json_shapes import dumps

        shapes = [{"workflow": each.workflow or None, **keep_of(each)._asdict()} for each in settings]
        invocation.terminal.data_json(dumps(shapes))
        return
    from flowctl.cli.tables import Column, show_table

    columns = [Column("WORKFLOW"), Column("KEEP"), Column("RUNS", right=True), Column("FAILED")]
    show_table(invocation.terminal, columns, [_row(each.workflow or "(default)", keep_of(each)) for each in settings])


def _row(name: str, keep: Keep) -> list[str]:
    return [name, short_text(keep.keep_ms), str(keep.keep_runs), short_text(keep.keep_failed_ms)]

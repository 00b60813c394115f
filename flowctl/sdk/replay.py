"""What a run has recorded, compared with what its code asks for now. Pure logic: no process, no wire, no values."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Optional

from flowctl.sdk.errors import Mismatch

if TYPE_CHECKING:
    from flowctl.sdk.wire import Message

FINISHED = frozenset({"succeeded", "failed"})  # these answer; the body of any other runs (again)


class Recorded(NamedTuple):
    """One step as the store remembers it; payload is its output or error."""

    seq: int
    key: str
    kind: str
    state: str
    input_hash: str  # '': it answers whatever the input is
    source_hash: Optional[str]
    payload: Optional[str]
    undoes: Optional[int] = None


def recorded_of(message: Message) -> Recorded:
    """Return what a `past` message tells."""
    fields = message.fields
    return Recorded(
        fields["seq"],
        fields["key"],
        fields["kind"],
        fields["state"],
        fields["input_hash"],
        fields.get("source_hash"),
        message.payload,
        fields.get("undoes"),
    )


class Asked(NamedTuple):
    """One operation that the code calls now."""

    seq: int
    key: str
    kind: str
    input_hash: str
    source_hash: Optional[str]
    input: str


class Keys:
    """Gives every operation its place in the program and its key: name, name#2, …"""

    def __init__(self) -> None:
        self._seq = 0
        self._ordinals: dict[str, int] = {}

    @property
    def last(self) -> int:
        """Return the place that was given last, 0 for none."""
        return self._seq

    def skip_to(self, seq: int) -> None:
        """Give no place up to this one any more."""
        self._seq = max(self._seq, seq)

    def next(self, name: str) -> tuple[int, str]:
        """Return the sequence number and the key of the next operation with that name."""
        self._seq += 1
        ordinal = self._ordinals.get(name, 0) + 1
        self._ordinals[name] = ordinal
        return self._seq, name if ordinal == 1 else f"{name}#{ordinal}"


class History:
    """The recorded steps of a run. An entry is let go once it has answered, so a long replay frees as it goes."""

    def __init__(self) -> None:
        self.last = 0  # place of the last one that the workflow function itself has asked for
        self.last_undo = 0  # place of the last one that registers what undoes
        self._by_seq: dict[int, Recorded] = {}
        self._seq_of: dict[str, int] = {}

    def add(self, recorded: Recorded) -> None:
        """Add what the store holds for one step."""
        self._by_seq[recorded.seq] = recorded
        if recorded.undoes is None or recorded.kind == "value":
            self.last = max(self.last, recorded.seq)
        if recorded.undoes is not None and recorded.kind == "value":
            self.last_undo = max(self.last_undo, recorded.seq)
        self._seq_of[recorded.key] = recorded.seq

    def unasked(self) -> list[str]:
        """Return the keys of the finished steps that have not answered."""
        return [each.key for _, each in sorted(self._by_seq.items()) if each.state in FINISHED]

    def match(self, asked: Asked, replay: str) -> Optional[Recorded]:
        """Return what is recorded for this operation, finished or not, or None when it is new.

        `replay` is pinned, newest, accept or check. Raises Mismatch when the record is of something else.
        """
        recorded = self._by_seq.get(asked.seq)
        if recorded is None:
            if asked.key in self._seq_of:
                raise Mismatch(asked.seq, asked.key, "key", "", asked.input)
            return None
        difference = _difference(recorded, asked, replay)
        if difference:
            raise Mismatch(asked.seq, asked.key, difference, recorded.key, asked.input)
        del self._by_seq[asked.seq], self._seq_of[asked.key]
        return recorded


def _difference(recorded: Recorded, asked: Asked, replay: str) -> str:
    finished = recorded.state in FINISHED
    accepted = finished and replay == "accept"
    if recorded.key != asked.key:
        return "key"
    if recorded.kind != asked.kind:
        return "kind"
    if recorded.input_hash not in ("", asked.input_hash) and not accepted:
        return "input"
    known = recorded.source_hash is not None and asked.source_hash is not None
    if replay == "newest" and finished and known and recorded.source_hash != asked.source_hash:
        return "source"
    return ""

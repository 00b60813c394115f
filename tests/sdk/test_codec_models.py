"""Classes of authors: dataclasses, NamedTuple, TypedDict, pydantic, attrs and msgspec models."""

# ruff: noqa: UP007, UP017, UP045  # these hints are evaluated, and Python 3.9 has no X | Y

from __future__ import annotations

import datetime as dt
import enum
import importlib.util
from dataclasses import InitVar, dataclass, field
from typing import Any, ClassVar, Generic, NamedTuple, NewType, Optional, TypedDict, TypeVar, Union

import pytest

from flowctl.sdk.codec import decode, encode
from flowctl.sdk.errors import Unreadable, Unstorable

T = TypeVar("T")
UserId = NewType("UserId", int)


def needs(library: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(importlib.util.find_spec(library) is None, reason=f"{library} is not installed here")


class Size(enum.Enum):
    SMALL = "s"


@dataclass
class Item:
    name: str
    price: float = 0
    added: dt.date | None = None
    parts: list[Item] = field(default_factory=list)
    size: Size = Size.SMALL
    known: ClassVar[int] = 5


@dataclass(frozen=True)
class Point:
    x: int
    y: int
    length: float = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "length", float(abs(self.x) + abs(self.y)))


@dataclass
class Stamped:
    text: str

    def __post_init__(self) -> None:
        self.text += "!"


@dataclass
class Seeded:
    value: int
    seed: InitVar[int]

    def __post_init__(self, seed: int) -> None:
        self.value += seed


@dataclass
class Derived(Item):
    extra: int = 1


@dataclass
class Box(Generic[T]):
    content: T


class Pair(NamedTuple):
    left: Size
    right: int = 0


class Options(TypedDict, total=False):
    when: dt.date
    level: int


@pytest.mark.parametrize(
    ("value", "hint", "text"),
    [
        (Item("a"), Item, '{"name":"a","price":0.0,"added":null,"parts":[],"size":"s"}'),
        (Item("a", 1.5, dt.date(2026, 1, 1), [Item("b")]), Item, None),
        ([Item("a")], list[Item], None),
        ({"x": Item("a")}, dict[str, Item], None),
        (Point(3, -4), Point, '{"x":3,"y":-4,"length":7.0}'),
        (Stamped("hi"), Stamped, '{"text":"hi!"}'),
        (Derived("a"), Union[Item, Derived], None),
        (Derived("a"), Derived, None),
        (Box({"a": 1}), Box[dict[str, int]], '{"content":{"a":1}}'),
        (Pair(Size.SMALL, 2), Pair, '{"left":"s","right":2}'),
        ([Pair(Size.SMALL)], list[Optional[Pair]], None),
        ({"when": dt.date(2026, 1, 1)}, Options, '{"when":"2026-01-01"}'),
        ({"level": 5, "unknown": (1,)}, Options, '{"level":5,"unknown":{"$tuple":[1]}}'),
        (UserId(5), UserId, "5"),
        (Item("a"), Union[Item, Pair], None),
        (Pair(Size.SMALL), Union[Item, Pair], '{"$Pair":{"left":"s","right":0}}'),
        (Item("a"), Union[Item, str, None], None),
        ((Item("a"), 1), tuple[Item, int], None),
    ],
    ids=repr,
)
def test_a_class_comes_back_by_its_hint(value: Any, hint: Any, text: str | None) -> None:
    written = encode(value, hint)
    if text is not None:
        assert text == written
    back = decode(written, hint)
    assert value == back
    assert type(value) is type(back)


@pytest.mark.parametrize(("value", "hint"), [(Item("a"), Any), (Pair(Size.SMALL), Any), (Derived("a"), Item)])
def test_k01_a_class_that_the_hint_does_not_name_is_refused_with_the_fix(value: Any, hint: Any) -> None:
    with pytest.raises(Unstorable, match=rf"^\$\[0\] is a .*add one, such as `-> {type(value).__name__}`"):
        encode([value], list[hint])


def test_k01_the_path_leads_into_fields() -> None:
    with pytest.raises(Unstorable, match=r"^\$\.parts\[1\]\.price is nan"):
        encode(Item("a", parts=[Item("b"), Item("c", float("nan"))]), Item)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"price":1.0}', r"^\$\[0\] is not a whole Item: name missing"),
        ('{"name":"a","prize":1.0}', r"^\$\[0\] has 'prize', and Item has no such field"),
        ('{"name":"a","added":"soon"}', r"^\$\[0\]\.added cannot be read"),
    ],
)
def test_an_object_that_is_not_the_class_any_more_is_refused(text: str, problem: str) -> None:
    with pytest.raises(Unreadable, match=problem):
        decode(f"[{text}]", list[Item])


def test_fields_that_were_added_since_get_their_defaults() -> None:
    assert Item("a") == decode('{"name":"a"}', Item)


def test_a_class_that_cannot_be_made_again_says_so() -> None:
    with pytest.raises(Unreadable, match="cannot become a Seeded"):
        decode(encode(Seeded(1, 2), Seeded), Seeded)


def test_deep_trees_of_objects_come_back_and_deeper_ones_are_refused() -> None:
    tree = Item("leaf")
    for _ in range(120):
        tree = Item("node", parts=[tree])
    assert tree.parts[0].parts[0] == decode(encode(tree, Item), Item).parts[0].parts[0]
    for _ in range(400):
        tree = Item("node", parts=[tree])
    with pytest.raises(Unstorable, match="500 levels"):
        encode(tree, Item)


@needs("pydantic")
def test_pydantic_models_come_back_with_aliases_and_nested_models() -> None:
    import pydantic

    by_name = tuple(map(int, pydantic.VERSION.split(".")[:2])) >= (2, 11)
    ref_names = {"validation_alias": "$ref", "serialization_alias": "other"} if by_name else {"alias": "$ref"}

    class Line(pydantic.BaseModel):
        at: dt.datetime
        amount: float = pydantic.Field(alias="Amount")

    class Order(pydantic.BaseModel):
        lines: list[Line]
        size: Size = Size.SMALL
        ref: str = pydantic.Field(default="", **ref_names)

    order = Order.model_validate({"lines": [{"at": "2026-01-01T00:00:00Z", "Amount": 2}], "$ref": "x"})
    written = encode([order], list[Order])
    if by_name:
        assert '[{"lines":[{"at":"2026-01-01T00:00:00Z","amount":2.0}],"size":"s","ref":"x"}]' == written
    assert [order] == decode(written, list[Order])
    assert {"a": order} == decode(encode({"a": order}, dict[str, Union[Order, str]]), dict[str, Union[Order, str]])
    with pytest.raises(Unreadable, match=r"^\$\[0\] cannot become a .*Order"):
        decode('[{"lines":5}]', list[Order])
    with pytest.raises(Unstorable, match=r"^\$\[0\]\.lines\[0\]\.[aA]mount is nan"):
        encode([Order(lines=[Line(at=dt.datetime(2026, 1, 1), Amount=float("nan"))])], list[Order])
    with pytest.raises(Unstorable, match=r"add one, such as `-> .*Order`"):
        encode(order)


@needs("attrs")
def test_attrs_classes_come_back_with_private_and_computed_fields() -> None:
    import attrs

    @attrs.define
    class Account:
        owner: str
        _balance: int = 0
        opened: dt.date | None = None
        label: str = attrs.field(init=False)

        def __attrs_post_init__(self) -> None:
            self.label = self.owner.upper()

    globals()["Account"] = Account  # the hints of its fields are text
    account = Account("ann", 5, dt.date(2026, 1, 1))
    assert '{"owner":"ann","_balance":5,"opened":"2026-01-01","label":"ANN"}' == encode(account, Account)
    assert account == decode(encode(account, Account), Account)
    with pytest.raises(Unreadable, match="owner missing"):
        decode("{}", Account)


@needs("msgspec")
def test_msgspec_structs_come_back() -> None:
    import msgspec

    Event = msgspec.defstruct("Event", [("at", dt.datetime), ("tags", list[str], [])])  # noqa: N806  # a class
    event = Event(dt.datetime(2026, 1, 1, tzinfo=dt.timezone.utc), ["a"])
    written = encode([event], list[Event])
    assert '[{"at":"2026-01-01T00:00:00Z","tags":["a"]}]' == written
    assert [event] == decode(written, list[Event])
    with pytest.raises(Unreadable, match="cannot become a Event"):
        decode('[{"at":5}]', list[Event])

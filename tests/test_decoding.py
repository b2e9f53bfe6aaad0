"""Typed values of JSON."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import pytest

from mfdask.decoding import check_keys_of, decode


@dataclass
class Inner:
    """A value of another."""

    size: int


@dataclass
class Outer:
    """A value that holds others."""

    name: str
    kind: Literal["a", "b"]
    share: float | None
    inner: Mapping[str, Inner]
    rest: list[Inner] = field(default_factory=list)
    flag: bool = False


WHOLE = {"name": "x", "kind": "a", "share": 1, "inner": {"one": {"size": 2}}}


def test_all_that_a_dataclass_holds():
    made = decode(Outer, {**WHOLE, "rest": [{"size": 3}]})
    assert made == Outer("x", "a", 1, {"one": Inner(2)}, [Inner(3)])
    assert decode(Outer, {**WHOLE, "share": None}).share is None


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"name": 3}, "name is '3', no str"),
        ({"kind": "c"}, "kind is 'c'"),
        ({"share": "much"}, "share is 'much'"),
        ({"inner": {"one": {"size": "2"}}}, "size is '2', no int"),
        ({"inner": {"one": {"size": True}}}, "size is 'True', no int"),
        ({"inner": {"one": {}}}, "one has no 'size'"),
        ({"inner": []}, "inner is"),
        ({"rest": {}}, "rest is"),
        ({"rest": [4]}, "rest is int, no object"),
        ({"flag": 1}, "flag is '1', no bool"),
        ({"more": 1}, "it has 'more', which nobody knows"),
    ],
)
def test_what_is_of_another_type(wrong, message):
    with pytest.raises(ValueError, match=message):
        decode(Outer, WHOLE | wrong)


@pytest.mark.parametrize("said", [None, [], 3, "x", {}])
def test_what_is_no_such_object(said):
    with pytest.raises(ValueError, match=r"is .*, no object|has no 'name'"):
        decode(Outer, said)
    with pytest.raises(ValueError, match=r"is .*, no object|has no 'name'"):
        check_keys_of(said, {"name": str})


def test_keys_beside_those_that_are_looked_for():
    assert check_keys_of({"a": 1, "b": "x"}, {"a": int}) == {"a": 1, "b": "x"}

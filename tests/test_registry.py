"""The registry: names are given once, found by NAME or MODULE:NAME, and only `load` imports."""

from __future__ import annotations

import re
import sys

import pytest

from equipoise.errors import UsageError
from equipoise.registry import Registry


@pytest.fixture
def animals():
    return Registry("animal", {"horse": 4, "heron": 2}, option="--animal")


@pytest.fixture
def own_animals(tmp_path, monkeypatch, animals):
    """A module of a user's own that registers an octopus in `animals`."""
    (tmp_path / "own_animals.py").write_text("import zoo\nzoo.animals.register('octopus', 8)\n")
    (tmp_path / "zoo.py").write_text("animals = None\n")
    monkeypatch.syspath_prepend(tmp_path)
    import zoo

    zoo.animals = animals
    yield
    for name in ("zoo", "own_animals"):
        sys.modules.pop(name, None)


def complaint(call, *arguments):
    """The one line with which a call that has to fail does so."""
    with pytest.raises(UsageError) as error:
        call(*arguments)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_it_is_a_mapping_in_the_order_of_registration(animals):
    assert animals.register("ant", 6) == 6
    assert dict(animals) == {"horse": 4, "heron": 2, "ant": 6}
    assert list(animals) == ["horse", "heron", "ant"]
    assert animals["ant"] == 6
    assert "newt" not in animals
    with pytest.raises(KeyError):
        animals["newt"]


def test_a_taken_name_is_refused_however_it_is_given(animals):
    expected = "there is an animal 'horse' already; choose another name"
    assert complaint(animals.register, "horse", 5) == expected
    assert complaint(animals.__setitem__, "horse", 5) == expected
    assert complaint(animals.update, {"horse": 5}) == expected
    assert animals["horse"] == 4
    assert complaint(Registry("task", {"a": 1}).register, "a", 1).startswith("there is a task 'a'")


def test_a_name_has_no_colon(animals):
    assert complaint(animals.register, "my:horse", 4) == (
        "animal 'my:horse': a name has no colon; MODULE:NAME is what asks for it"
    )


def test_it_can_be_emptied_and_filled_again(animals):
    before = dict(animals)
    animals.register("ant", 6)
    animals.clear()
    assert not animals
    animals.update(before)
    assert dict(animals) == before


def test_find_names_the_nearest(animals):
    assert animals.find("horse") == 4
    own = " (one of your own has to be registered first)"
    assert complaint(animals.find, "hores") == f"unknown animal 'hores'; did you mean 'horse'?{own}"
    assert complaint(animals.find, "zzz") == f"unknown animal 'zzz'; known: heron, horse{own}"
    assert complaint(Registry("task", {"hop": 1}).find, "hup") == "unknown task 'hup'; did you mean 'hop'?"


def test_only_load_imports(animals, own_animals):
    assert complaint(animals.find, "own_animals:octopus") == (
        "animal 'own_animals:octopus' is not registered; 'own_animals' has to be imported and to register it "
        "(on the command line: --animal own_animals:octopus)"
    )
    assert "own_animals" not in sys.modules
    assert animals.load("own_animals:octopus") == 8
    assert animals.find("own_animals:octopus") == animals.find("octopus") == animals.load("octopus") == 8


def test_a_module_that_cannot_be_imported_is_told(animals):
    said = complaint(animals.load, "no_such_module:newt")
    assert re.match(r"cannot import 'no_such_module' for animal 'no_such_module:newt': No module", said)


def test_what_a_module_says_itself_is_told_as_it_is(animals, tmp_path, monkeypatch):
    (tmp_path / "shy_animals.py").write_text(
        "from equipoise.errors import UsageError\nraise UsageError('first: pip install shells')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert complaint(animals.load, "shy_animals:snail") == "first: pip install shells"


def test_a_module_that_registers_something_else_is_told(animals, own_animals):
    assert "is not registered" in complaint(animals.load, "own_animals:squid")

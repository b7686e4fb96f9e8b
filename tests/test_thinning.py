"""What `make test` leaves out, `make test-all` runs; of every thinned test some cases are left."""

from types import SimpleNamespace

import pytest

from thinning import pytest_collection_modifyitems


def item(name, **marks):
    """Return what pytest would have collected: a case by name, with its marks and their arguments."""
    found = {mark: SimpleNamespace(args=arguments) for mark, arguments in marks.items()}
    return SimpleNamespace(nodeid=name, get_closest_marker=found.get)


CASES = [item(f"a.py::test_each[{i}]", one_in=(4,)) for i in range(100)]
OTHERS = [item("a.py::test_long", slow=()), item("a.py::test_short"), item("b.py::test_each[0]", one_in=(6,))]


def left(items, all_cases=False, asked=("tests",)):
    """Return the names of what is run, in order, and of what is said to be left out."""
    said = []
    hook = SimpleNamespace(pytest_deselected=lambda items: said.extend(items))
    config = SimpleNamespace(getoption={"--all-cases": all_cases}.get, args=list(asked), hook=hook)
    run = list(items)
    pytest_collection_modifyitems(config, run)
    return [i.nodeid for i in run], [i.nodeid for i in said]


def test_about_one_in_so_many_is_run_and_at_least_one_and_nothing_that_is_slow():
    run, out = left(CASES + OTHERS)
    assert 15 <= sum(name.startswith("a.py::test_each") for name in run) <= 35
    assert run[-2:] == ["a.py::test_short", "b.py::test_each[0]"] and "a.py::test_long" in out
    assert sorted(run + out) == sorted(i.nodeid for i in CASES + OTHERS)


def test_the_choice_is_the_names_and_not_the_orders():
    assert set(left(CASES)[0]) == set(left(CASES[::-1])[0])
    others = [item(i.nodeid.replace("each", "other"), one_in=(4,)) for i in CASES]
    assert {name.split("[")[1] for name in left(CASES)[0]} != {name.split("[")[1] for name in left(others)[0]}


def test_tests_of_the_same_trainings_choose_alike():
    one, other = ([item(f"a.py::test_{t}[{i}]", one_in=(4, "training")) for i in range(100)] for t in "ab")
    run = left(one + other)[0]
    assert {name[12:] for name in run if "test_a" in name} == {name[12:] for name in run if "test_b" in name}


@pytest.mark.parametrize("how", [{"all_cases": True}, {"asked": ["tests/a.py::test_long"]}])
def test_what_is_asked_for_is_run(how):
    assert left(CASES + OTHERS, **how) == ([i.nodeid for i in CASES + OTHERS], [])


def test_every_algorithm_is_met(request):
    """Seen where the whole suite is run: each worker collects all of it."""
    if request.config.args != [str(request.config.rootpath / "tests")] and request.config.args != ["tests"]:
        pytest.skip("only part of the tests was collected")
    from equipoise.algorithms import ALGORITHMS

    names = [i.nodeid for i in request.session.items]
    for algorithm in ALGORITHMS:
        met = {name.split("[")[0] for name in names if f"[{algorithm}-" in name or f"[{algorithm}]" in name}
        assert len(met) >= 2, f"of {algorithm} too little is left: {sorted(met)}"

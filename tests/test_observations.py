"""Observations as vectors: as Gymnasium flattens them, and refused where they are not what their space says."""

from __future__ import annotations

import re

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, Graph, MultiBinary, MultiDiscrete, Sequence, Text, Tuple

from equipoise.environments.observations import flatten, from_text, layout_of, length, place, to_text
from equipoise.errors import UsageError

SPACES = {
    "vector": Box(-1, 1, (3,)),
    "table": Box(-np.inf, np.inf, (2, 1), np.float64),
    "picture": Box(0, 255, (4, 3, 3), np.uint8),
    "number": Box(-1, 1, ()),
    "choice": Discrete(4, start=-1),
    "bits": MultiBinary((2, 2)),
    "choices": MultiDiscrete([3, 2]),
    "table of choices": MultiDiscrete([[3, 2], [1, 4]], start=[[1, 0], [0, -2]]),
    "dict": Dict({"b": Box(0, 9, (2,)), "a": Dict({"x": Discrete(2), "y": Box(-1, 1, (2, 2))})}),
    "tuple": Tuple([Discrete(3), Dict({"v": Box(-1, 1, (2,))})]),
}


@pytest.mark.parametrize("name", SPACES)
def test_an_observation_is_flattened_as_gymnasium_flattens_it(name):
    space = SPACES[name]
    layout = from_text(to_text(layout_of(space, "Rail")), gymnasium.spaces.flatdim(space))
    assert layout == layout_of(space, "Rail")
    assert length(layout) == gymnasium.spaces.flatdim(space)
    space.seed(0)
    for observation in (space.sample() for _ in range(20)):
        found = flatten(layout, observation, "Rail.reset")
        assert found.dtype == np.float64
        np.testing.assert_array_equal(found, gymnasium.spaces.flatten(space, observation))


@pytest.mark.parametrize("space", [Text(3), Sequence(Discrete(2)), Graph(Box(-1, 1, (2,)), None), None])
def test_a_space_without_a_fixed_length_is_refused(space):
    with pytest.raises(UsageError, match=r"^Rail has an observation space of .*; allowed: gymnasium's Box, Discrete"):
        layout_of(space, "Rail")


@pytest.mark.parametrize(
    ("name", "observation", "said"),
    [
        ("vector", np.zeros(1), "of shape (1,); its space says (3,)"),
        ("vector", np.zeros((1, 3)), "of shape (1, 3); its space says (3,)"),
        ("vector", 0.0, "of shape (); its space says (3,)"),
        ("vector", None, "of None; its space says numbers"),
        ("vector", ["a", "b", "c"], "of list; its space says numbers"),
        ("vector", [[1.0], [1.0, 2.0]], "of list; its space says numbers"),
        ("vector", {"x": 1}, "of dict; its space says numbers"),
        ("vector", (np.zeros(3), {}), "of tuple; its space says numbers"),
        ("table", np.zeros((1, 2)), "of shape (1, 2); its space says (2, 1)"),
        ("picture", np.full((4, 3, 3), 0.7), "of float64; its space says uint8"),
        ("choice", 3, "with 3; its space says -1 to 2"),
        ("choice", 0.5, "of float64; its space says whole numbers"),
        ("choice", np.array([0, 1]), "of shape (2,); its space says ()"),
        ("bits", np.full((2, 2), 2), "with 2; its space says 0 to 1"),
        ("table of choices", np.array([[1, 0], [0, 2]]), "with 2; its space says -2 to 1"),
        ("dict", np.zeros(8), "of ndarray; its space says ['a', 'b']"),
        ("dict", {"a": {"x": 0, "y": np.zeros((2, 2))}}, "of ['a']; its space says ['a', 'b']"),
        (
            "dict",
            {"b": np.zeros(2), "a": {"x": 0, "y": np.zeros(4)}},
            "['a']['y'] of shape (4,); its space says (2, 2)",
        ),
        ("tuple", (1,), "of tuple; its space says a tuple of 2"),
        ("tuple", (1, {"v": [0.0]}), "[1]['v'] of shape (1,); its space says (2,)"),
    ],
)
def test_what_is_not_in_the_space_is_refused_naming_the_entry(name, observation, said):
    layout = layout_of(SPACES[name], "Rail")
    gap = "" if said.startswith("[") else " "
    with pytest.raises(UsageError, match=f"^Rail.reset gives an observation{gap}{re.escape(said)}$"):
        flatten(layout, observation, "Rail.reset")


def test_numbers_of_another_kind_that_lose_nothing_are_taken():
    layout = layout_of(SPACES["vector"], "Rail")
    for observation in ([1, 0, 1], np.array([1, 0, 1], np.int64), (True, False, True), np.array([1.0, 0.0, 1.0])):
        np.testing.assert_array_equal(flatten(layout, observation, "Rail.reset"), [1, 0, 1])
    np.testing.assert_array_equal(flatten(layout_of(Discrete(3), "Rail"), np.array([2]), "Rail.reset"), [0, 0, 1])


def test_an_entry_of_the_vector_is_found_in_the_observation():
    assert [place(layout_of(SPACES["table"], "Rail"), i) for i in range(2)] == ["[0, 0]", "[1, 0]"]
    found = [place(layout_of(SPACES["dict"], "Rail"), i) for i in range(8)]
    assert found == ["['a']['x']"] * 2 + [f"['a']['y'][{i}, {j}]" for i in (0, 1) for j in (0, 1)] + [
        "['b'][0]",
        "['b'][1]",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "7",
        '["box", [2]]',
        '["box", [3], "<f4"',
        '["sphere", 3]',
        '["box", 3, "<f4"]',
        "[" * 5000,
        "[]",
        "null",
    ],
)
def test_a_text_that_is_no_layout_is_refused(text):
    with pytest.raises(UsageError, match=r"is no description of an observation of 3 number\(s\)$"):
        from_text(text, 3)

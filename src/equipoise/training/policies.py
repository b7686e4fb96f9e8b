"""Policies kept along a run: what acts and nothing else, in small files, for whoever chooses among them later.

A checkpoint holds all that training goes on from, of which critics and optimisers are the larger part (with layers of
64 units on SafetyHalfCheetah-v4 136 of 163 KB), and so only ten are kept. To act, a policy needs its network, the
normaliser of its observations, and the lens's memory, which says what budget an episode starts with.
"""

from __future__ import annotations

from pathlib import Path

from equipoise.errors import UsageError
from equipoise.training.checkpoint import RunState, check_number, numbers_in, read_state, state_path, write_state
from equipoise.training.folder import policy_folder

MOST_MIXED = 1000
"""Policies that a mixture may have."""


def acting_part(state: RunState) -> RunState:
    """Return `state` with nothing in it but what acts: empty tuples take the places of critics, step and rule."""
    nothing: tuple[()] = ()
    learner = state.learner._replace(critics=nothing, step=nothing, rule=nothing)  # type: ignore[arg-type]
    return state._replace(learner=learner)


def is_acting_part(state: RunState) -> bool:
    """Tell whether a state has nothing in it but what acts, so that no training can go on from it."""
    return isinstance(state.learner.critics, tuple) and not state.learner.critics


def keep_policy(run: Path, state: RunState, iterations: int, keep: int) -> None:
    """Write the policy of `state` if it is one of about `keep`, evenly spaced, of a run of so many `iterations`."""
    if keep and (state.iteration % -(-iterations // keep) == 0 or state.iteration == iterations):
        folder = policy_folder(run)
        folder.mkdir(exist_ok=True)
        write_state(state_path(folder, state.iteration), acting_part(state))


def kept_policies(run: Path) -> list[int]:
    """Return the iterations whose policies were kept along `run`, oldest first."""
    return numbers_in(policy_folder(run))


def load_policy(run: Path, template: RunState, iteration: int) -> RunState:
    """Read a policy that was kept along `run` into the shape of `template`, a whole state of that run.

    Raises `UsageError` for a file that is damaged or of another run, and where there is none.
    """
    path = state_path(policy_folder(run), iteration)
    try:
        state = read_state(path, acting_part(template))
    except FileNotFoundError:
        raise UsageError(f"{path} is gone: it was removed in between") from None
    check_number(path, state, iteration)
    return state

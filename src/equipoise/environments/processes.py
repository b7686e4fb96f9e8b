"""Environments of a user's own in several processes: the same simulator, with its environments shared out.

A process of Gymnasium's `AsyncVectorEnv` steps one environment; here one steps as many as there are a core. Its costs
come as they are, an error keeps its traceback, and a process ends with the one that started it.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import traceback
from collections.abc import Iterator, Sequence
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Num

from equipoise.environments.foreign import EnvFactory, ForeignEnvironments, seeds_from
from equipoise.errors import UsageError
from equipoise.modules import folder_served, served_from
from equipoise.physics.simulator import Transition

PATIENCE = 5.0
"""Seconds that a process has to end by itself."""


class ProcessEnvironments:
    """A `Simulator` whose environments are shared out among `workers` processes, at most one for each environment.

    What it does is what `ForeignEnvironments` does, bit for bit: every environment draws from the same seeds, wherever
    it is. `make` is sent to the processes, so it has to be something that they can import. An error of an environment
    is raised here as it is, with its own traceback as its cause; a process that ends is a `UsageError`.
    """

    def __init__(
        self,
        make: EnvFactory,
        num_envs: int,
        name: str,
        cost_names: tuple[str, ...] = ("cost",),
        horizon: int | None = None,
        workers: int = 1,
    ) -> None:
        self.num_envs = num_envs
        self._name, self._ready = name, False
        shares = np.array_split(np.arange(num_envs), min(workers, num_envs))
        self._workers: list[_Worker] = []
        wanted = [(make, len(share), name, cost_names, horizon, int(share[0])) for share in shares]
        letters = [_packed(arguments, name) for arguments in wanted]
        try:
            with _starting():
                for share in shares:
                    self._workers.append(_start(range(int(share[0]), int(share[-1]) + 1)))
            problems = self._ask_all([("make", (letter,)) for letter in letters])
            self._ready = True
            self.problem = problems[0]
            if any(problem != self.problem for problem in problems):
                raise UsageError(f"{name} makes environments that differ in their spaces; allowed: all alike")
        except BaseException:
            self.close()
            raise

    def reset(self, indices: Sequence[int], randoms: Sequence[np.random.Generator]) -> Float[np.ndarray, "n obs"]:
        """Reset each environment of `indices` with a seed drawn from its own source of noise."""
        seeds = dict(zip(indices, seeds_from(randoms), strict=True))
        own = [[i for i in indices if i in worker.envs] for worker in self._workers]
        questions = [
            ("begin", ([i - worker.envs.start for i in mine], [seeds[i] for i in mine])) if mine else None
            for worker, mine in zip(self._workers, own, strict=True)
        ]
        answers = self._ask_all(questions)
        place = {env: row for row, env in enumerate(indices)}
        observation = np.zeros((len(place), self.problem.observation_size))
        for mine, answer in zip(own, answers, strict=True):
            if mine:
                observation[[place[i] for i in mine]] = answer
        return observation

    def step(self, action: Num[np.ndarray, "N act"]) -> Transition:
        """Step every environment once, side by side in the processes."""
        steps = self._ask_all([("step", (action[w.envs.start : w.envs.stop],)) for w in self._workers])
        columns = zip(*(step[:6] for step in steps), strict=True)
        observation, reward, cost, terminated, truncated, diverged = (np.concatenate(parts) for parts in columns)
        reason = next((step.reason for step in steps if step.reason), "")
        return Transition(observation, reward, cost, terminated, truncated, diverged, reason)

    def close(self) -> None:
        """Close every environment, and end the processes."""
        for worker in self._workers:
            worker.connection.close()  # which it takes as its end
        for worker in self._workers:
            worker.process.join(PATIENCE)
            for end in (worker.process.terminate, worker.process.kill):
                if worker.process.is_alive():
                    end()
                    worker.process.join(PATIENCE)

    def _ask_all(self, questions: Sequence[tuple[str, tuple[Any, ...]] | None]) -> list[Any]:
        """Put a question to every process that has one, all at once; return the answers, None where there was none."""
        pairs = list(zip(self._workers, questions, strict=True))
        for worker, question in pairs:
            if question is not None:
                with self._noticing(worker):
                    # Not `send`: the buffer that it writes, kept by the traceback of a broken pipe, crashes the garbage
                    # collector of Python 3.12.0 and 3.12.1 (python/cpython issue 111049).
                    worker.connection.send_bytes(pickle.dumps(question))
        return [self._answer(worker) if question is not None else None for worker, question in pairs]

    def _answer(self, worker: _Worker) -> Any:
        """Return the answer of a process; an error there is raised here."""
        with self._noticing(worker):
            kind, content = worker.connection.recv()
        if kind == "returned":
            return content
        error, text = content
        try:
            raised = pickle.loads(error)
        except Exception:  # it cannot be made again here: what it said is in its traceback
            raised = RuntimeError(f"an environment of {self._name} failed in another process")
        if isinstance(raised, UsageError):
            raise raised
        raise raised from _ThereError(text)

    @contextlib.contextmanager
    def _noticing(self, worker: _Worker) -> Iterator[None]:
        """Raise `UsageError` where a process has ended."""
        try:
            yield
        except (EOFError, ConnectionError):
            worker.process.join(PATIENCE)
            which = f"of environments {worker.envs[0]} to {worker.envs[-1]} of {self._name}"
            if not self._ready:
                raise UsageError(
                    f"the process {which} ended before they were made ({_how(worker.process.exitcode)}); if this is a "
                    'program of yours, what it does has to stand under if __name__ == "__main__":, since every process '
                    "imports it"
                ) from None
            raise UsageError(
                f"the process {which} ended ({_how(worker.process.exitcode)}); what is on the disk can be resumed"
            ) from None


class _Worker(NamedTuple):
    """A process, and how to reach it."""

    process: Any
    """The process."""
    connection: Connection
    """The way to it."""
    envs: range
    """The numbers of its environments."""


class _ThereError(Exception):
    """The traceback of an error in another process, in words."""

    def __str__(self) -> str:
        return f"in another process\n\n{self.args[0]}"


def _how(exitcode: int | None) -> str:
    """Say how a process ended."""
    if exitcode is None or exitcode >= 0:
        return f"exit code {exitcode}"
    name = signal.Signals(-exitcode).name
    return f"killed by {name}" + (", perhaps for want of memory" if name == "SIGKILL" else "")


def _packed(arguments: tuple[Any, ...], name: str) -> bytes:
    """Return what a process makes its environments of."""
    try:
        return pickle.dumps(arguments)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise UsageError(
            f"{name} cannot be sent to another process ({error}); allowed with workers: a Gymnasium id, or a class or "
            "a function at the top level of a module"
        ) from None


@contextlib.contextmanager
def _starting() -> Iterator[None]:
    """Start processes that hear no Ctrl-C, which ends whoever started them, and find no module in the working folder.

    Both have to hold before they have run a line of this file: `python -c`, by which they are started, looks into the
    working folder first, which could be a run from someone else.
    """
    safe, masks = os.environ.get(SAFE_PATH), hasattr(signal, "pthread_sigmask")
    os.environ[SAFE_PATH] = "1"
    if masks:
        resource_tracker.ensure_running()  # later it would let the signal through again
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        if masks:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if safe is None:
            del os.environ[SAFE_PATH]


SAFE_PATH = "PYTHONSAFEPATH"
"""Set, it keeps the folder of a Python program, or the working folder, off its path."""


def _start(envs: range) -> _Worker:
    """Start a process for the environments of these numbers, within `_starting`."""
    context = multiprocessing.get_context("spawn")  # JAX does not survive a fork
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, folder_served()), daemon=True)
    process.start()
    theirs.close()
    return _Worker(process, ours, envs)


def _serve(connection: Connection, folder: Path | None) -> None:
    """Answer questions about environments until whoever asks is gone: what a process does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    simulator: ForeignEnvironments | None = None
    with contextlib.suppress(EOFError, ConnectionError), served_from(folder):
        while True:
            question, arguments = connection.recv()
            try:
                if question == "make":
                    simulator = ForeignEnvironments(*_unpacked(arguments[0]))
                    answer: Any = simulator.problem
                else:
                    answer = getattr(simulator, question)(*arguments)
            except Exception as error:
                connection.send(("raised", _sendable(error)))
            else:
                connection.send(("returned", answer))
    if simulator is not None:
        simulator.close()


def _unpacked(letter: bytes) -> tuple[Any, ...]:
    """Return what `_packed` packed."""
    try:
        make, num_envs, name, cost_names, horizon, first = pickle.loads(letter)
    except (AttributeError, ImportError, UsageError) as error:
        raise UsageError(
            f"another process does not find what makes the environment ({error}); allowed with workers: an id "
            "MODULE:ID that the module registers, or a class or a function at the top level of a module"
        ) from None
    return make, num_envs, name, cost_names, horizon, first


def _sendable(error: Exception) -> tuple[bytes, str]:
    """Return an error as bytes, none where it cannot be made again of them, and its traceback in words."""
    text = "".join(traceback.format_exception(error))
    try:
        packed = pickle.dumps(error)
        pickle.loads(packed)
    except Exception:
        packed = b""
    return packed, text

"""Registries: what the library, or a user's own module, offers by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from typing import Generic, TypeVar

from equipoise.errors import UsageError, unknown
from equipoise.modules import import_named

T = TypeVar("T")


class Registry(MutableMapping[str, T], Generic[T]):
    """Things of one kind by name: a mapping in the order of registration, in which no name is given twice.

    A name is asked for as NAME, or as MODULE:NAME where a user's own module registers it. `find` never imports that
    module, so it can look up a name that was read from a file; `load` does, and is for names that the user gives.
    """

    def __init__(self, kind: str, entries: Mapping[str, T] | None = None, option: str | None = None) -> None:
        """Register `entries`.

        Args:
            kind: What is registered, in the singular, as error messages call it: "task".
            entries: The library's own, by name.
            option: The command-line option that names a user's own as MODULE:NAME, if there is one: error messages
                mention it.
        """
        self._kind = kind
        self._option = option
        self._entries: dict[str, T] = {}
        self.update(entries or {})

    def register(self, name: str, value: T) -> T:
        """Make `value` known as `name` and return it; `UsageError` if the name is taken or has a colon."""
        if name in self._entries:
            article = "an" if self._kind[0] in "aeiou" else "a"
            raise UsageError(f"there is {article} {self._kind} {name!r} already; choose another name")
        if ":" in name:
            raise UsageError(f"{self._kind} {name!r}: a name has no colon; MODULE:NAME is what asks for it")
        self._entries[name] = value
        return value

    def find(self, name: str) -> T:
        """Return what NAME or MODULE:NAME was registered as, importing nothing; `UsageError` if there is none."""
        module, _, own = name.rpartition(":")
        if own in self._entries:
            return self._entries[own]
        if module:
            hint = f" (on the command line: {self._option} {name})" if self._option else ""
            raise UsageError(
                f"{self._kind} {name!r} is not registered; {module!r} has to be imported and to register it{hint}"
            )
        hint = " (one of your own has to be registered first)" if self._option else ""
        raise UsageError(f"{unknown(self._kind, name, self._entries)}{hint}")

    def load(self, name: str) -> T:
        """Return what NAME or MODULE:NAME was registered as, importing MODULE first; `UsageError` if that fails."""
        module = name.rpartition(":")[0]
        if module:
            import_named(module, f"{self._kind} {name!r}")
        return self.find(name)

    def __getitem__(self, name: str) -> T:
        return self._entries[name]

    def __setitem__(self, name: str, value: T) -> None:
        self.register(name, value)

    def __delitem__(self, name: str) -> None:
        del self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"Registry({self._kind!r}, {self._entries!r})"

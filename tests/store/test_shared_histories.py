"""Random histories: each real store does what the one in memory does."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from fairlead.model.errors import FairleadError
from fairlead.store.memory import Memory
from fairlead.store.shared import ABSENT, Entry, SharedStore
from tests.store.conftest import REAL, Shared

T = TypeVar("T")
KEYS = st.sampled_from(["a/b", "a/c/d", "a/c/e", "x"])
VALUES = st.binary(min_size=1, max_size=20).map(lambda value: value.hex().encode())


def histories(shared: Shared, loop: asyncio.Runner) -> type[RuleBasedStateMachine]:
    """Histories in a store beside those in memory."""

    class Histories(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            shared.renew()
            self.real: SharedStore = shared.client()
            self.model: SharedStore = Memory().client()
            # The versions that each key has had, of the model and of the store.
            self.had: dict[str, list[tuple[int, int]]] = {}

        def run(self, work: Coroutine[Any, Any, T]) -> T | str:
            """What comes of it, or the kind of error."""
            try:
                return loop.run(work)
            except FairleadError as error:
                return type(error).__name__

        def version(self, key: str, back: int) -> tuple[int, int]:
            """The last version of a key, one from before it, or none."""
            had = self.had.get(key, [])
            return had[-back] if 0 < back <= len(had) else (ABSENT, ABSENT)

        @rule(key=KEYS, value=VALUES, back=st.integers(0, 3))
        def put(self, key: str, value: bytes, back: int) -> None:
            model, real = self.version(key, back)
            expected = self.run(self.model.put(key, value, model))
            found = self.run(self.real.put(key, value, real))
            assert told(found) == told(expected)
            if isinstance(expected, Entry) and isinstance(found, Entry):
                self.had.setdefault(key, []).append((expected.version, found.version))

        @rule(key=KEYS, back=st.integers(0, 2))
        def delete(self, key: str, back: int) -> None:
            model, real = self.version(key, back)
            expected = self.run(self.model.delete(key, model))
            assert self.run(self.real.delete(key, real)) == expected

        @rule(key=KEYS)
        def get(self, key: str) -> None:
            assert told(self.run(self.real.get(key))) == told(self.run(self.model.get(key)))

        @rule(prefix=st.sampled_from(["a", "a/c", "x", "nothing"]))
        def entries(self, prefix: str) -> None:
            found, expected = (
                self.run(self.real.entries(prefix)),
                self.run(self.model.entries(prefix)),
            )
            assert {told(entry) for entry in found} == {told(entry) for entry in expected}

        def teardown(self) -> None:
            self.run(self.real.close())

    return Histories


def told(found: object) -> object:
    """A result without its version, which is each store's own."""
    return (found.key, found.value) if isinstance(found, Entry) else found


@pytest.mark.parametrize("running", REAL, indirect=True)
def test_every_store_is_like_the_one_in_memory(shared: Shared) -> None:
    """Whatever is read, written and removed, with versions right and stale."""
    with asyncio.Runner() as loop:
        run_state_machine_as_test(
            histories(shared, loop),
            settings=settings(
                max_examples=12,
                stateful_step_count=25,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
            ),
        )

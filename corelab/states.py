"""State machines as tables: a move is a row, a missing row is a refusal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from corelab.errors import InvalidMove, NotAllowed, Refused


@dataclass(frozen=True, kw_only=True)
class Move:
    """One allowed change of state.

    Attributes
    ----------
    event, source, target : str
        What happens, in which state it may, and the state after it.
    roles : frozenset of str
        Roles that may do it; empty means only the system does.
    guards : tuple of callables
        Each takes the row and returns a sentence that says why not, or an empty string.
    reason, signature : bool
        Whether a reason must be given, whether it must be signed.
    """

    event: str
    source: str
    target: str
    roles: frozenset[str] = frozenset()
    guards: tuple[Callable[[Any], str], ...] = ()
    reason: bool = False
    signature: bool = False

    def check(self, row: Any, *, roles: Iterable[str] | None, reason: str = "") -> None:
        """Raise NotAllowed or Refused unless this move may be made now; ``roles=None`` is the system."""
        if roles is not None and not self.roles & set(roles):
            raise NotAllowed("Your role does not permit this. Ask the core lab.")
        if self.reason and not reason.strip():
            raise Refused("Say why: this needs a reason.", code="REASON-MISSING")
        for guard in self.guards:
            if why_not := guard(row):
                raise Refused(why_not, code="GUARD")


class MoveTable:
    """All moves of one kind of row."""

    def __init__(self, name: str, moves: Iterable[Move]) -> None:
        self.name = name
        self._moves: dict[tuple[str, str], Move] = {}
        for move in moves:
            key = (move.event, move.source)
            if key in self._moves:
                msg = f"{name}: two rows for {key}"
                raise ValueError(msg)
            self._moves[key] = move

    def __iter__(self) -> Iterator[Move]:
        return iter(self._moves.values())

    def find(self, event: str, source: str) -> Move:
        """Return the row for this event in this state, or raise InvalidMove."""
        try:
            return self._moves[event, source]
        except KeyError:
            words = source.replace("_", " ").lower()
            raise InvalidMove(f"This cannot be done now: it is {words}. Look at the new state first.") from None

    def allows(self, event: str, source: str) -> bool:
        """Say whether the table has such a row, whoever asks."""
        return (event, source) in self._moves

    def states(self) -> set[str]:
        """Return every state that a row names."""
        return {state for move in self for state in (move.source, move.target)}

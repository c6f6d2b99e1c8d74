"""The variables that are always there: mdb's own, and what the target gives."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kdbg.lang.variables import Variable, Variables

if TYPE_CHECKING:
    from kdbg.lang.session import Session

SIZES = "bdemt"
"""Addresses and sizes of the target: see `Target.reserved`."""


class Reserved:
    """Defines a session's variables."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._hidden = 1
        """What ``_`` was set to when names were last switched off."""

    def define(self, variables: Variables) -> Variable:
        """Define those that are always there, the target's when they are first asked for; the one of the last value."""
        session = self._session
        variables.add(Variable(".", persistent=True, fetch=lambda: session.dot, store=session.set_dot))
        last_value = variables.add(Variable("0", persistent=True))
        before_last = Variable("2", persistent=True)
        variables.add(Variable("1", persistent=True, before=before_last.set))
        variables.add(before_last)
        variables.add(Variable("9", persistent=True))
        variables.add(Variable("_", persistent=True, fetch=self._no_symbols, store=self._set_no_symbols))
        variables.add(Variable("hits", persistent=True))
        variables.add(Variable("thread", persistent=True, read_only=True))
        variables.define_later(lambda: self._define_targets(variables))
        return last_value

    def _no_symbols(self) -> int:
        return 0 if self._session.settings.symbols else self._hidden

    def _set_no_symbols(self, value: int) -> None:
        self._session.settings.symbols = not value
        self._hidden = value

    def _define_targets(self, variables: Variables) -> None:
        target = self._session.target
        dump = target.kind == "dump"
        sizes: dict[str, int]
        if dump:
            from kdbg.lang.registers import kernel_sizes

            sizes = kernel_sizes(target)
        else:
            sizes = getattr(target, "reserved", dict)()
        for name in SIZES:
            variables.add(Variable(name, sizes.get(name, 0), persistent=True))
        registers = target.registers()
        if "rip" in registers and "eax" not in registers:
            from kdbg.lang.registers import with_parts

            registers = with_parts(registers)
        ordered = list(registers.items())
        # The order within a bucket of the table of names differs: so it is recorded.
        for name, value in ordered if dump else reversed(ordered):
            if name not in variables:
                variables.add(Variable(name, value, persistent=True, read_only=dump))

"""The kernel's clock: ticks and nanoseconds since it started, as of when the dump was taken.

Facts: lbolt_info_t of <sys/clock_impl.h>; panic_lbolt64, lbolt_hybrid, lbolt_bootstrap; before 2010 ticks were counted
in the variables lbolt64 and lbolt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kdbg.errors import Error

if TYPE_CHECKING:
    from kdbg.kernels.solaris.kernel import Solaris


def hrtime(kernel: Solaris) -> int:
    """Nanoseconds since the start, when the debugger or the dump stopped the clock; 0 where it is not told."""
    try:
        if kernel.word_at("lbolt_hybrid") == kernel.symbol("lbolt_bootstrap").address:
            return 0
        return int(kernel.load("lbolt_info_t", kernel.word_at("lb_info")).lbi_debug_ts)
    except Error:
        return 0


def lbolt(kernel: Solaris) -> int:
    """Clock ticks since the start; those of the panic where there was one. 0 where they are not told."""
    if (ticks := _counted(kernel, "panic_lbolt64")) > 0:
        return ticks
    if not kernel.has_symbol("lb_info"):
        return _counted(kernel, "lbolt64") or _counted(kernel, "lbolt")
    nanoseconds = hrtime(kernel)
    if nanoseconds <= 0:
        return 0
    try:
        stopped = int(kernel.load("lbolt_info_t", kernel.word_at("lb_info")).lbi_debug_time)
        return nanoseconds // int(kernel.variable("nsec_per_tick")) - stopped
    except (Error, ZeroDivisionError):
        return 0


def _counted(kernel: Solaris, name: str) -> int:
    """The number in a variable; 0 where there is none."""
    try:
        return int(kernel.variable(name))
    except (Error, TypeError):
        return 0

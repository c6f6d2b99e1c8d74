"""Processes: proc_t, the tree that they form, and the table of their ids.

Facts: <sys/proc.h>, <sys/cred_impl.h>, <sys/session.h>, <sys/task.h>, <sys/project.h>, <sys/zone.h>.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kdbg.errors import Error, ReadError
from kdbg.kernels.solaris.lists import StoppedError, unreadable
from kdbg.records import Process
from kdbg.symbols.layouts import Layout

if TYPE_CHECKING:
    from kdbg.kernels.solaris.kernel import Solaris

STATES = {1: "S", 2: "R", 3: "Z", 4: "T", 5: "I", 6: "O", 7: "W"}
"""SSLEEP, SRUN, SZOMB, SSTOP, SIDL, SONPROC, SWAIT of <sys/proc.h>, by the letter that ps shows."""

MOST_PROCESSES = 1_000_000
MOST_ANCESTORS = 10_000

MEMBERS = {
    "stat": "p_stat",
    "pid_at": "p_pidp",
    "group_at": "p_pgidp",
    "parent_pid": "p_ppid",
    "credentials": "p_cred",
    "session": "p_sessp",
    "task": "p_task?",
    "zone": "p_zone?",
    "contract": "p_ct_process?",
    "flags": "p_flag",
    "name": "p_user.u_comm",
    "arguments": "p_user.u_psargs",
    "started": "p_user.u_start.tv_sec?",
    "started_ns": "p_user.u_start.tv_nsec?",
    "parent": "p_parent",
    "child": "p_child",
    "sibling": "p_sibling",
}
"""Our word -> member of proc_t."""


@dataclass(frozen=True, slots=True)
class SolarisProcess(Process):
    """A process with what its proc_t tells; None where what it points to cannot be read."""

    state: str = "?"
    """A letter (`STATES`)."""
    parent_pid: int = 0
    group: int | None = None
    session: int | None = None
    """Pid of the session's leader."""
    task: int | None = None
    project: int | None = None
    zone: int | None = None
    service: str = ""
    """What service manages it (the FMRI of its contract), in short."""
    uid: int | None = None
    flags: int = 0
    arguments: str = ""
    started: int = 0
    """Nanoseconds since 1970."""
    parent: int = 0
    """Address of its parent."""
    depth: int = 0
    """How many ancestors it has, where that was asked."""


class Processes:
    """The processes of one kernel: the layout of proc_t, and the walks."""

    def __init__(self, kernel: Solaris) -> None:
        self.kernel = kernel
        self.layout = Layout(kernel.type("proc_t"), MEMBERS)
        self._read = kernel.memory.read

    def load(self, address: int) -> dict[str, Any]:
        """Members of the proc_t at an address (`MEMBERS`). Raises `ReadError`."""
        return self.layout.read(self._read, address)

    def record(self, address: int) -> SolarisProcess:
        """The process whose proc_t lies at an address. Raises `ReadError`."""
        found = self.load(address)
        return SolarisProcess(
            address=address,
            pid=self._member("struct pid", found["pid_at"], "pid_id") or 0,
            name=found["name"],
            state=STATES.get(found["stat"], "?"),
            parent_pid=found["parent_pid"],
            group=self._member("struct pid", found["group_at"], "pid_id"),
            session=self._member("sess_t", found["session"], "s_sidp", "pid_id"),
            task=self._member("task_t", found["task"], "tk_tkid"),
            project=self._member("task_t", found["task"], "tk_proj", "kpj_id"),
            zone=self._member("zone_t", found["zone"], "zone_id"),
            service=self._service(found["contract"]),
            uid=self._member("cred_t", found["credentials"], "cr_uid"),
            flags=found["flags"],
            arguments=found["arguments"],
            started=(found["started"] or 0) * 10**9 + (found["started_ns"] or 0),
            parent=found["parent"],
        )

    def _member(self, type_name: str, address: int | None, *path: str) -> int | None:
        """A number along a path of members; None where it cannot be read."""
        if not address:
            return None
        try:
            value: Any = self.kernel.load(type_name, address)
            for name in path:
                value = value[name]
            return int(value)
        except (Error, TypeError):
            return None

    def _service(self, contract: int | None) -> str:
        """The FMRI of a process contract without what all FMRIs begin and end with; "?" where it cannot be read."""
        if not contract:
            return ""
        try:
            fmri = str(self.kernel.load("struct cont_process", contract).conp_svc_fmri.rs_string.string())
        except (Error, TypeError, AttributeError):
            return "?"
        return fmri.removeprefix("svc:/").removesuffix(":default") if fmri.startswith("svc:/") else fmri

    # walks

    def first(self) -> int:
        """Address of the first process, the ancestor of all. Raises `SymbolNotFound`."""
        return self.kernel.symbol("p0").address

    def walk(self, start: int, warn: Callable[[str], None]) -> Iterator[int]:
        """A process and those below it, parents first, first children first. ``warn`` is told what is damaged."""
        pending: list[tuple[int, str, int]] = [(start, "", 0)]
        seen = set[int]()
        while pending:
            address, link, origin = pending.pop()
            if address in seen or len(seen) >= MOST_PROCESSES:
                self.kernel.target.note(f"tree of processes: {link} of {origin:x} leads back to {address:x}")
                continue
            try:
                found = self.load(address)
            except ReadError as error:
                warn(f"couldn't read proc_t from {address:x}")
                if link:
                    warn(f"proc {origin:x} has invalid {link} {address:x}; skipping")
                else:
                    warn(f"failed to read proc at {address:x}: {error.reason}")
                continue
            seen.add(address)
            yield address
            if link and found["sibling"]:
                pending.append((found["sibling"], "p_sibling", address))
            if found["child"]:
                pending.append((found["child"], "p_child", address))

    def ancestors(self, address: int) -> tuple[list[int], StoppedError | None]:
        """The ancestors of a process, the first of all processes first, and which on the way is unreadable."""
        found: list[int] = []
        while len(found) < MOST_ANCESTORS:
            try:
                parent = self.load(address)["parent"]
            except ReadError as error:
                return found[::-1], unreadable(address, error)
            if not parent or parent in found:
                break
            found.append(parent)
            address = parent
        return found[::-1], None

    def depth(self, address: int) -> int:
        """How many ancestors a process has; those count that can be read."""
        return len(self.ancestors(address)[0])

    def by_pid(self, pid: int) -> int | None:
        """Address of the process with an id, as the kernel finds it: pidhash, procdir. None where there is none."""
        kernel, word = self.kernel, self.kernel.bits // 8
        try:
            size = int(kernel.variable("pid_hashsz"))
            entry = kernel.word(kernel.word_at("pidhash") + (pid & size - 1) * word)
            seen = set[int]()
            while entry and entry not in seen:
                seen.add(entry)
                found = kernel.load("struct pid", entry)
                if found.pid_id == pid:
                    return kernel.word(kernel.word_at("procdir") + found.pid_prslot * word)
                entry = int(found.pid_link)
        except Error:
            return None
        return None


def processes(kernel: Solaris, start: int | None = None) -> Iterator[SolarisProcess]:
    """All processes, parents before their children, or the one whose proc_t lies at ``start`` and those below it."""
    part = kernel.part(Processes)
    for address in part.walk(part.first() if start is None else start, kernel.target.note):
        yield part.record(address)

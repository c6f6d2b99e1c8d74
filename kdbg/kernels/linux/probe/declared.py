"""Structures whose form has stood for long, and which no configuration changes: told, not looked for.

Sources: include/linux/types.h, rbtree_types.h, path.h, utsname.h, fdtable.h (4.5 on), wait.h, maple_tree.h (6.1 on),
workqueue.h, pid.h, slub_def.h; VMCOREINFO adds the sizes that it tells.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from kdbg.kernels.linux.unwind import PT_REGS

if TYPE_CHECKING:
    from kdbg.kernels.linux.probe.table import Table

STRUCTURES = {
    "list_head": (("next", "struct list_head *"), ("prev", "struct list_head *")),
    "hlist_head": (("first", "struct hlist_node *"),),
    "hlist_node": (("next", "struct hlist_node *"), ("pprev", "struct hlist_node **")),
    "rb_node": (("__rb_parent_color", "unsigned long"), ("rb_right", "struct rb_node *"),
                ("rb_left", "struct rb_node *")),
    "rb_root": (("rb_node", "struct rb_node *"),),
    "path": (("mnt", "struct vfsmount *"), ("dentry", "struct dentry *")),
    "callback_head": (("next", "struct callback_head *"), ("func", "void *")),
    "fdtable": (("max_fds", "unsigned int"), ("fd", "struct file **"), ("close_on_exec", "unsigned long *"),
                ("open_fds", "unsigned long *"), ("full_fds_bits", "unsigned long *"), ("rcu", "struct callback_head")),
    "wait_queue_entry": (("flags", "unsigned int"), ("private", "void *"), ("func", "void *"),
                         ("entry", "struct list_head")),
    "upid": (("nr", "int"), ("ns", "struct pid_namespace *")),
    "kmem_cache_order_objects": (("x", "unsigned int"),),
    "new_utsname": tuple((name, "char [65]") for name in ("sysname", "nodename", "release", "version", "machine",
                                                          "domainname")),
    "work_struct": (("data", "unsigned long"), ("entry", "struct list_head"), ("func", "void *")),
    "kuid_t": (("val", "unsigned int"),),
    "file_system_type": (("name", "char *"),),
}  # fmt: skip
"""Structure -> (member, C type) in order; each lies where C puts it."""

WITH_PLAIN_LOCKS = {
    "qspinlock": (("val", "unsigned int"),),
    "wait_queue_head": (("lock", "struct qspinlock"), ("head", "struct list_head")),
    "swait_queue_head": (("lock", "struct qspinlock"), ("task_list", "struct list_head")),
    "completion": (("done", "unsigned int"), ("wait", "struct swait_queue_head")),
    "xarray": (("xa_lock", "struct qspinlock"), ("xa_flags", "unsigned int"), ("xa_head", "void *")),
    "timer_list": (("entry", "struct hlist_node"), ("expires", "unsigned long"), ("function", "void *"),
                   ("flags", "unsigned int")),
}  # fmt: skip
"""Those with a lock in them, where locks are no more than a number (no PREEMPT_RT, no lock debugging)."""
WITH_SLEEPING_LOCKS = {
    "mutex": (("owner", "unsigned long"), ("wait_lock", "struct qspinlock"), ("osq", "unsigned int"),
              ("wait_list", "struct list_head")),
    "rw_semaphore": (("count", "unsigned long"), ("owner", "unsigned long"), ("osq", "unsigned int"),
                     ("wait_lock", "struct qspinlock"), ("wait_list", "struct list_head")),
}  # fmt: skip
"""Locks that are slept on, where waiters spin first (kernels for several CPUs) and hang on a list (before 7.2)."""
REGISTERS = {
    64: PT_REGS,
    32: ("bx", "cx", "dx", "si", "di", "bp", "ax", "ds", "es", "fs", "gs", "orig_ax", "ip", "cs", "flags", "sp", "ss"),
}
"""Width -> the words of struct pt_regs (x86; its members are without the r of 64 bits)."""

MAPLE_TYPES = {"maple_dense": 0, "maple_leaf_64": 1, "maple_range_64": 2, "maple_arange_64": 3}
MAPLE_NODE = 256
RANGE_SLOTS, RANGE_GAPS = {64: 16, 32: 32}, {64: 10, 32: 21}
"""MAPLE_RANGE64_SLOTS and MAPLE_ARANGE64_SLOTS by the width of the kernel."""


def declare(table: Table) -> None:
    """Put them into a table."""
    _lay_out(table, STRUCTURES)
    _maple(table)
    if table.kernel.target.image.architecture == "x86":
        words = tuple((_plain(name), "unsigned long") for name in REGISTERS[table.kernel.bits])
        _lay_out(table, {"pt_regs": words})
    told = table.kernel.vmcoreinfo
    for name, size in (told.of_kind("SIZE", 10) if told is not None else {}).items():
        if size and not name.endswith("_t"):
            table.size(name, size)


def declare_locks(table: Table) -> None:
    """Put those with plain locks in them into a table."""
    _lay_out(table, WITH_PLAIN_LOCKS)


def declare_sleeping_locks(table: Table) -> None:
    """Put mutexes and their kin into a table: where locks are plain, and waiters hang on lists."""
    if "qspinlock" in table.structures:
        _lay_out(table, WITH_SLEEPING_LOCKS)


def _plain(register: str) -> str:
    """A register's name as struct pt_regs has it: ip, di, r8, orig_ax."""
    name = {"rflags": "flags", "orig_rax": "orig_ax"}.get(register, register)
    return name[1:] if name.startswith("r") and name[1:].isalpha() else name


def _lay_out(table: Table, structures: Mapping[str, tuple[tuple[str, str], ...]]) -> None:
    """Members one behind another as C places them."""
    for name, members in structures.items():
        at = largest = 0
        for member, of in members:
            size = table.size_of(of)
            align = 1 if of.startswith("char [") else min(size, table.word)
            at = -(-at // align) * align
            table.member(name, member, of, at)
            at, largest = at + size, max(largest, align)
        table.size(name, -(-at // largest) * largest)


def _maple(table: Table) -> None:
    """The nodes of maple trees: include/linux/maple_tree.h."""
    bits, word = table.kernel.bits, table.word
    slots, gaps = RANGE_SLOTS[bits], RANGE_GAPS[bits]
    table.enumerations["maple_type"] = MAPLE_TYPES
    for name, count, gap in (("maple_range_64", slots, False), ("maple_arange_64", gaps, True)):
        table.member(name, "parent", "void *", 0)
        table.member(name, "pivot", f"unsigned long [{count - 1}]", word)
        table.member(name, "slot", f"void * [{count}]", count * word)
        if gap:
            table.member(name, "gap", f"unsigned long [{count}]", 2 * count * word)
        table.size(name, (3 * count + 1) * word if gap else MAPLE_NODE)  # with some bytes of the tree's own at its end
    table.member("maple_node", "parent", "void *", 0)
    table.member("maple_node", "slot", f"void * [{MAPLE_NODE // word - 1}]", word)
    table.size("maple_node", MAPLE_NODE)

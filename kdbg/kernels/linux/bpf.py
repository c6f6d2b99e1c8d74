"""The programs that a Linux kernel has compiled from BPF: code without a symbol table, named by a list of its own.

Source: include/linux/bpf.h (struct bpf_ksym: start, end, name; 5.7 on), kernel/bpf/core.c (bpf_kallsyms, all of them).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from kdbg.errors import Error
from kdbg.kernels.linux.lists import elements
from kdbg.symbols.layouts import Layout
from kdbg.symbols.table import SHN_ABS, STT_FUNC, SymbolTable

if TYPE_CHECKING:
    from kdbg.kernels.linux.kernel import Linux

MODULE = "bpf"
"""What /proc/kallsyms shows as their module."""
MOST = 1 << 16
MOST_SIZE = 1 << 24
_ENTRY = {64: struct.Struct("<IBBHQQ"), 32: struct.Struct("<IIIBBH")}


def symbol_table(kernel: Linux) -> SymbolTable | None:
    """The programs as the symbols of a module; None where there are none, or where the kernel does not tell."""
    try:
        head = kernel.image_symbol("bpf_kallsyms").address
        if kernel.word(head) == head:
            return None
        layout = Layout(kernel.type("struct bpf_ksym"), {"start": "start", "end": "end", "name": "name"})
        places = elements(kernel, head, "struct bpf_ksym", "lnode", "bpf_kallsyms")
    except Error:
        return None
    entries, strings = [_entry(kernel.bits, 0, 0, 0)], bytearray(1)
    for address in places:
        try:
            told = layout.read(kernel.memory.read, address)
        except Error as error:
            kernel.target.note(f"BPF program {address:x}: {error}")
            continue
        size = told["end"] - told["start"]
        if not 0 < size <= MOST_SIZE or len(entries) > MOST:
            continue
        entries.append(_entry(kernel.bits, len(strings), told["start"], size))
        strings += told["name"].encode("latin-1", "replace") + b"\0"
    return SymbolTable(b"".join(entries), bytes(strings), kernel.bits, MODULE, SHN_ABS) if len(entries) > 1 else None


def _entry(bits: int, name: int, address: int, size: int) -> bytes:
    """An Elf64_Sym or Elf32_Sym of a local function."""
    kind = STT_FUNC if name else 0
    if bits == 64:
        return _ENTRY[64].pack(name, kind, 0, SHN_ABS if name else 0, address, size)
    return _ENTRY[32].pack(name, address, size, kind, 0, SHN_ABS if name else 0)

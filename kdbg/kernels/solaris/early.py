"""The few structures that must be read before any type is known.

Members in the order of the headers; places follow from the C rules of alignment for either width. Kernels differ in
``struct module``: the known forms are tried, the one that checks is taken, and CTF has the last word once it is loaded
(`kdbg.kernels.solaris.bootstrap`).

Sources: <sys/debug_info.h>, <sys/modctl.h>, <sys/kobj.h>, <sys/kobj_impl.h> of illumos; ELF specification.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

DEBUG_INFO_MAGIC = 0xDEB116ED
DEBUG_INFO_VERSION = 1

DEBUG_INFO_AT = {
    (64, True): 0xFFFFFFFFFB7FF000,
    (64, False): 0xFFFFFFFFFB7FF000,
    (32, True): 0xF4BFF000,
    (32, False): 0xFE7FF000,
}
"""(width, paravirtual) -> where the kernel puts its debug_info (DEBUG_INFO_VA, DEBUG_INFO_VA_HVM)."""

KOBJ_NOKSYMS = 0x0800
"""Flag of struct module: its symbols are not shown."""

DEBUG_INFO = (
    ("di_magic", "int"),
    ("di_version", "int"),
    ("di_modules", "long"),
    ("di_s_text", "long"),
    ("di_e_text", "long"),
    ("di_s_data", "long"),
    ("di_e_data", "long"),
    ("di_hat_htable_off", "long"),
    ("di_ht_pfn_off", "long"),
)

MODCTL = (
    ("mod_next", "long"),
    ("mod_prev", "long"),
    ("mod_id", "int"),
    ("mod_mp", "long"),
    ("mod_inprogress_thread", "long"),
    ("mod_modinfo", "long"),
    ("mod_linkage", "long"),
    ("mod_filename", "long"),
    ("mod_modname", "long"),
)

_MODULE_HEAD = (("total_allocated", "int"), ("hdr", "ehdr"))
_MODULE_TAIL = (
    ("shdrs", "long"),
    ("symhdr", "long"),
    ("strhdr", "long"),
    ("depends_on", "long"),
    ("symsize", "long"),
    ("symspace", "long"),
    ("flags", "int"),
    ("text_size", "long"),
    ("data_size", "long"),
    ("text", "long"),
    ("data", "long"),
    ("symtbl_section", "int"),
    ("symtbl", "long"),
    ("strings", "long"),
    ("hashsize", "int"),
    ("buckets", "long"),
    ("chains", "long"),
    ("nsyms", "int"),
    ("bss_align", "int"),
    ("bss_size", "long"),
    ("bss", "long"),
    ("filename", "long"),
    ("head", "long"),
    ("tail", "long"),
    ("destination", "long"),
    ("machdata", "long"),
    ("ctfdata", "long"),
    ("ctfsize", "long"),
)

MODULE_FORMS: Mapping[str, Sequence[tuple[str, str]]] = {
    "kobj.h up to 2025": (*_MODULE_HEAD, *_MODULE_TAIL),
    "with shnum, phnum, shstrndx as words": (
        *_MODULE_HEAD, ("shnum", "int"), ("phnum", "int"), ("shstrndx", "int"), *_MODULE_TAIL
    ),
    "with shnum, phnum, shstrndx as longs": (
        *_MODULE_HEAD, ("shnum", "long"), ("phnum", "long"), ("shstrndx", "long"), *_MODULE_TAIL
    ),
    "with shnum as a long, phnum and shstrndx as words": (
        *_MODULE_HEAD, ("shnum", "long"), ("phnum", "int"), ("shstrndx", "int"), *_MODULE_TAIL
    ),
}  # fmt: skip
"""Forms of struct module by a name for notes (later illumos keeps the ELF header's extended numbers behind it)."""

SECTION_HEADER = {64: {"sh_addr": (16, 8), "sh_size": (32, 8)}, 32: {"sh_addr": (12, 4), "sh_size": (20, 4)}}
"""Members of Elf64_Shdr and Elf32_Shdr: (offset, bytes)."""

EHDR_SIZE = {64: 64, 32: 52}


@dataclass(frozen=True, slots=True)
class EarlyLayout:
    """Members of a structure: name -> (offset, bytes)."""

    members: Mapping[str, tuple[int, int]]
    size: int

    def decode(self, data: bytes) -> dict[str, int]:
        """All numbers in the structure, unsigned."""
        return {
            name: int.from_bytes(data[at : at + size], "little")
            for name, (at, size) in self.members.items()
            if size <= 8
        }


def lay_out(members: Sequence[tuple[str, str]], bits: int) -> EarlyLayout:
    """Place members by the C rules of alignment."""
    word = bits // 8
    at, placed = 0, {}
    for name, kind in members:
        size, alignment = {"int": (4, 4), "long": (word, word), "ehdr": (EHDR_SIZE[bits], word)}[kind]
        at = -(-at // alignment) * alignment
        placed[name] = (at, size)
        at += size
    return EarlyLayout(placed, at)

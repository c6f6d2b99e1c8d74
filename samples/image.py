"""A kernel's memory that is being built: places for structures, variables with symbols, modules, and what Xen needs.

`KernelImage` knows addresses, types and symbols; it knows nothing of threads or processes (`samples.solaris` does).

Facts: where a Solaris kernel lies (debug_info and kernel text of 64-bit and 32-bit, paravirtual and HVM) and what a
debugger finds there first: the notes on the image in ``docs`` of the project, from mdb's mdb_kb and krtld.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

from samples.code import Function, place
from samples.ctf import CtfWriter
from samples.declarations import FIXED, declarations
from samples.layout import CType, Layout
from samples.memory import LONG, PAE, PAGE, Bit, Frames, PageTables, Paging, Region, Space
from samples.symbols import Module, Symbol, Types, hash_table

DEBUG_MAGIC = 0xDEB116ED
UNIX_TYPES = frozenset(
    {"struct hat_mmu_info", "struct autovec", "struct av_head", "struct irq_info", "irq_info_t", "struct mec_info",
     "mec_info_t", "struct shared_info", "shared_info_t", "struct arch_shared_info"}
)  # fmt: skip
"""Types that only unix's own CTF holds; the rest are genunix's, which is the parent of all modules."""


@dataclass(frozen=True)
class AddressMap:
    """Where the parts of a kernel lie."""

    debug_info: int
    unix_text: int
    genunix_text: int
    module_text: int
    unix_data: int
    genunix_data: int
    module_data: int
    symbols: tuple[int, int]
    heap: tuple[int, int]
    slabs: tuple[int, int]
    stacks: tuple[int, int]
    kernelbase: int
    shared_info: int
    user_limit: int


MAPS = {
    (64, True): AddressMap(
        0xFFFFFFFFFB7FF000, 0xFFFFFFFFFB800000, 0xFFFFFFFFFB880000, 0xFFFFFFFFF7800000, 0xFFFFFFFFFBC00000,
        0xFFFFFFFFFBCC0000, 0xFFFFFFFFC0000000, (0xFFFFFF01C0000000, 0xFFFFFF01C4000000),
        (0xFFFFFF01C8000000, 0xFFFFFF01D0000000), (0xFFFFFF01D0000000, 0xFFFFFF0200000000),
        (0xFFFFFF0001000000, 0xFFFFFF0080000000), 0xFFFFFD8000000000, 0xFFFFFFFFFB7FE000, 0xFFFFFD7FFFE00000,
    ),
    (32, True): AddressMap(
        0xF4BFF000, 0xF4C00000, 0xF4C80000, 0xF4E00000, 0xF5000000, 0xF5180000, 0xF5300000, (0xD4000000, 0xD5000000),
        (0xD8000000, 0xDC000000), (0xDC000000, 0xE8000000), (0xC9000000, 0xD0000000), 0xC4000000, 0xF4BFE000,
        0xC4000000,
    ),
    (32, False): AddressMap(
        0xFE7FF000, 0xFE800000, 0xFE880000, 0xFEA00000, 0xFEC00000, 0xFED80000, 0xFEF00000, (0xD4000000, 0xD5000000),
        (0xD8000000, 0xDC000000), (0xDC000000, 0xE8000000), (0xC9000000, 0xD0000000), 0xC4000000, 0xFE7FE000,
        0xC4000000,
    ),
}  # fmt: skip
MAPS[64, False] = MAPS[64, True]


class Structure:
    """A structure in the image: members by path, read and written in place.

    >>> thread["t_pcb.val[0]"] = pc
    """

    __slots__ = ("address", "image", "type")

    def __init__(self, image: KernelImage, type_name: str, address: int) -> None:
        self.image = image
        self.type = type_name
        self.address = address

    def at(self, path: str) -> int:
        """Address of a member."""
        return self.address + self.image.layout.offset(self.type, path)

    def __setitem__(self, path: str, value: int | bytes | str | Structure) -> None:
        offset, ctype = self.image.layout.place(self.type, path)
        size = ctype.size
        if isinstance(value, Structure):
            value = value.address
        if isinstance(value, int):
            data = (value & (1 << 8 * size) - 1).to_bytes(size, "little")
        else:
            data = value.encode() if isinstance(value, str) else value
            if len(data) > size:
                raise ValueError(f"{self.type} {path}: {len(data)} bytes for {size}")
        self.image.space.write(self.address + offset, data)

    def __getitem__(self, path: str) -> int:
        offset, ctype = self.image.layout.place(self.type, path)
        value = int.from_bytes(self.image.space.read(self.address + offset, ctype.size), "little")
        if ctype.bare.signed and value >> (8 * ctype.size - 1):
            value -= 1 << 8 * ctype.size
        return value

    def update(self, **members: int | bytes | str | Structure) -> Structure:
        """Set several members of the first level."""
        for name, value in members.items():
            self[name] = value
        return self


class KernelImage:
    """The kernel's half of memory, with modules and symbols."""

    def __init__(self, bits: int, paravirtual: bool, shuffle: int | None = None, later_module: bool = False) -> None:
        self.bits = bits
        self.word = bits // 8
        self.paravirtual = paravirtual
        self.layout = Layout(declarations(bits, later_module), bits, shuffle, FIXED)
        self.map = MAPS[bits, paravirtual]
        first_mfn = 0x10000 if bits == 64 else 0x100000
        self.frames = Frames(paravirtual, first_mfn=first_mfn)
        self.paging: Paging = LONG if bits == 64 else PAE
        self.tables = PageTables(self.frames, self.paging)
        self.flags = self.kernel_leaf()
        self.space = Space(self.tables, self.flags)
        self.heap = Region(self.space, *self.map.heap)
        self.slabs = Region(self.space, *self.map.slabs)
        self.stacks = Region(self.space, *self.map.stacks)
        self.symspace = Region(self.space, *self.map.symbols)
        self.modules: dict[str, Module] = {}
        self.functions: dict[str, Function] = {}
        self.symbols: dict[str, Symbol] = {}
        self._data: dict[str, Region] = {}

    def kernel_leaf(self) -> int:
        """Flags of a kernel leaf: what the guest writes, and what Xen makes of it in a 64-bit paravirtual guest."""
        flags = int(Bit.PRESENT | Bit.WRITE | Bit.ACCESSED | Bit.DIRTY)
        if self.paravirtual and self.bits == 64:
            return flags | Bit.USER | Bit.GUEST_KERNEL
        return flags | Bit.GLOBAL

    def user_leaf(self) -> int:
        """Flags of a user leaf; Xen sets the global bit in those of a 64-bit paravirtual guest."""
        flags = int(Bit.PRESENT | Bit.WRITE | Bit.USER | Bit.ACCESSED | Bit.DIRTY)
        return flags | Bit.GLOBAL if self.paravirtual and self.bits == 64 else flags

    # --- structures ------------------------------------------------------------------------------------------------

    def spelled(self, text: str) -> CType:
        """A type by its C spelling with stars and dimensions behind: ``struct cpu *``, ``char [257]``."""
        match = re.fullmatch(r"([\w ]+?)\s*((?:\*\s*)*)((?:\[\d+\])*)", text.strip())
        assert match is not None, text
        name, stars, dimensions = match.groups()
        ctype = self.layout.void if name == "void" else self.layout.type(name)
        for _ in range(stars.count("*")):
            ctype = self.layout.pointer(ctype)
        for count in reversed(re.findall(r"\d+", dimensions)):
            ctype = CType("array", target=ctype, count=int(count), size=ctype.size * int(count), align=ctype.align,
                          laid=True)  # fmt: skip
        return ctype

    def structure(self, type_name: str, address: int) -> Structure:
        """A view on a structure at an address."""
        return Structure(self, type_name, address)

    def new(self, type_name: str, region: Region | None = None, **members: int | bytes | str | Structure) -> Structure:
        """A new structure, from the kernel's heap where no region is named."""
        address = (region or self.heap).take(self.layout.sizeof(type_name), 16)
        return Structure(self, type_name, address).update(**members)

    def string(self, text: str) -> int:
        """A string in the heap; returns its address."""
        return self.heap.put(text.encode() + b"\0", 8)

    def words(self, values: list[int]) -> int:
        """An array of pointers or longs in the heap; returns its address."""
        mask = (1 << self.bits) - 1
        data = struct.pack(f"<{len(values)}{'Q' if self.bits == 64 else 'I'}", *(v & mask for v in values))
        return self.heap.put(data, 16)

    # --- modules and symbols ---------------------------------------------------------------------------------------

    def module(self, name: str, file: str, description: str = "") -> Module:
        """A new module; `unix` comes first and `genunix` second, as in a kernel."""
        places = self.map
        at = len(self.modules) - 2
        if name == "unix":
            module = Module(name, file, places.unix_text, places.unix_data, False, UNIX_TYPES)
        elif name == "genunix":
            module = Module(name, file, places.genunix_text, places.genunix_data)
        else:
            module = Module(name, file, places.module_text + at * 0x4000, places.module_data + at * 0x8000, True,
                            frozenset())  # fmt: skip
        module.description = description or f"{name} module"
        self.modules[name] = module
        self._data[name] = Region(self.space, module.data, module.data + 0x200000)
        return module

    def variable(self, module: str, name: str, ctype: str, value: int | bytes | None = None, local: bool = False,
                 size: int | None = None) -> int:  # fmt: skip
        """A variable with a symbol; returns its address. ``size`` where it is larger than its type says."""
        spelled = self.spelled(ctype)
        size = size or spelled.size
        address = self._data[module].take(size, 64 if size >= 64 else 8)
        symbol = Symbol(name, address, size, module, local=local, type=spelled)
        self.modules[module].symbols.append(symbol)
        self.symbols[name] = symbol
        if value is not None:
            data = value if isinstance(value, bytes) else (value & (1 << 8 * size) - 1).to_bytes(size, "little")
            self.space.write(address, data)
        return address

    def set(self, name: str, value: int | Structure) -> None:
        """Write a variable of word size or less."""
        symbol = self.symbols[name]
        number = value.address if isinstance(value, Structure) else value
        self.space.write(symbol.address, (number & (1 << 8 * symbol.size) - 1).to_bytes(symbol.size, "little"))

    def global_structure(self, module: str, name: str, type_name: str) -> Structure:
        """A variable that is a structure."""
        return Structure(self, type_name, self.variable(module, name, type_name))

    def function(self, name: str, module: str = "genunix", arguments: int | None = 0, local: bool = False) -> Function:
        """A function by name, made where there is none yet."""
        function = self.functions.get(name)
        if function is None:
            function = self.functions[name] = Function(name, module, arguments, local)
            self.modules[module].functions.append(function)
        return function

    def place_code(self) -> None:
        """Give all functions addresses and write their code; no call may be added later."""
        for module in self.modules.values():
            module.text_end = place(module.functions, module.text, self.bits)
        for module in self.modules.values():
            self.space.ensure(module.text, max(module.text_end - module.text, 16), self.flags & ~Bit.WRITE)
            for function in module.functions:
                self.space.write(function.address, function.assemble(self.bits))
                symbol = Symbol(function.name, function.address, function.size, module.name, True, function.local,
                                arguments=function.arguments)  # fmt: skip
                module.symbols.append(symbol)
                self.symbols[function.name] = symbol

    def pc(self, name: str, callee: str | None = None) -> int:
        """An address in a function: behind its call of ``callee``, else behind the prologue."""
        function = self.functions[name]
        return function.address + (function.returns[callee] if callee else function.body)

    # --- the kernel's own description ------------------------------------------------------------------------------

    def finish_modules(self) -> None:
        """Write symbol tables, CTF, struct module and modctl of every module, and debug_info."""
        head = self.structure("modctl_t", self.symbols["modules"].address)
        # what module 0 is: the list's head is itself unix's modctl
        parent = Types(self.layout, CtfWriter(bits=self.bits))
        own = {name for module in self.modules.values() for name in module.types or ()}
        for ctype in self.layout.order:
            tag = f"{ctype.kind} " if ctype.kind in ("struct", "union", "enum") else ""
            if tag + ctype.name not in own:
                parent.number(ctype)
        records = []
        for number, module in enumerate(self.modules.values()):
            modctl = head if number == 0 else self.new("modctl_t")
            module.modctl = modctl.address
            records.append(modctl)
            self._finish_module(module, modctl, number, parent)
        for here, after in zip(records, records[1:] + records[:1], strict=True):
            here["mod_next"] = after
            after["mod_prev"] = here
        self._debug_info()

    def _finish_module(self, module: Module, modctl: Structure, number: int, parent: Types) -> None:
        module.data_end = self._data[module.name].next
        table, strings = module.tables(self.bits)
        heads, chains = hash_table([s.name for s in module.ordered()], 31)
        blob = table + strings
        blob += bytes(-len(blob) % 8) + struct.pack(f"<{len(heads + chains)}I", *heads, *chains)
        base = self.symspace.put(blob, 64)
        hash_at = base + len(blob) - 4 * len(heads + chains)
        ctf = self._ctf(module, parent)
        record = self.new("struct module", self.symspace)
        module.address = record.address
        symhdr = self.new("Shdr", self.symspace, sh_type=2, sh_addr=base, sh_size=len(table),
                          sh_entsize=24 if self.bits == 64 else 16,
                          sh_info=1 + sum(s.local for s in module.symbols))  # fmt: skip
        strhdr = self.new("Shdr", self.symspace, sh_type=3, sh_addr=base + len(table), sh_size=len(strings))
        record.update(
            total_allocated=len(blob), shdrs=symhdr, symhdr=symhdr, strhdr=strhdr, symsize=len(blob), symspace=base,
            flags=0, text_size=module.text_end - module.text, data_size=module.data_end - module.data,
            text=module.text, data=module.data, symtbl_section=1, symtbl=base, strings=base + len(table),
            hashsize=len(heads), buckets=hash_at, chains=hash_at + 4 * len(heads),
            nsyms=len(module.symbols) + 1, filename=self.string(module.file),
            ctfdata=self.symspace.put(ctf, 8), ctfsize=len(ctf),
        )  # fmt: skip
        self._elf_header(record)
        linkage = self.new("struct modlinkage", ml_rev=1)
        linfo = self.new("struct modlmisc", misc_linkinfo=self.string(module.description))
        linkage["ml_linkage[0]"] = linfo
        modctl.update(
            mod_id=number, mod_mp=record, mod_filename=self.string(module.file), mod_modname=self.string(module.name),
            mod_linkage=linkage, mod_prim=1 if number < 2 else 0, mod_loaded=1, mod_installed=1, mod_loadcnt=1,
            mod_text=module.text, mod_text_size=module.text_end - module.text,
        )  # fmt: skip

    def _elf_header(self, record: Structure) -> None:
        """The copy of the ELF header in struct module; readers use that of unix as the kernel's."""
        wide = self.bits == 64
        record["hdr.e_ident"] = b"\x7fELF" + bytes((2 if wide else 1, 1, 1, 6))
        values = {"e_type": 2, "e_machine": 62 if wide else 3, "e_version": 1, "e_ehsize": 64 if wide else 52,
                  "e_shentsize": 64 if wide else 40, "e_shnum": 3, "e_shstrndx": 2}  # fmt: skip
        for name, value in values.items():
            record[f"hdr.{name}"] = value
        if any(name == "shnum" for name, _ in self.layout.members("struct module")):
            record.update(shnum=3, shstrndx=2)

    def _ctf(self, module: Module, parent: Types) -> bytes:
        if module.name == "genunix":
            parent.symbols(module.ordered())
            return parent.writer.bytes(compress=module.compressed)
        child = Types(self.layout, CtfWriter(parent=parent.writer, parent_name="genunix", bits=self.bits), parent)
        for name in sorted(module.types or ()):
            child.number(self.layout.type(name))
        child.symbols(module.ordered())
        return child.writer.bytes(compress=module.compressed)

    def _debug_info(self) -> None:
        self.space.ensure(self.map.debug_info, PAGE)
        unix, genunix = self.modules["unix"], self.modules["genunix"]
        self.structure("struct debug_info", self.map.debug_info).update(
            di_magic=DEBUG_MAGIC, di_version=1, di_modules=self.symbols["modules"].address, di_s_text=unix.text,
            di_e_text=genunix.text_end, di_s_data=unix.data, di_e_data=genunix.data_end,
            di_hat_htable_off=self.layout.offset("hat_t", "hat_htable"),
            di_ht_pfn_off=self.layout.offset("htable_t", "ht_pfn"),
        )  # fmt: skip

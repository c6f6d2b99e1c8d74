"""Debug files of a kernel and of its modules: found, held against the dump by build id, and asked by addresses.

A file belongs to the dump if it has the build id that the dump's kernel or module has: VMCOREINFO tells the kernel's,
and so do the ELF notes in its image; a module's notes lie in memory too (``notes_attrs``). The kernel was moved by
KASLR, its modules lie where their symbols lie.

Source: Documentation/admin-guide/kdump/vmcoreinfo.rst (BUILD-ID); kernel/module/sysfs.c (module_notes_attrs);
include/asm-generic/vmlinux.lds.h (NOTES).
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from kdbg.errors import Error, FormatError
from kdbg.kernels.linux.symbols import MAIN
from kdbg.symbols.dwarf.sections import DebugFile, build_id_of

if TYPE_CHECKING:
    from kdbg.kernels.linux.kernel import Linux
    from kdbg.symbols.dwarf.debugframe import DebugFrames
    from kdbg.symbols.dwarf.functions import Code, SourceFrame, UnitCode
    from kdbg.symbols.dwarf.lines import Place
    from kdbg.symbols.dwarf.types import DwarfContainer

MOST_NOTES, MOST_ATTRIBUTES = 1 << 16, 64
MOST_FILES = 1 << 17
"""Files of a folder that are looked at by their names."""
MOST_VOTES = 16
"""Symbols by which the place of a module's section is found."""
NOT_ASKED = "no debug files were given (--symbols PATH, --debuginfod)"


class DebugModule:
    """A debug file that belongs to the dump, and how its addresses follow from the dump's."""

    def __init__(self, file: DebugFile, slide: int) -> None:
        self.file = file
        self.slide = slide
        """What was added to the file's addresses when the dump was alive."""
        self._frames: DebugFrames | None = None

    @cached_property
    def code(self) -> Code:
        """Its functions and lines."""
        from kdbg.symbols.dwarf.functions import Code
        from kdbg.symbols.dwarf.units import Units

        return Code(Units(self.file))

    def frames(self, read: Callable[[int, int], bytes]) -> DebugFrames:
        """Its call frame information; ``read`` reads the dump's memory."""
        from kdbg.symbols.dwarf.debugframe import DebugFrames

        if self._frames is None:
            self._frames = DebugFrames(self.file.section(".debug_frame"), self.file.bits, read)
        return self._frames

    @cached_property
    def types(self) -> DwarfContainer:
        """Its types."""
        from kdbg.symbols.dwarf.types import DwarfContainer

        return DwarfContainer(self.code.units)


class DebugInfo:
    """What debug files add to a kernel. Each is opened when it is needed."""

    def __init__(self, kernel: Linux) -> None:
        self.kernel = kernel
        self.paths = kernel.target.symbol_files
        self.debuginfod = kernel.target.debuginfod
        self._modules: dict[str, DebugModule | Error] = {}

    def __bool__(self) -> bool:
        return bool(self.paths) or self.debuginfod

    def check(self) -> None:
        """Open the kernel's file, or where only a module's was given that. Raises `Error`: what was given is wrong."""
        try:
            self.module(MAIN)
        except Error as error:
            if all(os.path.isdir(path) for path in self.paths) or not self._some_module():
                raise error from None

    def _some_module(self) -> bool:
        """Whether one of the files given is that of a module of the dump."""
        names = {module.name for module in self.kernel.module_images}
        for name in names & {_module_name(path) for path in self.paths}:
            self.module(name)
            return True
        return False

    # files

    def module(self, name: str) -> DebugModule:
        """The debug file of the kernel (`MAIN`) or of a module. Raises `Error`, the same each time."""
        if name not in self._modules:
            try:
                self._modules[name] = self._open(name)
            except Error as error:
                self._modules[name] = error
        found = self._modules[name]
        if isinstance(found, Error):
            raise found
        return found

    def _open(self, name: str) -> DebugModule:
        if not self:
            raise Error(NOT_ASKED)
        build_id = self.build_id(name)
        path = self._find(name, build_id)
        if name == MAIN:
            return self._of_image(DebugFile(path))
        file = DebugFile(path)
        places = self._section_places(name, file)
        return DebugModule(DebugFile(path, lambda number, _: places.get(number)), 0)

    def _of_image(self, file: DebugFile) -> DebugModule:
        if not file.has_dwarf:
            raise FormatError(file.path, "has no debug information (.debug_info)")
        there = file.symbol("_stext")
        if there is None:
            raise FormatError(file.path, "has no symbol _stext: it does not tell where the kernel was linked to")
        return DebugModule(file, self.kernel.image_symbol("_stext").address - there)

    def _section_places(self, name: str, file: DebugFile) -> dict[int, int]:
        """Number of a section of a module's file -> where it lies in the dump: by the symbols that both have."""
        table = self.kernel.symbols.module(name)
        if not file.has_dwarf:
            raise FormatError(file.path, "has no debug information (.debug_info)")
        if table is None:
            raise FormatError(file.path, f"the module {name} has no symbols in the dump: its place is not known")
        there: dict[str, set[int]] = {}
        for symbol in table:
            there.setdefault(symbol.name, set()).add(symbol.address)
        votes: dict[int, Counter[int]] = {}
        for raw, value, section in file.raw_symbols():
            found = there.get(raw.decode("latin-1"), set()) if raw and 0 < section < len(file.elf.sections) else set()
            tally = votes.setdefault(section, Counter())
            if len(found) == 1 and tally.total() < MOST_VOTES:
                tally[next(iter(found)) - value] += 1
        return {section: tally.most_common(1)[0][0] for section, tally in votes.items() if tally}

    # finding

    def _find(self, name: str, build_id: str) -> str:
        """The path of a file with the build id (any, where that is not known). Raises `Error`."""
        refused = []
        for path in self._candidates(name, build_id):
            try:
                file = DebugFile(path)
            except FormatError as error:
                refused.append(str(error))
                continue
            if build_id and file.build_id != build_id:
                has = f"build id {file.build_id}" if file.build_id else "no build id"
                refused.append(f"{path}: {has}, but the {_what(name)} in the dump has {build_id}")
                continue
            if not build_id:
                self.kernel.target.note(f"{path}: not held against the dump, which does not tell its build id")
            return path
        if self.debuginfod and build_id:
            from kdbg.symbols.debuginfod import NotServed, fetch

            try:
                return fetch(build_id)
            except NotServed as error:
                refused.append(str(error))
        if not refused:
            refused = [f"{', '.join(self.paths)}: no file for the {_what(name)}" + f" ({build_id})" * bool(build_id)]
        raise Error("; ".join(refused[:3]))

    def _candidates(self, name: str, build_id: str) -> Iterator[str]:
        """Files that may be the one, the likelier first."""
        for path in self.paths:
            if not os.path.isdir(path):
                if name == MAIN or _module_name(path) == name:
                    yield path
                continue
            usual = self._usual(name, build_id)
            places = (os.path.join(path, *root, place) for place in usual for root in ((), ("usr", "lib", "debug")))
            found = [place for place in places if os.path.isfile(place)]
            yield from found or self._walked(path, name)

    def _usual(self, name: str, build_id: str) -> list[str]:
        by_id = [f".build-id/{build_id[:2]}/{build_id[2:]}.debug"] if build_id else []
        if name != MAIN:
            return by_id
        release = self.kernel.release
        return [*by_id, "vmlinux", f"vmlinux-{release}", f"boot/vmlinux-{release}", f"lib/modules/{release}/vmlinux",
                f"lib/modules/{release}/build/vmlinux"]  # fmt: skip

    def _walked(self, folder: str, name: str) -> Iterator[str]:
        """Files below a folder whose names fit."""
        seen = 0
        for where, folders, files in os.walk(folder):
            folders.sort()
            for file in sorted(files):
                seen += 1
                if (name == MAIN and file.startswith("vmlinux")) or (name != MAIN and _module_name(file) == name):
                    yield os.path.join(where, file)
            if seen > MOST_FILES:
                self.kernel.target.note(f"{folder}: more than {MOST_FILES} files; not all were looked at")
                return

    # build ids

    def build_id(self, name: str) -> str:
        """The build id of the kernel in the dump or of one of its modules; "" where the dump does not tell."""
        try:
            return self._build_id_of_image() if name == MAIN else self._build_id_of_module(name)
        except Error:
            return ""

    def _build_id_of_image(self) -> str:
        kernel = self.kernel
        told = kernel.vmcoreinfo.get("BUILD-ID", "") if kernel.vmcoreinfo is not None else ""
        if told:
            return told
        start, stop = (kernel.image_symbol(name).address for name in ("__start_notes", "__stop_notes"))
        return build_id_of(kernel.mapping.read(start, min(max(stop - start, 0), MOST_NOTES)))

    def _build_id_of_module(self, name: str) -> str:
        kernel = self.kernel
        address = next((module.address for module in kernel.module_images if module.name == name), 0)
        attributes = kernel.at("struct module", address).notes_attrs
        for at in range(min(attributes.notes, MOST_ATTRIBUTES)):
            one = attributes.attrs[at]
            found = build_id_of(kernel.memory.read(int(one.private), min(one.size, MOST_NOTES)))
            if found:
                return found
        return ""

    # questions

    def unit(self, address: int) -> tuple[DebugModule, UnitCode] | None:
        """The debug file and the unit of an instruction; None where there is none. Raises `Error`."""
        name = self._module_of(address)
        if name is None:
            return None
        module = self.module(name)
        unit = module.code.unit(address - module.slide)
        return (module, unit) if unit is not None else None

    def _module_of(self, address: int) -> str | None:
        image = self.kernel.symbols.image
        if image is not None and image.first <= address <= image.last:
            return MAIN
        images: Sequence = self.kernel.module_images  # type: ignore[type-arg]
        return next((one.name for one in images if one.base <= address < one.base + one.size), None)

    def place(self, address: int) -> Place | None:
        """The place in the sources of an instruction; None where none is known. Raises `Error`."""
        found = self.unit(address)
        return found[1].place(address - found[0].slide) if found is not None else None

    def frames(self, address: int) -> list[SourceFrame]:
        """The functions that an instruction belongs to, the innermost first. Raises `Error`."""
        found = self.unit(address)
        return found[1].frames(address - found[0].slide) if found is not None else []


def _module_name(path: str) -> str:
    """The name of the module that a file is of: ``virtio-ring.ko.debug`` is virtio_ring's."""
    name = os.path.basename(path)
    stem, dot, _ = name.partition(".ko")
    return stem.replace("-", "_") if dot else ""


def _what(name: str) -> str:
    return "kernel" if name == MAIN else f"module {name}"

"""DWARF out of files: which line an instruction belongs to, what was inlined there, where variables lie, and types.

Nothing is indexed as a whole: a kernel's debug file has ten million entries. A unit (a source file compiled) is found
by ``.debug_aranges`` or by the units' headers; only its entries are looked at, and only those on the way.

    sections.py     the ELF file: its sections, unpacked and relocated, its build id
    reading.py      forms and abbreviations: entries taken apart
    units.py        units: which there are, and which one an address or an offset belongs to
    lines.py        the line tables
    functions.py    the function at an address, with what is inlined there and its variables
    locations.py    where a variable lies
    types.py        types, as `kdbg.symbols.model` has them

Source: DWARF 5 (dwarfstd.org), and 2 to 4 where they differ; the GNU extensions as GCC's documentation has them.
"""

"""Write an illumos dump as savecore would: what `kdbg.formats.illumos` reads, and mdb and libkvm."""

from __future__ import annotations

import struct

from kdbg.errors import FormatError
from kdbg.formats.illumos import COMPLETE, COMPRESSED, IllumosDump, header_of
from kdbg.formats.image import PAGE, Image
from kdbg.formats.writing import Frames, content_of, growing, page_bytes

Entry = tuple[int, int, int]
"""(address space, page address, frame)"""


def write(image: Image, path: str, frames: Frames | None = None) -> int:
    """Write the pages (all, or those of ``frames``) as a vmcore; the number of pages written. Raises `FormatError`."""
    if not isinstance(image, IllumosDump):
        raise FormatError(path, "only a native illumos dump has the map of addresses that this format needs")
    held = content_of(image, frames).held.tolist()
    position = {frame: at for at, frame in enumerate(held)}
    translations = [entry for entry in image.translations() if entry[2] in position]
    slots = 1 << max(1, len(translations)).bit_length()
    word, ksyms = image.word, image.ksyms()
    ksyms_at = PAGE
    pfn_at = _after(ksyms_at + len(ksyms))
    map_at = _after(pfn_at + word * len(held))
    entry_size = 24 + 2 * word
    data_at = _after(map_at + slots * entry_size)
    values = {name: value for name, value in image.header.items() if not name.startswith("_")}
    values |= {
        "flags": image.header.flags & ~(COMPRESSED | COMPLETE if image.damage else COMPRESSED), "start": 0,
        "ksyms": ksyms_at, "ksyms_size": len(ksyms), "ksyms_csize": len(ksyms), "pfn": pfn_at, "npages": len(held),
        "map": map_at, "hashmask": slots - 1, "nvtop": len(translations), "data": data_at,
    }  # fmt: skip
    declaration = header_of(image.bits)
    with growing(path) as file:
        file.write(declaration.build(values))
        file.write(struct.pack("<I37s", 0, image.uuid.encode("latin-1")))
        for at, data in (
            (ksyms_at, ksyms),
            (pfn_at, struct.pack(f"<{len(held)}{'Q' if word == 8 else 'I'}", *held)),
            (map_at, _map(translations, position, slots, map_at, data_at, word)),
        ):
            file.seek(at)
            file.write(data)
        file.seek(data_at)
        for frame in held:
            file.write(page_bytes(image, frame))
    return len(held)


def _after(at: int) -> int:
    return -(-at // PAGE) * PAGE


def _map(
    translations: list[Entry], position: dict[int, int], slots: int, map_at: int, data_at: int, word: int
) -> bytes:
    """The hash of translations: entry *i* holds translation *i*, and is slot *i*'s head of a chain besides."""
    size, form = 24 + 2 * word, "<qqqQQ" if word == 8 else "<qqqII"
    first, following = [0] * slots, [0] * slots
    for number, (space, address, _) in enumerate(translations):
        slot = ((space >> 3) + (address >> 12)) & (slots - 1)
        following[number], first[slot] = first[slot], map_at + number * size
    rows = []
    for number in range(slots):
        space, address, frame = translations[number] if number < len(translations) else (0, 0, 0)
        place = data_at + position[frame] * PAGE if number < len(translations) else 0
        rows.append(struct.pack(form, first[number], following[number], place, space, address))
    return b"".join(rows)

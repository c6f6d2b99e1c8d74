"""Xen 3.0.4 `xm dump-core`: header, vCPU contexts, frame table, pages. No version, no checksum, no shared info.

The frame table has one machine word a page. Solaris' tools wrote it in pfn order, all ones where a pfn has no frame;
the general tools of that time list the domain's machine frames as they come, and no pfn is in the file. A table with
holes is in pfn order; one without is taken for it until the guest's own list says otherwise (`Image.order_assumed`).

Source: tools/libxc of Xen 3.0.4 (xc_core.c, xenctrl.h ``xc_core_header_t``).
"""

from __future__ import annotations

from construct import Int32ul, Struct

from kdbg.errors import FormatError
from kdbg.formats import xen_context
from kdbg.formats.source import Source
from kdbg.formats.xen import HVM_MAGIC, PV_MAGIC, Ascending, Tables, XenImage, column, guest_bits

Header = Struct(
    "magic" / Int32ul,
    "vcpus" / Int32ul,
    "pages" / Int32ul,
    "contexts_at" / Int32ul,  # file offset; one context = (frames_at - contexts_at) / vcpus bytes
    "frames_at" / Int32ul,  # file offset; one machine word a page, not aligned
    "pages_at" / Int32ul,  # file offset, page aligned
)


class XcCore(XenImage):
    """A core of Xen 3.0.4."""

    format = "Xen 3.0.4 domain core (xm dump-core)"

    @classmethod
    def recognises(cls, source: Source) -> str | None:
        """None if the file begins like one, else what was expected and what is there."""
        magic = int.from_bytes(source.read(0, min(4, source.size)), "little")
        return None if magic in (PV_MAGIC, HVM_MAGIC) else f"wants f00febed at 0, found {magic:08x}"

    def __init__(self, source: Source) -> None:
        header = source.parse(Header, 0, "header")
        paravirtual = header.magic == PV_MAGIC
        span = header.frames_at - header.contexts_at
        slot = span // header.vcpus if header.vcpus else 0
        if header.vcpus and slot < xen_context.SIZE32:
            raise FormatError(
                source.name,
                f"{header.vcpus} contexts in {span} bytes: one has {xen_context.SIZE32} or {xen_context.SIZE64}",
                12,
            )
        # A gap behind the contexts would make the quotient larger than a context.
        size = xen_context.SIZE64 if slot >= xen_context.SIZE64 else xen_context.SIZE32
        source.read(header.contexts_at, size * header.vcpus, f"{header.vcpus} vCPU contexts")
        width = 8 if size == xen_context.SIZE64 or not header.vcpus else 4
        frames = column(source.array(header.frames_at, width, header.pages, "frame table"), width)
        bits = 64 if size == xen_context.SIZE64 else 32
        if paravirtual and header.vcpus and bits == 64:
            bits = guest_bits(source, header.contexts_at, size, frames, bits)
        tables = Tables(
            header.contexts_at,
            size,
            header.vcpus,
            header.pages_at,
            header.pages,
            Ascending(header.pages) if paravirtual else frames,
            frames if paravirtual else None,
        )
        super().__init__(source, paravirtual, tables, bits)
        self.order_assumed = paravirtual

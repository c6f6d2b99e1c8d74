"""Files that are known and not opened: what they are, and the command that makes a dump of them.

Sources: QEMU's migration/qemu-file.h (QEVM), VMware's vmss headers, Windows' DUMP_HEADER64, LKCD's dump.h, Xen's
xc_sr_stream_format.h and xc_save, libvirt's qemu_saveimage.h, the magic numbers of the compression formats.
"""

from __future__ import annotations

from dataclasses import dataclass

from kdbg.formats.source import Source


@dataclass(frozen=True, slots=True)
class Known:
    """A kind of file."""

    offset: int
    magic: bytes
    name: str
    advice: str


KNOWN = (
    Known(
        0, b"QEVM", "a QEMU savevm or migration stream", "resume it and use `dump-guest-memory FILE` in QEMU's monitor"
    ),
    Known(0, b"LibvirtQemudSave", "an image of `virsh save`", "`virsh restore FILE`, then `virsh dump --memory-only`"),
    Known(0, b"\xd0\xbe\xd2\xbe", "a VMware suspend state (vmss)", "VMware's `vmss2core -N FILE.vmss FILE.vmem`"),
    Known(0, b"\xd1\xba\xd1\xba", "a VMware suspend state (vmss)", "VMware's `vmss2core -N FILE.vmss FILE.vmem`"),
    Known(0, b"\xd2\xbe\xd2\xbe", "a VMware suspend state (vmss)", "VMware's `vmss2core -N FILE.vmss FILE.vmem`"),
    Known(0, b"\xd3\xbe\xd3\xbe", "a VMware suspend state (vmss)", "VMware's `vmss2core -N FILE.vmss FILE.vmem`"),
    Known(0, b"PAGEDU64", "a Windows crash dump (64 bits)", "a debugger for Windows opens it"),
    Known(0, b"PAGEDUMP", "a Windows crash dump (32 bits)", "a debugger for Windows opens it"),
    Known(0, b"MDMP", "a Windows minidump", "a debugger for Windows opens it"),
    Known(0, bytes.fromhex("ed238f61730119a8"), "an LKCD dump", "`crash` opens it; makedumpfile converts newer ones"),
    Known(0, b"DISKDUMP", "a diskdump (before makedumpfile)", "`crash` opens it with its kernel"),
    Known(0, bytes.fromhex("defec8ed"), "a crash dump of Solaris on SPARC (big-endian)", "mdb on SPARC opens it"),
    Known(0, b"hibr", "a Windows hibernation file", "a debugger for Windows converts it"),
    Known(0, b"HIBR", "a Windows hibernation file", "a debugger for Windows converts it"),
    Known(0, b"LinuxGuestRecord", "an image of `xm save`", "`xm restore FILE`, pause the domain, then `xm dump-core`"),
    Known(8, b"XenF", "an image of `xl save`", "`xl restore -p FILE`, then `xl dump-core DOMAIN CORE`"),
    Known(0, b"xc_migration", "a Xen migration stream", "`xl restore -p FILE`, then `xl dump-core DOMAIN CORE`"),
    Known(
        0,
        b"QFI\xfb",
        "a qcow2 disk image",
        "a disk, not memory; a snapshot in it: `qemu-system ... -loadvm`, then dump it",
    ),
    Known(0, b"KDMV", "a VMware disk", "a disk, not memory"),
    Known(0, b"PK\x03\x04", "a zip archive", "`unzip FILE`"),
)


def recognise(source: Source) -> str | None:
    """What the file is and what to do with it, in one sentence; None if its beginning says nothing."""
    for known in KNOWN:
        end = known.offset + len(known.magic)
        if source.size >= end and bytes(source.read(known.offset, len(known.magic))) == known.magic:
            return f"{known.name}, which kdbg does not open: {known.advice}"
    return None

"""Files that are known and not opened: what they are, and the command that makes a dump of them.

Sources: QEMU's migration/qemu-file.h (QEVM); libvirt's qemu_saveimage.h; VMware's vmss headers (0xbed2bed0, 0xbad1bad1,
0xbed2bed2, 0xbed3bed3); Windows' DUMP_HEADER64, minidumpapiset.h, po.h (PO_IMAGE_SIGNATURE); LKCD's dump.h (also
s390-tools' df_s390.h: DUMP_MAGIC_S390); makedumpfile's sadump_mod.h; Xen's xl.h (savefileheader_magic), xc_sr_stream_
format.h, xc_save; VirtualBox' SSM.cpp (SSMFILEHDR_MAGIC_BASE); FreeBSD's minidump.h (MINIDUMP_MAGIC); Linux'
kernel/power/swap.c (S1SUSPEND); Mach-O's loader.h; the ELF specification's machines; the magic numbers of archives.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from kdbg.formats.source import Source


@dataclass(frozen=True, slots=True)
class Known:
    """A kind of file."""

    offset: int
    magic: bytes
    name: str
    advice: str


VMWARE = "VMware's `vmss2core -N FILE.vmss FILE.vmem`; or, if FILE.vmem lies beside it, `kdbg --raw FILE.vmem`"
QEMU = "resume it (`-incoming 'exec:cat FILE'`) and use `dump-guest-memory OUT` in QEMU's monitor"
XEN = "`xl restore -p FILE`, then `xl dump-core DOMAIN CORE`"
WINDOWS = "a debugger for Windows opens it (WinDbg), or Volatility"
HIBERNATED = "Volatility's layers convert it to memory, which `kdbg --raw` opens"
LKCD = "`crash` opens it with its kernel"
S390 = "s390-tools' `zgetdump -f elf FILE > OUT` makes ELF of it, for crash on such a machine"
MACH = "lldb opens it"
FREEBSD = "FreeBSD's kgdb opens it with its kernel"
DISK = "a disk, not memory"

KNOWN = (
    Known(0, b"QEVM", "a QEMU savevm or migration stream", QEMU),
    Known(0, b"LibvirtQemudSave", "an image of `virsh save`", "`virsh restore FILE`, then `virsh dump --memory-only`"),
    Known(0, b"LibvirtQemudPart", "an unfinished image of `virsh save`", "save it again: this one never became whole"),
    Known(0, b"\xd0\xbe\xd2\xbe", "a VMware suspend state or snapshot (vmss, vmsn)", VMWARE),
    Known(0, b"\xd1\xba\xd1\xba", "a VMware suspend state or snapshot (vmss, vmsn)", VMWARE),
    Known(0, b"\xd2\xbe\xd2\xbe", "a VMware suspend state or snapshot (vmss, vmsn)", VMWARE),
    Known(0, b"\xd3\xbe\xd3\xbe", "a VMware suspend state or snapshot (vmss, vmsn)", VMWARE),
    Known(0, b"\x7fVirtualBox SavedState ", "a saved state of VirtualBox",
          "start it, then `VBoxManage debugvm VM dumpvmcore --filename OUT` writes ELF"),
    Known(0, b"PAGEDU64", "a Windows crash dump (64 bits)", WINDOWS),
    Known(0, b"PAGEDUMP", "a Windows crash dump (32 bits)", WINDOWS),
    Known(0, b"MDMP\x93\xa7", "a Windows minidump", WINDOWS),
    *(Known(0, magic, "a Windows hibernation file", HIBERNATED)
      for magic in (b"hibr", b"HIBR")),
    Known(4086, b"S1SUSPEND", "a hibernated Linux in its swap area", "resume it, and dump it when it runs"),
    Known(4086, b"SWAPSPACE2", "a swap area of Linux", "not a dump: makedumpfile or savecore may have left one in it"),
    Known(0, bytes.fromhex("ed238f61730119a8"), "an LKCD dump", LKCD),
    Known(0, bytes.fromhex("cd238f61730119a8"), "an LKCD dump of a running system", LKCD),
    Known(0, bytes.fromhex("a8190173618f23ed"), "an LKCD dump (big-endian)", LKCD),
    Known(0, bytes.fromhex("a8190173618f23fd"), "a standalone dump of s390", S390),
    Known(0, b"DISKDUMP", "a diskdump (before makedumpfile)", LKCD),
    Known(0, b"sadump\0\0", "a dump of Fujitsu's sadump", "`makedumpfile -l -x VMLINUX FILE OUT` converts it"),
    Known(
        4096,
        b"sadump\0\0",
        "a dump of Fujitsu's sadump on a medium of its own",
        "`makedumpfile -l -x VMLINUX FILE OUT` converts it",
    ),
    Known(0, bytes.fromhex("defec8ed"), "a crash dump of Solaris on SPARC (big-endian)", "mdb on SPARC opens it"),
    Known(0, b"minidump FreeBSD/", "a minidump of a FreeBSD kernel", FREEBSD),
    Known(0, b"LinuxGuestRecord", "an image of `xm save`", "`xm restore FILE`, pause the domain, then `xm dump-core`"),
    Known(0, b"Xen saved domain", "an image of `xl save`", XEN),
    Known(0, b"XenSavedDomain", "a suspend image of XenServer", "resume it, then `xl dump-core DOMAIN CORE`"),
    Known(0, b"libvirt-xml\n", "an image of `virsh save` of a Xen domain", "`virsh restore FILE`, then `virsh dump`"),
    Known(8, b"XenF", "an image of `xl save`", XEN),
    Known(0, b"xc_migration", "a Xen migration stream", XEN),
    Known(0, bytes.fromhex("cffaedfe"), "a Mach-O file (macOS, 64 bits)", MACH),
    Known(0, bytes.fromhex("cefaedfe"), "a Mach-O file (macOS, 32 bits)", MACH),
    Known(0, bytes.fromhex("feedface"), "a Mach-O file (macOS, PowerPC)", MACH),
    Known(0, bytes.fromhex("feedfacf"), "a Mach-O file (macOS, PowerPC 64)", MACH),
    Known(0, b"QFI\xfb", "a qcow2 disk image",
          "a disk, not memory; a snapshot in it: `qemu-system ... -loadvm`, then dump it"),
    Known(0, b"KDMV", "a VMware disk", DISK),
    Known(0, b"# Disk DescriptorFile", "a VMware disk's description", DISK),
    Known(0, b"vhdxfile", "a Hyper-V disk", DISK),
    Known(64, b"\x7f\x10\xda\xbe", "a VirtualBox disk", DISK),
    Known(514, b"HdrS", "a Linux kernel as it is booted (bzImage)", "not a dump: none is needed beside a dump"),
    Known(0, b"PK\x03\x04", "a zip archive", "`unzip FILE`"),
    Known(257, b"ustar", "a tar archive", "`tar -xf FILE`"),
    Known(0, b"7z\xbc\xaf\x27\x1c", "a 7-zip archive", "`7z x FILE`"),
    Known(0, b"Rar!\x1a\x07", "a RAR archive", "`unrar x FILE`"),
    Known(0, b"\x04\x22\x4d\x18", "a file inside lz4", "`lz4 -dk FILE`"),
    Known(0, b"\x89LZO\0\r\n\x1a\n", "a file inside lzop", "`lzop -d FILE`"),
    Known(0, b"LZIP\x01", "a file inside lzip", "`lzip -dk FILE`"),
    Known(0, b"\x1f\x9d", "a file inside compress", "`uncompress FILE`"),
)  # fmt: skip

MACHINES = {
    2: "SPARC", 8: "MIPS", 15: "PA-RISC", 18: "SPARC", 20: "PowerPC", 21: "PowerPC 64", 22: "s390", 40: "ARM (32 bits)",
    42: "SuperH", 43: "SPARC V9", 50: "Itanium", 164: "Hexagon", 243: "RISC-V", 258: "LoongArch",
}  # fmt: skip
"""Machines of ELF files that are no x86 and no arm64."""
ELF_TYPES = {1: "an object file", 2: "a program", 3: "a library or program", 4: "a core"}


OTHER_MACHINES = ("s390", "ppc", "armv", "riscv", "loongarch", "mips", "ia64", "sparc", "alpha")
"""How names of machines (utsname) begin that are no x86 and no arm64."""
MACHINE_AT = 12 + 4 * 65
"""Of a makedumpfile dump: utsname.machine (makedumpfile's disk_dump_header)."""


def other_machine(source: Source) -> str | None:
    """The machine of a makedumpfile dump, if it is one whose dumps are not opened."""
    name = bytes(source.read(MACHINE_AT, min(65, max(0, source.size - MACHINE_AT)))).split(b"\0")[0].decode("latin-1")
    return name if name.startswith(OTHER_MACHINES) else None


def recognise(source: Source) -> str | None:
    """What the file is and what to do with it, in one sentence; None if its beginning says nothing."""
    for known in KNOWN:
        end = known.offset + len(known.magic)
        if source.size >= end and bytes(source.read(known.offset, len(known.magic))) == known.magic:
            return f"{known.name}, which kdbg does not open: {known.advice}"
    if source.size > MACHINE_AT and bytes(source.read(0, 8)) == b"KDUMP   " and other_machine(source):
        return f"a makedumpfile dump of {other_machine(source)}, which kdbg does not open: crash for that machine does"
    return None


def elf_in_words(source: Source) -> str:
    """What kind of ELF file one is, and what opens it."""
    head = bytes(source.read(0, min(20, source.size))).ljust(20, b"\0")
    order: Literal["little", "big"] = "big" if head[5] == 2 else "little"
    kind, machine = (int.from_bytes(head[at : at + 2], order) for at in (16, 18))
    name = f"{ELF_TYPES.get(kind, 'a file')} (ELF type {kind}), machine {machine}"
    if machine in MACHINES:
        name += f" ({MACHINES[machine]}{', big-endian' if order == 'big' else ''})"
        opens = ": crash built for that machine does, gdb the core of a process" if kind == 4 else ""
        return f"{name}, which kdbg does not open{opens}"
    if kind in (1, 2, 3):
        return f"{name}: no dump, but the file beside one (`kdbg FILE CORE`); alone, `kdbg FILE` shows it as mdb does"
    return name

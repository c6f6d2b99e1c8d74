"""The dump that Solaris xVM writes when its hypervisor panics: domain 0's kernel and Xen in one native dump.

    host = XpvDump()
    host.write(folder / "vmcore.0")                       # Xen panicked and handed over to domain 0, which dumped both
    XpvDump(hypervisor=False).write(folder / "vmcore.1")  # domain 0 panicked by itself: of Xen only the shared page

Facts: uts/i86xpv/os/xpv_panic.c (made-up pfns with PFN_IS_FOREIGN_MFN for each page that Xen has mapped, in order of
the addresses; the module ``xpv`` at the end of the list; inverted frame pointers at exceptions; xpv_panicking),
uts/i86pc/os/machdep.c (dump_plat_pfn: the shared page alone), <vm/hat_pte.h>, <sys/dumphdr.h>. Page tables of domain 0
hold machine frames, the dump numbers pages by pfn.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from samples.illumos_dump import IllumosDump, ksyms_of
from samples.image import KernelImage
from samples.kernel import Hats
from samples.kmem import Cache
from samples.memory import PAGE, Region
from samples.solaris import Domain, _Build, standard
from samples.threads import Population

XEN_START = {64: 0xFFFF828C80000000, 32: 0xFC000000}
"""Width -> where the hypervisor's image lies (xen_virt_start lies at or before it)."""
FOREIGN = {64: 1 << 51, 32: 1 << 31}
FUNCTIONS = ("panic", "fatal_trap", "do_page_fault", "handle_exception", "domain_crash_synchronous", "idle_loop")
STACK_SIZE = 0x2000


STRUCT_DOMAIN = """
struct domain {
    short domain_id; uint_t tot_pages; uint_t max_pages; uint_t domain_flags; char is_hvm;
    void *vcpu[4]; void *evtchn[2]; struct domain *next_in_list;
};
"""
"""Members that mdb's module xpv reads by the hypervisor's CTF; where they lie is this build's own."""
DOMAINS = ((0, 0x4000, 0x5000, 1, 0), (3, 0x800, 0x900, 0, 1))
"""Id, pages, most pages, flags, whether it is fully virtualised; of each domain."""


class _XpvBuild(_Build):
    """A domain with the hypervisor as a module."""

    def _modules(self) -> None:
        super()._modules()
        image = self.image
        start = XEN_START[image.bits]
        module = image.modules.pop("xpv")
        image.modules["xpv"] = module  # the last of the list
        module.text, module.data = start + 0x100000, start + 0x180000
        image._data["xpv"] = Region(image.space, module.data, module.data + 0x10000)
        image.layout.declare(STRUCT_DOMAIN)
        module.types = frozenset({"struct domain"})
        room, following = Region(image.space, start + 0x190000, start + 0x1A0000), 0
        for number, (ident, pages, most, flags, virtual) in reversed(list(enumerate(DOMAINS))):
            made = image.new("struct domain", room, domain_id=ident, tot_pages=pages, max_pages=most,
                             domain_flags=flags, is_hvm=virtual, next_in_list=following)  # fmt: skip
            for cpu in range(number + 1):
                made[f"vcpu[{cpu}]"] = start + 0x1000 * (number + 1) + 0x100 * cpu
            following = made.address
        image.variable("xpv", "dom0", "void *", following)

    def _finish(self, caches: dict[str, Cache], population: Population, hats: Hats) -> None:
        if self.plan.xen_panicked:  # type: ignore[attr-defined]
            self.image.set("xpv_panicking", 1)
        else:
            del self.image.modules["xpv"]  # it joins the list when the hypervisor panics
        super()._finish(caches, population, hats)


@dataclass
class XpvDump:
    """What is planned of the dump."""

    bits: int = 64
    hypervisor: bool = True
    """Whether it was the hypervisor that panicked."""
    options: dict[str, object] = field(default_factory=dict)
    """Of `samples.illumos_dump.IllumosDump`."""

    domain: Domain = field(init=False)
    xen: dict[int, bytes] = field(init=False, default_factory=dict)
    """Address -> page, of the hypervisor's."""
    stack: list[tuple[int, int]] = field(init=False, default_factory=list)
    """(frame pointer, pc) of the frames on the hypervisor's stack, innermost first."""

    def __post_init__(self) -> None:
        plan = standard(self.bits, paravirtual=True)
        for name in FUNCTIONS:
            plan.function(f"xen_{name}", "xpv", 0)
        plan.xen_panicked = self.hypervisor  # type: ignore[attr-defined]
        self.domain = _XpvBuild(plan).run()
        self._stack(self.domain.image)

    @property
    def image(self) -> KernelImage:
        """The kernel's memory."""
        return self.domain.image

    def _stack(self, image: KernelImage) -> None:
        """A stack of Xen's with an exception on it, whose frame pointer is inverted."""
        word, base = image.bits // 8, XEN_START[image.bits] + 0x1A0000
        image.space.ensure(base, STACK_SIZE)
        pointers = [base + 0x1E00 + 0x40 * number for number in range(len(FUNCTIONS))]
        pcs = [image.symbols[f"xen_{name}"].address + 5 for name in FUNCTIONS]
        self.stack = list(zip(pointers, pcs, strict=True))
        for number, pointer in enumerate(pointers):
            last = number + 1 == len(pointers)
            following = 0 if last else pointers[number + 1]
            if number == 2:  # handle_exception was entered by a trap
                following ^= (1 << image.bits) - 1
            pc = 0 if last else pcs[number + 1]
            image.space.write(pointer, following.to_bytes(word, "little") + pc.to_bytes(word, "little"))

    def dump(self) -> IllumosDump:
        """The native dump."""
        image, mark = self.image, FOREIGN[self.bits]
        kas = image.symbols["kas"].address
        start = XEN_START[self.bits]
        end = start + 0x200000
        pages = {pfn: bytes(image.frames.pages[pfn]) for pfn in image.frames}
        rows = []
        for page, pfn in sorted(image.space.pages.items()):
            if start <= page * PAGE < end:
                self.xen[page * PAGE] = pages.pop(pfn)
            else:
                rows.append((kas, page * PAGE, pfn))
        shared = (start - 0x10000, self.domain.shared.ljust(PAGE, b"\0"))
        made_up = [*sorted(self.xen.items()), shared] if self.hypervisor else [shared]
        for number, (address, data) in enumerate(made_up):
            pages[mark | number] = data
            rows.append((kas, address, mark | number))
        return IllumosDump(pages, rows, ksyms_of(self.domain), self.bits, platform=b"i86xpv", **self.options)  # type: ignore[arg-type]

    def write(self, path: Path, pages: str | None = None) -> Path:
        """Write a vmcore, or a vmdump (`samples.illumos_dump.IllumosDump.write`); the path."""
        return self.dump().write(path, pages)

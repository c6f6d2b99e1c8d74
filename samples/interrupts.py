"""Event channels, interrupt handlers and the message buffer of a kernel that is being built.

Facts: sys/avintr.h (autovect), sys/evtchn_impl.h (irq_info, mec_info, the numbers of types), xen/public/xen.h
(shared_info, VIRQ_*), sys/stream.h and sys/strlog.h (messages).
"""

from __future__ import annotations

from samples.image import KernelImage, Structure
from samples.memory import PAGE, Bit
from samples.plan import ChannelSpec

IRQS = 512
EVENT_CHANNELS = 4096
TYPES = {"pirq": 1, "virq": 2, "ipi": 3, "evtchn": 4, "device": 5}
VIRQS = {"timer": 0, "debug": 1, "console": 2, "dom exc": 3, "debugger": 6, "mca": 16}


def make_channels(image: KernelImage, channels: list[ChannelSpec]) -> None:
    """The tables that say which channel is bound to which interrupt and handler."""
    irq_info = image.variable("unix", "irq_info", f"irq_info_t [{IRQS}]", local=True)
    ipi_info = image.variable("unix", "ipi_info", "mec_info_t [16]", local=True)
    virq_info = image.variable("unix", "virq_info", "mec_info_t [24]", local=True)
    to_irq = image.variable("unix", "evtchn_to_irq", f"short [{EVENT_CHANNELS}]", b"\xff\xff" * EVENT_CHANNELS, True)
    cpus = image.variable("unix", "evtchn_cpus", f"cpuset_t [{EVENT_CHANNELS}]", local=True)
    vectors = image.variable("unix", "autovect", f"struct av_head [{IRQS}]")
    image.variable("xpv_psm", "apic_irq_table", "void * [256]")
    image.variable("xpv_psm", "apic_level_intr", "char [256]")
    sizes = {name: image.layout.sizeof(name) for name in ("irq_info_t", "mec_info_t", "cpuset_t", "struct av_head")}
    for channel in channels:
        kind, _, detail = channel.type.partition(":")
        info = image.structure("irq_info_t", irq_info + channel.irq * sizes["irq_info_t"])
        info["ii_type"] = TYPES[kind]
        index = VIRQS[detail] if kind == "virq" else channel.ipl
        if kind in ("virq", "ipi"):
            info["ii_u.index"] = index
            base = virq_info if kind == "virq" else ipi_info
            shared = image.structure("mec_info_t", base + index * sizes["mec_info_t"])
            shared["mi_irq"] = channel.irq
            shared[f"mi_evtchns[{channel.cpu}]"] = channel.number
        else:
            info["ii_u.evtchn"] = channel.number
        if kind != "ipi":
            info["ii_u2.ipl"] = channel.ipl
        image.space.write(to_irq + 2 * channel.number, channel.irq.to_bytes(2, "little"))
        cpuset = cpus + channel.number * sizes["cpuset_t"]
        image.space.write(cpuset, (1 << channel.cpu).to_bytes(sizes["cpuset_t"], "little"))
        if channel.handler:
            vector = image.new("struct autovec", av_vector=image.functions[channel.handler].address,
                               av_prilevel=channel.ipl)  # fmt: skip
            head = image.structure("struct av_head", vectors + channel.irq * sizes["struct av_head"])
            head.update(avh_link=vector, avh_hi_pri=channel.ipl, avh_lo_pri=channel.ipl)


def shared_info(image: KernelImage, channels: list[ChannelSpec]) -> bytes:
    """Xen's shared page: pending and masked channels (two-level), wall clock, highest pfn."""
    layout = image.layout
    page = bytearray(PAGE)
    for channel in channels:
        for wanted, member in ((channel.pending, "evtchn_pending"), (channel.masked, "evtchn_mask")):
            if wanted:
                at = layout.offset("shared_info_t", member) + channel.number // 8
                page[at] |= 1 << channel.number % 8
    at = layout.offset("shared_info_t", "wc_sec")
    page[at : at + 4] = (1_600_000_000).to_bytes(4, "little")
    at = layout.offset("shared_info_t", "arch.max_pfn")
    page[at : at + image.word] = (max(image.frames.pages) + 1).to_bytes(image.word, "little")
    return bytes(page)


def map_shared_info(image: KernelImage, page: bytes, owned: bool) -> None:
    """Map the shared page: one of the domain's own where ``owned``, else a frame of Xen's that is in no frame table."""
    va = image.map.shared_info
    image.variable("unix", "HYPERVISOR_shared_info", "shared_info_t *", va)
    if owned:
        image.space.write(va, page)
    else:
        image.tables.map_number(va, image.frames.first_mfn + image.frames.span + 0x123, image.flags | Bit.NO_EXECUTE)


def make_messages(image: KernelImage, messages: list[str]) -> None:
    """The queue of recent messages: each a message block with a log_ctl, and the text in the block behind it."""
    queue = image.new("queue_t")
    image.set("log_recentq", queue)
    before: Structure | None = None
    for number, text in enumerate(messages):
        control = image.new("log_ctl_t", seq_no=number, ttime=1_600_000_000 + number, level=5)
        data = image.string(text)
        body = image.new("mblk_t", b_rptr=data, b_wptr=data + len(text) + 1)
        head = image.new("mblk_t", b_rptr=control, b_cont=body,
                         b_wptr=control.address + image.layout.sizeof("log_ctl_t"))  # fmt: skip
        if before is None:
            queue["q_first"] = head
        else:
            before["b_next"] = head
            head["b_prev"] = before
        queue["q_last"] = before = head

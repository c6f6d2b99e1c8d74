"""The sockets of a Linux kernel."""

from __future__ import annotations

from collections.abc import Iterator

from kdbg.dcmds.linux.failing import about
from kdbg.dcmds.registry import OPTIONAL, Call, Table, View, dcmd, flag, word
from kdbg.errors import CommandError, UsageError
from kdbg.kernels.linux.sockets import FAMILIES, Socket, Sockets

LISTENING = ("LISTEN",)


class SocketTable(Table):
    """Sockets, a line each."""

    __slots__ = ()

    def heading(self, view: View) -> str:
        """The headings."""
        return (
            f"{'ADDR':<{view.pointer_width}} FAMILY  PROTO     STATE        RECV-Q SEND-Q "
            f"{'LOCAL':<22} {'REMOTE':<22} INODE   PROCESS"
        )

    def row(self, record: Socket, view: View) -> str:
        """A socket; the first process that has it open, and how many more."""
        receive, send, inode = (
            "-" if one is None else str(one) for one in (record.receive_queue, record.send_queue, record.inode)
        )
        line = (
            f"{record.address:0{view.pointer_width}x} {record.family:<7} {record.protocol:<9} {record.state:<12} "
            f"{receive:>6} {send:>6} {record.local or '*':<22} {record.remote or '*':<22} {inode:<7} "
        )
        if record.pid is None:
            return f"{line}-"
        more = f" +{len(record.owners) - 1}" if len(record.owners) > 1 else ""
        return f"{line}{record.pid}/{record.process} fd {record.fd}{more}"


@dcmd(
    "netstat",
    "list sockets",
    address=OPTIONAL,
    synopsis="[-l] [-f inet | inet6 | unix | ...] [-P protocol] [-p pid]",
    needs=("kernel",),
    module="linux",
    options=[
        flag("l", "only those that wait for connections"),
        word("f", "family", "only those of a family: " + ", ".join(FAMILIES.values())),
        word("P", "protocol", "only those of a protocol: tcp, udp, icmp ...; stream, dgram ... of other families"),
        word("p", "pid", "only those that a process has open"),
    ],
    table=SocketTable(),
    help="Sockets with their state, what waits in their queues, their ends, inode and a process that has each open. "
    "TCP, UDP and unix sockets are found in the protocols' tables, too, where no process has them open any more. "
    "An address shows the struct sock that lies there.",
    example="::netstat -f inet",
)
def netstat(call: Call) -> Iterator[Socket]:
    """All sockets, or one."""
    options = call.options
    if options.f is not None and options.f not in FAMILIES.values():
        raise UsageError(f"netstat: no family of sockets is called {options.f}")
    found = False
    with about("sockets", call.kernel):
        pid = None if options.p is None else call.session.number(options.p)
        part: Sockets = call.kernel.part(Sockets)
        for record in part.walk():
            wanted = (
                (not call.explicit or record.address == call.address)
                and options.f in (None, record.family)
                and options.P in (None, record.protocol)
                and (not options.l or record.state in LISTENING)
                and (pid is None or any(one == pid for one, _ in record.owners))
            )
            if wanted:
                found = True
                yield record
    if call.explicit and not found:
        raise CommandError(f"{call.address:x} is the address of no socket that is found")

"""The sockets of a Linux kernel: those that processes have open, and those that the protocols' tables hold besides.

A socket without a process (one that waits for its end, or for the handshake's) is in the tables alone; a socket that is
bound to nothing is known by its file alone. Both are asked for, each socket is told once.

Sources: include/net/sock.h (sock_common, sock), include/net/inet_hashtables.h (inet_hashinfo: ehash, lhash2; chains
end with an odd word, include/linux/list_nulls.h), include/net/udp.h (udp_table), include/net/af_unix.h and
net/unix/af_unix.c (the table: 2 * 256 chains, a namespace's own since 6.0), include/net/tcp_states.h; net/ipv4/
tcp_ipv4.c (get_tcp4_sock: what the queues are), include/linux/socket.h (AF_*).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from kdbg.errors import Error, ReadError, SymbolNotFound, TypeNotFound
from kdbg.kernels.linux.files import file_pointers
from kdbg.kernels.linux.lists import offset_of
from kdbg.kernels.linux.tasks import Tasks
from kdbg.symbols.layouts import Layout

if TYPE_CHECKING:
    from kdbg.kernels.linux.kernel import Linux

AF_UNIX, AF_INET, AF_INET6 = 1, 2, 10
FAMILIES = {1: "unix", 2: "inet", 10: "inet6", 16: "netlink", 17: "packet", 29: "can", 31: "bluetooth", 38: "alg",
            40: "vsock", 44: "xdp"}  # fmt: skip
PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmp6", 132: "sctp", 136: "udplite", 262: "mptcp"}
TYPES = {1: "stream", 2: "dgram", 3: "raw", 5: "seqpacket"}
STATES = ("-", "ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT", "CLOSE", "CLOSE_WAIT",
          "LAST_ACK", "LISTEN", "CLOSING", "NEW_SYN_RECV", "BOUND_INACTIVE")  # fmt: skip
ESTABLISHED, TIME_WAIT, CLOSE, LISTEN, NEW_SYN_RECV = 1, 6, 7, 10, 12
MINI = (TIME_WAIT, NEW_SYN_RECV)
"""In these states there is a sock_common, and no sock around it."""
UNIX_CHAINS = 512
MOST_CHAINS = 1 << 24
MOST_SOCKETS = 1 << 22
_COMMON = {"family": "skc_family", "state": "skc_state", "port": "skc_num", "remote_port": "skc_dport",
           "to": "skc_daddr", "here": "skc_rcv_saddr", "protocol_of": "skc_prot"}  # fmt: skip
_SOCK = {"type": "sk_type", "protocol": "sk_protocol", "socket": "sk_socket", "backlog": "sk_ack_backlog",
         "most_backlog": "sk_max_ack_backlog", "sent": "sk_wmem_alloc", "received": "sk_backlog.rmem_alloc?",
         "uid": "sk_uid?", "receiving": "sk_receive_queue.qlen"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Socket:
    """A socket."""

    address: int
    """Of its struct sock; in TIME_WAIT and NEW_SYN_RECV of the small structure that begins like one."""
    family: str
    protocol: str
    """tcp, udp ...; of families without protocols the type: stream, dgram, seqpacket, raw."""
    state: str
    local: str
    remote: str
    receive_queue: int | None
    """Bytes (TCP, UDP) or messages that nobody has read; of a TCP socket that listens: connections not yet accepted."""
    send_queue: int | None
    """Bytes that the other side has not confirmed; of a TCP socket that listens: connections that may wait."""
    inode: int | None
    """Number of its inode, where a file shows it."""
    uid: int | None
    pid: int | None = None
    """Of a process that has it open."""
    process: str | None = None
    fd: int | None = None
    owners: tuple[tuple[int, int], ...] = ()
    """(pid, fd) of all that have it open."""


class Sockets:
    """The sockets of one kernel."""

    def __init__(self, kernel: Linux) -> None:
        self.kernel = kernel
        common, sock = kernel.type("struct sock_common"), kernel.type("struct sock")
        self._read = kernel.memory.read
        self._common = Layout(common, _COMMON)
        self._sock = Layout(sock, _SOCK)
        self._word = kernel.bits // 8
        self._node = offset_of(common, "skc_node")
        self._nulls = offset_of(common, "skc_nulls_node")
        self._v6 = (offset_of(common, "skc_v6_rcv_saddr"), offset_of(common, "skc_v6_daddr")) if common.has(
            "skc_v6_daddr") else None  # fmt: skip

    def walk(self) -> Iterator[Socket]:
        """All sockets: those of processes in the order of these, then what the tables hold besides. Raises `Error`."""
        owners, seen = self._owners(), set[int]()
        for address in [*owners, *self._in_tables(list(owners))]:
            if address in seen:
                continue
            if len(seen) > MOST_SOCKETS:
                self.kernel.target.note(f"sockets: more than {MOST_SOCKETS}; the rest is left out")
                return
            seen.add(address)
            try:
                record = self.record(address)
            except Error as error:
                self.kernel.target.note(f"socket {address:x}: {error}")
                continue
            held = owners.get(address, [])
            if held:
                pid, name, fd = held[0]
                record = replace(record, pid=pid, process=name, fd=fd, owners=tuple((one[0], one[2]) for one in held))
            yield record

    # by the processes' files

    def _owners(self) -> dict[int, list[tuple[int, str, int]]]:
        """Struct sock -> (pid, name, fd) of those that have it open."""
        kernel, tasks = self.kernel, self.kernel.part(Tasks)
        found: dict[int, list[tuple[int, str, int]]] = {}
        file_type = kernel.type("struct file")
        private = file_type.member("private_data").offset
        socket = Layout(kernel.type("struct socket"), {"file": "file", "sock": "sk"})
        for leader in tasks.leaders():
            try:
                task = tasks.living(leader)
                if not task.files:
                    continue
                for fd, file in file_pointers(kernel, task.files):
                    sock = self._sock_of(file, private, socket)
                    if sock:
                        found.setdefault(sock, []).append((task.pid or 0, task.name, fd))
            except Error as error:
                kernel.target.note(f"sockets: open files of the task {leader:x}: {error}")
        return found

    def _sock_of(self, file: int, private: int, socket: Layout) -> int:
        """The struct sock behind a file, 0 where it is none: a socket's file and struct socket know each other."""
        try:
            pointer = self.kernel.word(file + private)
            if not self.kernel.in_kernel(pointer):
                return 0
            told = socket.read(self._read, pointer)
        except ReadError:
            return 0
        return int(told["sock"]) if told["file"] == file else 0

    # by the protocols' tables

    def _in_tables(self, known: list[int]) -> Iterator[int]:
        for namespace in self._namespaces():
            yield from self._guarded("unix sockets", self._unix, namespace)
        for table in self._tables("tcp", known):
            yield from self._guarded("TCP", self._tcp, table)
        for table in self._tables("udp", known):
            yield from self._guarded("UDP", self._udp, table)

    def _guarded(self, what: str, walk: Any, at: int) -> Iterator[int]:
        try:
            yield from walk(at)
        except Error as error:
            self.kernel.target.note(f"{what}: the table at {at:x}: {error}")

    def _namespaces(self) -> list[int]:
        """Struct net of each namespace that a process is in."""
        kernel, tasks, found = self.kernel, self.kernel.part(Tasks), dict[int, None]()
        proxies = dict[int, None]()
        for leader in tasks.leaders():
            try:
                proxies[tasks.load(leader)["namespaces"]] = None
            except ReadError:
                continue
        proxies.pop(0, None)
        for proxy in proxies:
            try:
                found[int(kernel.at("struct nsproxy", proxy).net_ns)] = None
            except Error as error:
                kernel.target.note(f"namespaces: nsproxy {proxy:x}: {error}")
        return list(found)

    def _tables(self, protocol: str, known: list[int]) -> list[int]:
        """Tables of a protocol: those of the namespaces, the kernel's one, or those that its sockets lead to."""
        kernel, found = self.kernel, dict[int, None]()
        place = ("tcp_hashinfo", "hashinfo") if protocol == "tcp" else ("udp_table", "udp_table")
        for namespace in self._namespaces():
            try:
                ipv4 = kernel.at("struct net", namespace).ipv4
                holder = ipv4.tcp_death_row if protocol == "tcp" else ipv4
                if holder.has(place[1]):
                    found[int(holder[place[1]])] = None
            except Error as error:
                kernel.target.note(f"{protocol}: namespace {namespace:x}: {error}")
        try:
            found[kernel.image_symbol(place[0]).address] = None
        except SymbolNotFound:
            for address in known:
                try:
                    proto = kernel.at("struct sock_common", address).skc_prot
                    if proto.name.string().lower() in (protocol, f"{protocol}v6"):
                        found[int(proto.h[place[1]])] = None
                except Error:
                    continue
        found.pop(0, None)
        return list(found)

    def _tcp(self, table: int) -> Iterator[int]:
        info = self.kernel.load("struct inet_hashinfo", table)
        yield from self._chains(int(info.ehash), int(info.ehash_mask) + 1, self._word, 0, self._nulls)
        bucket = self.kernel.type("struct inet_listen_hashbucket")
        head = bucket.member("nulls_head" if bucket.has("nulls_head") else "head").offset
        if info.has("listening_hash"):
            where, count = info.address_of("listening_hash"), info.listening_hash.type.resolved.count
        else:
            where, count = int(info.lhash2), int(info.lhash2_mask) + 1
        yield from self._chains(where, count, bucket.size, head, self._nulls)

    def _udp(self, table: int) -> Iterator[int]:
        info, slot = self.kernel.load("struct udp_table", table), self.kernel.type("struct udp_hslot")
        head = slot.member("head" if slot.has("head") else "nulls_head").offset
        yield from self._chains(int(info.hash), int(info.mask) + 1, slot.size, head, self._node)

    def _unix(self, namespace: int) -> Iterator[int]:
        try:
            where = int(self.kernel.at("struct net", namespace).unx.table.buckets)
        except TypeNotFound:
            where = self.kernel.image_symbol("unix_socket_table").address
        yield from self._chains(where, UNIX_CHAINS, self._word, 0, self._node)

    def _chains(self, where: int, count: int, size: int, head: int, node: int) -> Iterator[int]:
        """Addresses of the structures in ``count`` chains, whose heads lie ``size`` bytes apart. Raises `ReadError`."""
        if not 0 < count <= MOST_CHAINS:
            raise ReadError(where, f"{where:x}: a table of {count} chains")
        data, form = self._read(where, count * size), struct.Struct("<Q" if self._word == 8 else "<I")
        seen = set[int]()
        for at in range(head, len(data), size):
            [here] = form.unpack_from(data, at)
            while here and not here & 1:
                if here in seen or len(seen) > MOST_SOCKETS:
                    self.kernel.target.note(f"sockets: the chain of the table at {where:x} leads back to {here:x}")
                    break
                seen.add(here)
                yield here - node
                try:
                    here = self.kernel.word(here)
                except ReadError as error:
                    self.kernel.target.note(f"sockets: the chain ends at {here:x}: {error.reason}")
                    break

    # one socket

    def record(self, address: int) -> Socket:
        """The socket whose struct sock lies at an address. Raises `Error`."""
        common = self._common.read(self._read, address)
        family, state = common["family"], common["state"]
        mini = family in (AF_INET, AF_INET6) and state in MINI
        told = {} if mini else self._sock.read(self._read, address)
        number = told.get("protocol")
        kind = PROTOCOLS.get(number or 0) if family in (AF_INET, AF_INET6) else None
        protocol = "tcp" if mini else kind or TYPES.get(told.get("type", 0), str(number))
        local, remote = self._ends(address, common, family)
        stateless = protocol not in ("tcp", "mptcp", "sctp", "stream", "seqpacket")
        if (stateless or family == AF_UNIX) and state == CLOSE:
            shown = "UNCONN"
        else:
            shown = STATES[state] if state < len(STATES) else str(state)
        receive, send = self._queues(address, protocol, state, told)
        return Socket(address, FAMILIES.get(family, str(family)), protocol, shown, local, remote, receive, send,
                      self._inode(told.get("socket", 0)), told.get("uid"))  # fmt: skip

    def _ends(self, address: int, common: dict[str, int], family: int) -> tuple[str, str]:
        if family == AF_UNIX:
            return self._unix_ends(address)
        if family not in (AF_INET, AF_INET6):
            return "", ""
        import ipaddress

        if family == AF_INET or self._v6 is None:
            here, there = (str(ipaddress.IPv4Address(common[one].to_bytes(4, "little"))) for one in ("here", "to"))
        else:
            here, there = (f"[{ipaddress.IPv6Address(self._read(address + at, 16))}]" for at in self._v6)
        port = int.from_bytes(common["remote_port"].to_bytes(2, "little"), "big")
        return f"{here}:{common['port'] or '*'}", f"{there}:{port or '*'}"

    def _unix_ends(self, address: int) -> tuple[str, str]:
        sock = self.kernel.at("struct unix_sock", address)
        name, peer = self._unix_name(sock), ""
        if int(sock.peer):
            try:
                peer = self._unix_name(self.kernel.at("struct unix_sock", int(sock.peer))) or f"{int(sock.peer):x}"
            except Error as error:
                peer = f"<{error}>"
        return name, peer

    def _unix_name(self, sock: Any) -> str:
        """The path, or @ and the name of an abstract one; "" where it has none."""
        if not int(sock.addr):
            return ""
        length = min(int(sock.addr.len), 110)  # of a sockaddr_un: two bytes of family before the name
        data = self._read(sock.addr.address_of("name") + 2, max(length - 2, 0))
        text = b"@" + data[1:] if data[:1] == b"\0" else data.partition(b"\0")[0]
        return text.decode("utf-8", "replace")

    def _queues(self, address: int, protocol: str, state: int, told: dict[str, Any]) -> tuple[int | None, int | None]:
        if not told:
            return None, None
        if protocol == "tcp":
            if state == LISTEN:
                return told["backlog"], told["most_backlog"]
            tcp = self.kernel.load("struct tcp_sock", address)
            receive, send = int(tcp.rcv_nxt) - int(tcp.copied_seq), int(tcp.write_seq) - int(tcp.snd_una)
            return _distance(receive), _distance(send)
        if protocol.startswith("udp"):
            sent = told["sent"]
            return told["received"], max(sent - 1, 0)  # one is the socket's own
        return told["receiving"], None

    def _inode(self, socket: int) -> int | None:
        """Number of the inode that lies beside a struct socket, in a struct socket_alloc."""
        if not socket:
            return None
        try:
            holder = self.kernel.type("struct socket_alloc")
            start = socket - holder.member("socket").offset
            return int(self.kernel.at("struct socket_alloc", start).vfs_inode.i_ino)
        except Error:
            return None


def _distance(difference: int) -> int:
    """From one sequence number to another, 32 bits wide; 0 where the other one is behind."""
    difference &= 0xFFFFFFFF
    return difference if difference < 1 << 31 else 0

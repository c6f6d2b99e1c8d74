"""Function bodies: machine code that disassembles, with the prologues, saved arguments and calls that true stacks need.

Every function that stands in a planned stack really calls the function that stands above it there, so a saved pc is the
address behind a call instruction whose target is the function called.

64-bit code saves its arguments as the compiler of illumos is told to (``-Wu,-save_args``): push %rbp; mov %rsp,%rbp;
sub $n,%rsp; then one mov %reg,-8(%rbp) ... for each register argument. 32-bit code finds its arguments at 8(%ebp);
the caller drops them behind the call (add $n,%esp).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

SAVES = (
    b"\x48\x89\x7d\xf8",  # mov %rdi,-0x8(%rbp)
    b"\x48\x89\x75\xf0",  # mov %rsi,-0x10(%rbp)
    b"\x48\x89\x55\xe8",  # mov %rdx,-0x18(%rbp)
    b"\x48\x89\x4d\xe0",  # mov %rcx,-0x20(%rbp)
    b"\x4c\x89\x45\xd8",  # mov %r8,-0x28(%rbp)
    b"\x4c\x89\x4d\xd0",  # mov %r9,-0x30(%rbp)
)
BODY64 = b"\x31\xc0\x48\x85\xff"  # xor %eax,%eax; test %rdi,%rdi
BODY32 = b"\x31\xc0\x85\xdb"  # xor %eax,%eax; test %ebx,%ebx


@dataclass(eq=False)
class Function:
    """A function of a module."""

    name: str
    module: str
    arguments: int | None = 0
    """How many it takes; None: written in assembler, nothing is known of it."""
    local: bool = False
    callees: list[Function] = field(default_factory=list)
    address: int = 0
    returns: dict[str, int] = field(default_factory=dict)
    """Name of a callee -> offset of the instruction behind the call."""
    body: int = 0
    """Offset of the first instruction behind the prologue."""
    size: int = 0

    def calls(self, callee: Function) -> None:
        """Have a call of that function in the body."""
        if callee not in self.callees:
            self.callees.append(callee)

    def locals(self, bits: int) -> int:
        """Bytes that the prologue makes room for."""
        if bits == 32:
            return 16
        return 16 + -(-8 * min(self.arguments or 0, 6) // 16) * 16

    def assemble(self, bits: int) -> bytes:
        """The machine code; targets are right once every function has its address."""
        room = self.locals(bits)
        if bits == 64:
            code = b"\x55\x48\x89\xe5\x48\x83\xec" + bytes([room])
            code += b"".join(SAVES[: self.arguments or 0])
        else:
            code = b"\x55\x8b\xec\x83\xec" + bytes([room])
        self.body = len(code)
        code += BODY64 if bits == 64 else BODY32
        for callee in self.callees:
            target = callee.address - (self.address + len(code) + 5)
            code += b"\xe8" + struct.pack("<i", (target + (1 << 31)) % (1 << 32) - (1 << 31))
            self.returns[callee.name] = len(code)
            if bits == 32 and callee.arguments:
                code += b"\x83\xc4" + bytes([4 * callee.arguments])
            code += b"\x85\xc0"  # test %eax,%eax
        code += b"\xc9\xc3"  # leave; ret
        self.size = len(code)
        return code


def place(functions: list[Function], start: int, bits: int) -> int:
    """Give functions their addresses, one after the other; returns the end."""
    address = start
    for function in functions:
        function.address = address
        function.assemble(bits)
        address = -(-(address + function.size) // 16) * 16
    return address

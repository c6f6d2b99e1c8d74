"""x86 machine code to text. The first lines of each mode are what mdb answered; the rest follows its rules."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdbg.disasm.operands import Invalid
from kdbg.disasm.x86 import Decoder
from kdbg.errors import ReadError


class Names:
    """One symbol: twenty bytes at 1000."""

    def label(self, address: int) -> str:
        """mdb's label."""
        return f"start+{address - 0x1000:#x}" if 0x1000 <= address < 0x1014 else f"{address:#x}"

    def extent(self, address: int) -> tuple[int, int] | None:
        """The symbol's, where it covers the address."""
        return (0x1000, 20) if 0x1000 <= address < 0x1014 else None


def text(code: str, bits: int = 64, address: int = 0x5000) -> str:
    """The text of the first instruction, which must be all of the code."""
    data = bytes.fromhex(code)

    def fetch(at: int) -> int:
        if at >= len(data):
            raise ReadError(address + at)
        return data[at]

    decoder = Decoder(fetch, address, bits, Names())
    found = decoder.decode()
    assert decoder.length == len(data)
    return found


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        ("4154", "pushq  %r12"),
        ("4885f6", "testq  %rsi,%rsi"),
        ("8b156a190000", "movl   +0x196a(%rip),%edx\t<0x6970>"),
        ("8d047f", "leal   (%rdi,%rdi,2),%eax"),
        ("c3", "ret    "),
        ("7e1a", "jle    +0x1a\t<0x501c>"),
        ("e8daffffff", "call   -0x26\t<0x4fdf>"),
        ("660f28d0", "movapd %xmm0,%xmm2"),
        ("f30f5ac1", "cvtss2sd %xmm1,%xmm0"),
        ("486335691900 00".replace(" ", ""), "movslq +0x1969(%rip),%rsi\t<0x6970>"),
        ("6867000000", "pushq  $0x67"),
        ("2c20", "subb   $0x20,%al"),
        ("6b62670a", "imull  $0xa,0x67(%rdx),%esp"),
        ("4c8945d8", "movq   %r8,-0x28(%rbp)"),
        ("eb fe".replace(" ", ""), "jmp    -0x2\t<0x5000>"),
        ("4883f8fd", "cmpq   $-0x3,%rax\t<0xfffffffffffffffd>"),
        ("4883e4f0", "andq   $0xfffffffffffffff0,%rsp"),
        ("480f44c1", "cmovq.e %rcx,%rax"),
        ("f3a4", "repz movsb (%rsi),(%rdi)"),
        ("f048 0fb10a".replace(" ", ""), "lock cmpxchgq %rcx,(%rdx)"),
        ("65488b042500000000", "movq   %gs:0x0,%rax"),
        ("0fb64318", "movzbl 0x18(%rbx),%eax"),
        ("0f01f8", "swapgs "),
        ("f390", "pause  "),
        ("4898", "cltq   "),
        ("98", "cwtl   "),
        ("6698", "cbtw   "),
        ("4899", "cqtd   "),
        ("99", "cltd   "),
        ("d1e8", "shrl   $0x1,%eax"),
        ("cd80", "int    $0x80"),
        ("0fc2c104", "cmpneqps %xmm1,%xmm0"),
        ("dec1", "faddp  %st,%st(1)"),
        ("0f20d8", "movq   %cr3,%rax"),
        ("48b8efcdab8967452301", "movq   $0x123456789abcdef,%rax"),
        ("ff2500000000", "jmp    *+0x0(%rip)\t<0x5006>"),
        ("ff948398010000", "call   *0x198(%rbx,%rax,4)"),
        ("666690", "nop    "),
        ("660f3a0fc108", "palignr $0x8,%xmm1,%xmm0"),
        ("f20f38f1c1", "crc32l %ecx,%eax"),
        ("c5f958c1", "vaddpd %xmm1,%xmm0,%xmm0"),
    ],
)
def test_64_bits(code, shown):
    assert text(code) == shown


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        ("55", "pushl  %ebp"),
        ("48", "decl   %eax"),
        ("89e5", "movl   %esp,%ebp"),
        ("b8efcdab89", "movl   $0x89abcdef,%eax"),
        ("cc", "int    $0x3"),
        ("9a0000000010 00".replace(" ", ""), "lcall  $0x10,$0x0"),
        ("a100100000", "movl   0x1000,%eax\t<start+0x0>"),
        ("63c1", "arpl   %eax,%ecx"),
    ],
)
def test_32_bits(code, shown):
    assert text(code, 32) == shown


@pytest.mark.parametrize(
    ("code", "shown"),
    [("89e5", "movw   %sp,%bp"), ("8b4601", "movw   0x1(%bp),%ax"), ("6689c8", "movl   %ecx,%eax")],
)
def test_16_bits(code, shown):
    assert text(code, 16) == shown


def test_addresses_that_have_names_are_named():
    assert text("e8fbbfffff") == "call   -0x4005\t<start+0x0>"


def test_zeros_at_a_function_s_end_are_padding():
    data = bytes(8)
    assert Decoder(lambda at: data[at], 0x1010, 64, Names()).decode() == ".byte\t0 "
    assert Decoder(lambda at: data[at], 0x5000, 64, Names()).decode() == "addb   %al,(%rax)"


@pytest.mark.parametrize("code", ["06", "3e90", "0f0c", "d9e2", "f30f1efa", "0f04"])
def test_what_is_no_instruction(code):
    data = bytes.fromhex(code).ljust(16, b"\x90")
    with pytest.raises(Invalid):
        Decoder(lambda at: data[at], 0, 64, Names()).decode()


@given(st.binary(min_size=24, max_size=24), st.sampled_from([16, 32, 64]))
def test_any_bytes_are_an_instruction_or_none(data, bits):
    decoder = Decoder(lambda at: data[at], 0x5000, bits, Names())
    with contextlib.suppress(Invalid):
        assert len(decoder.decode()) >= 5
    assert 1 <= decoder.length <= 20

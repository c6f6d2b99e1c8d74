"""Opcode maps of x86: what each opcode is called and what its operands are.

The maps follow Intel's (SDM volume 2, appendix A, and the instruction pages); the names are those of the AT&T syntax as
mdb spells them. A line: opcode, name, operands in AT&T's order, flags.

Names: ``~`` stands for the suffix of the operand size (w, l, q).
Operands: E general register or memory (by ModRM), G register of ModRM, M memory only, R a register by the opcode's low
bits, W xmm or memory, V xmm of ModRM, Q mmx or memory, P mmx of ModRM, U and N the same without memory, S segment
register, C D T control, debug, test registers, I immediate, J relative, O absolute offset, X Y string source and
destination (Z: the latter under a segment prefix), A accumulator, F and Sn a segment register by the opcode, ``*E`` an
indirect branch. Then the size: b byte, w word, v the operand size, z that but at
most 4 bytes, s one byte extended to the operand size, n none.
Flags: ``-`` not in 64-bit code, ``+`` only there, ``q`` always 64 bits there, ``p`` 64 bits there unless said
otherwise, ``z`` a move that widens, ``a`` segment and offset.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Opcode:
    """One instruction, or (``group``) the name of the table that ModRM's middle bits choose from."""

    name: str
    operands: tuple[str, ...] = ()
    flags: str = ""
    group: str = ""


_words = str.split

ARITHMETIC = _words("add or adc sbb and sub xor cmp")
CONDITIONS = _words("o no b ae e ne be a s ns p np l ge le g")
CONDITIONS_OF_MOVES = _words("o no b ae e ne be a s ns pe po l ge le g")

_ONE = """
06 push~ Sn -p
07 pop~ Sn -p
0e push~ Sn -p
16 push~ Sn -p
17 pop~ Sn -p
1e push~ Sn -p
1f pop~ Sn -p
27 daa . -
2f das . -
37 aaa . -
3f aas . -
60 pusha~ . -
61 popa~ . -
62 bound~ Gv,Ev -
63 arpl Gv,Ev
68 push~ Iz p
69 imul~ Iz,Ev,Gv
6a push~ Is p
6b imul~ Is,Ev,Gv
6c insb .
6d ins~ .
6e outsb .
6f outs~ .
84 testb Gb,Eb
85 test~ Gv,Ev
86 xchgb Gb,Eb
87 xchg~ Gv,Ev
88 movb Gb,Eb
89 mov~ Gv,Ev
8a movb Eb,Gb
8b mov~ Ev,Gv
8c movw Sv,Ev
8d lea~ Ev,Gv
8e movw Ev,Sv
8f @8f
90 nop .
98 @cbw
99 @cwd
9a lcall Iw,Iz -a
9b fwait .
9c pushf~ . q
9d popf~ . q
9e sahf .
9f lahf .
a0 movb Ob,Ab
a1 mov~ Ov,Av
a2 movb Ab,Ob
a3 mov~ Av,Ov
a4 movsb Xn,Yn
a5 movs~ Xn,Yn
a6 cmpsb Xn,Yn
a7 cmps~ Xn,Yn
a8 testb Ib,Ab
a9 test~ Iz,Av
aa stosb Ab,Zn
ab stos~ Av,Zn
ac lodsb Xn,Ab
ad lods~ Xn,Av
ae scasb Ab,Zn
af scas~ Av,Zn
c0 @c0
c1 @c1
c2 ret Iw qp
c3 ret . qp
c4 les Ev,Gv -
c5 lds Ev,Gv -
c6 movb Ib,Eb
c7 mov~ Iz,Ev
c8 enter Iw,Is qp
c9 leave . qp
ca lret Iw
cb lret .
cc int I3
cd int Ib
ce into . -
cf iret .
d0 @d0
d1 @d1
d2 @d2
d3 @d3
d4 aam In -
d5 aad In -
d6 falc . -
d7 xlat .
e0 loopnz Jb q
e1 loopz Jb q
e2 loop Jb q
e3 jcxz Jb q
e4 inb Ip
e5 in~ Ip
e6 outb Ip
e7 out~ Ip
e8 call Jz qp
e9 jmp Jz q
ea ljmp Iw,Iz -a
eb jmp Jb q
ec inb dx
ed in~ dx
ee outb dx
ef out~ dx
f1 icebp .
f4 hlt .
f5 cmc .
f6 @f6
f7 @f7
f8 clc .
f9 stc .
fa cli .
fb sti .
fc cld .
fd std .
fe @fe
ff @ff
80 @80
81 @81
82 @82
83 @83
"""

_TWO = """
00 @0f00
01 @0f01
02 lar Ev,Gv
03 lsl Ev,Gv
05 syscall .
06 clts .
07 sysret .
08 invd .
09 wbinvd .
0b ud2 .
0d @0f0d
18 @0f18
1f nop~ Ev
20 mov~ Cn,Hv q
21 mov~ Dn,Hv q
22 mov~ Hv,Cn q
23 mov~ Hv,Dn q
24 mov~ Tn,Hv -
26 mov~ Hv,Tn -
30 wrmsr .
31 rdtsc .
32 rdmsr .
33 rdpmc .
34 sysenter .
35 sysexit .
77 emms .
78 vmread Gv,Ev q
79 vmwrite Ev,Gv q
a0 push~ Fn p
a1 pop~ Fn p
a2 cpuid .
a3 bt~ Gv,Ev
a4 shld~ Is,Gv,Ev
a5 shld~ Gv,Ev
a8 push~ Fn p
a9 pop~ Fn p
aa rsm .
ab bts~ Gv,Ev
ac shrd~ Is,Gv,Ev
ad shrd~ Gv,Ev
ae @0fae
af imul~ Ev,Gv
b0 cmpxchgb Gb,Eb
b1 cmpxchg~ Gv,Ev
b2 lss~ Ev,Gv
b3 btr~ Gv,Ev
b4 lfs~ Ev,Gv
b5 lgs~ Ev,Gv
b6 movzb~ Eb,Gv z
b7 movzwl Ew,Gv z
ba @0fba
bb btc~ Gv,Ev
bc bsf~ Ev,Gv
bd bsr~ Ev,Gv
be movsb~ Eb,Gv z
bf movswl Ew,Gv z
c0 xaddb Gb,Eb
c1 xadd~ Gv,Ev
c3 movnti Gv,Ev
c7 @0fc7
"""

_GROUPS = {
    "8f": "pop~ Ev p|pop~ Ev p|pop~ Ev p|pop~ Ev p|pop~ Ev p|pop~ Ev p|pop~ Ev p|pop~ Ev p",
    "f6": "testb Ib,Eb|testb Ib,Eb|notb Eb|negb Eb|mulb Eb|imulb Eb|divb Eb|idivb Eb",
    "f7": "test~ Iz,Ev|test~ Iz,Ev|not~ Ev|neg~ Ev|mul~ Ev|imul~ Ev|div~ Ev|idiv~ Ev",
    "fe": "incb Eb|decb Eb||||||",
    "ff": "inc~ Ev|dec~ Ev|call *Ev qp|lcall *Ev|jmp *Ev q|ljmp *Ev|push~ Ev p|",
    "0f00": "sldt Ev|str Ev|lldt Ev q|ltr Ev q|verr Ev|verw Ev||",
    "0f01": "sgdt Mv|sidt Mv|lgdt Mv|lidt Mv|smsw Ev||lmsw Ev|invlpg Ev",
    "0f0d": "|prefetchw Ev|prefetchwt1 Ev|||||",
    "0f18": "prefetchnta Ev|prefetcht0 Ev|prefetcht1 Ev|prefetcht2 Ev||||",
    "0fae": "fxsave Ev|fxrstor Ev|ldmxcsr Ev|stmxcsr Ev|xsave Ev|xrstor Mv|xsaveopt Mv|clflush Mv",
    "0fba": "||||bt~ Is,Ev|bts~ Is,Ev|btr~ Is,Ev|btc~ Is,Ev",
    "0fc7": "|cmpxchg8b Ev||xrstors Ev|xsavec Ev|xsaves Ev|vmptrld Ev|vmptrst Ev",
}

_SHIFTS = _words("rol ror rcl rcr shl shr sal sar")

# Instructions of the second map that have a vector form. Columns: opcode, without prefix, with 66, F3, F2; - is none.
# Operands of a column go by the letter behind the name; see _SHAPES.
_VECTOR = """
10 movups movupd movss movsd
11 movups:s movupd:s movss:s movsd:s
12 movlps movlpd:l movsldup movddup
13 movlps:S movlpd:s - -
14 unpcklps unpcklpd - -
15 unpckhps unpckhpd - -
16 movhps:h movhpd:l movshdup -
17 movhps:S movhpd:s - -
28 movaps movapd - -
29 movaps:s movapd:s - -
2a cvtpi2ps:m cvtpi2pd:m cvtsi2ss:g cvtsi2sd:g
2b movntps:S movntpd:s movntss:s movntsd:s
2c cvttps2pi:M cvttpd2pi:M cvttss2si:G cvttsd2si:G
2d cvtps2pi:M cvtpd2pi:M cvtss2si:G cvtsd2si:G
2e ucomiss ucomisd - -
2f comiss comisd - -
50 movmskps:U movmskpd:U - -
51 sqrtps sqrtpd sqrtss sqrtsd
52 rsqrtps - rsqrtss -
53 rcpps - rcpss -
54 andps andpd - -
55 andnps andnpd - -
56 orps orpd - -
57 xorps xorpd - -
58 addps addpd addss addsd
59 mulps mulpd mulss mulsd
5a cvtps2pd cvtpd2ps cvtss2sd cvtsd2ss
5b cvtdq2ps cvtps2dq cvttps2dq -
5c subps subpd subss subsd
5d minps minpd minss minsd
5e divps divpd divss divsd
5f maxps maxpd maxss maxsd
60 punpcklbw:q punpcklbw - -
61 punpcklwd:q punpcklwd - -
62 punpckldq:q punpckldq - -
63 packsswb:q packsswb - -
64 pcmpgtb:q pcmpgtb - -
65 pcmpgtw:q pcmpgtw - -
66 pcmpgtd:q pcmpgtd - -
67 packuswb:q packuswb - -
68 punpckhbw:q punpckhbw - -
69 punpckhwd:q punpckhwd - -
6a punpckhdq:q punpckhdq - -
6b packssdw:q packssdw - -
6c - punpcklqdq - -
6d - punpckhqdq - -
6e movd:e movd:g - -
6f movq:q movdqa movdqu -
70 pshufw:i pshufd:I pshufhw:I pshuflw:I
74 pcmpeqb:q pcmpeqb - -
75 pcmpeqw:q pcmpeqw - -
76 pcmpeqd:q pcmpeqd - -
7c - haddpd - haddps
7d - hsubpd - hsubps
7e movd:E movd:t movq -
7f movq:Q movdqa:s movdqu:s -
c2 cmpps:I cmppd:I cmpss:I cmpsd:I
c4 pinsrw:p pinsrw:P - -
c5 pextrw:x pextrw:X - -
c6 shufps:I shufpd:I - -
d0 - addsubpd - addsubps
d1 psrlw:q psrlw - -
d2 psrld:q psrld - -
d3 psrlq:q psrlq - -
d4 paddq:q paddq - -
d5 pmullw:q pmullw - -
d6 - movq:s movq2dq:m movdq2q:M
d7 pmovmskb:u pmovmskb:U - -
d8 psubusb:q psubusb - -
d9 psubusw:q psubusw - -
da pminub:q pminub - -
db pand:q pand - -
dc paddusb:q paddusb - -
dd paddusw:q paddusw - -
de pmaxub:q pmaxub - -
df pandn:q pandn - -
e0 pavgb:q pavgb - -
e1 psraw:q psraw - -
e2 psrad:q psrad - -
e3 pavgw:q pavgw - -
e4 pmulhuw:q pmulhuw - -
e5 pmulhw:q pmulhw - -
e6 - cvttpd2dq cvtdq2pd cvtpd2dq
e7 movntq:Z movntdq:s - -
e8 psubsb:q psubsb - -
e9 psubsw:q psubsw - -
ea pminsw:q pminsw - -
eb por:q por - -
ec paddsb:q paddsb - -
ed paddsw:q paddsw - -
ee pmaxsw:q pmaxsw - -
ef pxor:q pxor - -
f0 - - - lddqu:l
f1 psllw:q psllw - -
f2 pslld:q pslld - -
f3 psllq:q psllq - -
f4 pmuludq:q pmuludq - -
f5 pmaddwd:q pmaddwd - -
f6 psadbw:q psadbw - -
f7 maskmovq:N maskmovdqu:y - -
f8 psubb:q psubb - -
f9 psubw:q psubw - -
fa psubd:q psubd - -
fb psubq:q psubq - -
fc paddb:q paddb - -
fd paddw:q paddw - -
fe paddd:q paddd - -
"""

_SHAPES = {
    "": "Wn,Vn", "s": "Vn,Wn", "S": "Vn,Ln", "l": "Ln,Vn", "h": "Wn,Vn", "m": "Qn,Vn", "M": "Wn,Pn", "g": "Ev,Vn",
    "G": "Wn,Gv", "U": "Un,Gv", "u": "Nn,Gv", "q": "Qn,Pn", "e": "Ev,Pn", "E": "Pn,Ev", "t": "Vn,Ev", "Q": "Pn,Qn",
    "Z": "Pn,Kn", "i": "Ib,Qn,Pn", "I": "Ib,Wn,Vn", "p": "Is,Ev,Pn", "P": "Is,Ev,Vn", "x": "Ib,Nn,Gv", "X": "Ib,Un,Gv",
    "y": "Un,Vn", "N": "Nn,Pn",
}  # fmt: skip
"""The operands that the letters behind the vector names stand for; L and K are W and Q in memory only."""

_38 = """
00 pshufb o 01 phaddw o 02 phaddd o 03 phaddsw o 04 pmaddubsw o 05 phsubw o 06 phsubd o 07 phsubsw o 08 psignb o
09 psignw o 0a psignd o 0b pmulhrsw o 10 pblendvb r 14 blendvps r 15 blendvpd r 17 ptest r 1c pabsb o 1d pabsw o
1e pabsd o 20 pmovsxbw r 21 pmovsxbd r 22 pmovsxbq r 23 pmovsxwd r 24 pmovsxwq r 25 pmovsxdq r 28 pmuldq r
29 pcmpeqq r 2a movntdqa m 2b packusdw r 30 pmovzxbw r 31 pmovzxbd r 32 pmovzxbq r 33 pmovzxwd r 34 pmovzxwq r
35 pmovzxdq r 37 pcmpgtq r 38 pminsb r 39 pminsd r 3a pminuw r 3b pminud r 3c pmaxsb r 3d pmaxsd r 3e pmaxuw r
3f pmaxud r 40 pmulld r 41 phminposuw r 80 invept v 81 invvpid v 82 invpcid v c8 sha1nexte x c9 sha1msg1 x
ca sha1msg2 x cb sha256rnds2 x cc sha256msg1 x cd sha256msg2 x cf gf2p8mulb r db aesimc r dc aesenc r dd aesenclast r
de aesdec r df aesdeclast r
"""
_3A = """
08 roundps r 09 roundpd r 0a roundss r 0b roundsd r 0c blendps r 0d blendpd r 0e pblendw r 0f palignr o 14 pextrb E
15 pextrw E 16 pextr~ E 17 extractps E 20 pinsrb G 21 insertps r 22 pinsr~ G 40 dpps r 41 dppd r 42 mpsadbw r
44 pclmulqdq r 60 pcmpestrm r 61 pcmpestri r 62 pcmpistrm r 63 pcmpistri r cc sha1rnds4 x ce gf2p8affineqb r
cf gf2p8affineinvqb r df aeskeygenassist r
"""

FLOAT_MEMORY = [
    _words("fadds fmuls fcoms fcomps fsubs fsubrs fdivs fdivrs"),
    _words("flds - fsts fstps fldenv fldcw fnstenv fnstcw"),
    _words("fiaddl fimull ficoml ficompl fisubl fisubrl fidivl fidivrl"),
    _words("fildl tisttpl fistl fistpl - fldt - fstpt"),
    _words("faddl fmull fcoml fcompl fsubl fsubrl fdivl fdivrl"),
    _words("fldl fisttpll fstl fstpl frstor - fnsave fnstsw"),
    _words("fiadd fimul ficom ficomp fisub fisubr fidiv fidivr"),
    _words("fild fisttp fist fistp fbld fildll fbstp fistpll"),
]
"""Names of D8 to DF with memory, by ModRM's middle bits."""

FLOAT_REGISTERS = [
    _words("fadd:2 fmul:2 fcom:1 fcomp:1 fsub:2 fsubr:2 fdiv:2 fdivr:2"),
    _words("fld:1 fxch:1 fnop fstp:1 - - - -"),
    _words("fcmov.b:2 fcmov.e:2 fcmov.be:2 fcmov.u:2 - fucompp - -"),
    _words("fcmov.nb:2 fcmov.ne:2 fcmov.nbe:2 fcmov.nu:2 - fucomi:1 fcomi:1 -"),
    _words("fadd:2 fmul:2 fcom:1 fcomp:1 fsub:2 fsubr:2 fdiv:2 fdivr:2"),
    _words("ffree:1 fxch:1 fst:1 fstp:1 fucom:1 fucomp:1 - -"),
    _words("faddp:2 fmulp:2 fcomp:1 fcompp fsubp:2 fsubrp:2 fdivp:2 fdivrp:2"),
    _words("ffreep:1 fxch:1 fstp:1 fstp:1 fnstsw:a fucomip:c fcomip:c -"),
]
"""Names of D8 to DF with registers; 1: one register, 2: with the top, c: into the top, a: a general register."""

FLOAT_D9 = _words(
    "fchs fabs - - ftst fxam ftstp - fld1 fldl2t fldl2e fldpi fldlg2 fldln2 fldz - "
    "f2xm1 fyl2x fptan fpatan fxtract fprem1 fdecstp fincstp fprem fyl2xp1 fsqrt fsincos frndint fscale fsin fcos"
)
"""D9 E0 to D9 FF."""
FLOAT_DB = _words("feni fdisi fnclex fninit fsetpm frstpm - -")
"""DB E0 to DB E7."""

SYSTEM = {
    0: {1: "vmcall", 2: "vmlaunch", 3: "vmresume", 4: "vmxoff"},
    1: {0: "monitor", 1: "mwait", 2: "clac", 3: "stac"},
    2: {0: "xgetbv", 1: "xsetbv"},
    3: dict(enumerate(_words("vmrun vmmcall vmload vmsave stgi clgi skinit invlpga"))),
    7: {0: "swapgs", 1: "rdtscp", 2: "monitorx", 3: "mwaitx", 4: "clzero"},
}
"""0F 01 with a register: by the middle and the low bits of ModRM."""

REPEATED = {0xB8: "popcnt~", 0xBC: "tzcnt", 0xBD: "lzcnt~"}
"""What F3 makes of these in the second map."""

PREDICATES = _words("eq lt le unord neq nlt nle ord")


def _line(text: str) -> Opcode | None:
    if not text:
        return None
    name, *rest = text.split()
    if name.startswith("@") and not rest:
        return Opcode("", group=name[1:])
    operands = tuple(rest[0].split(",")) if rest and rest[0] != "." else ()
    return Opcode(name, operands, rest[1] if len(rest) > 1 else "")


def _lines(text: str) -> dict[int, Opcode]:
    table = {}
    for line in text.split("\n"):
        if line:
            at, _, what = line.partition(" ")
            found = _line(what)
            if found is not None:
                table[int(at, 16)] = found
    return table


@functools.cache
def one_byte() -> dict[int, Opcode]:
    """The first map, without prefixes and escapes."""
    table = _lines(_ONE)
    for index, name in enumerate(ARITHMETIC):
        base = index * 8
        table[base] = Opcode(f"{name}b", ("Gb", "Eb"))
        table[base + 1] = Opcode(f"{name}~", ("Gv", "Ev"))
        table[base + 2] = Opcode(f"{name}b", ("Eb", "Gb"))
        table[base + 3] = Opcode(f"{name}~", ("Ev", "Gv"))
        table[base + 4] = Opcode(f"{name}b", ("Ib", "Ab"))
        table[base + 5] = Opcode(f"{name}~", ("Iz", "Av"))
    for low in range(8):
        table[0x40 + low] = Opcode("inc~", ("Rv",), "-")
        table[0x48 + low] = Opcode("dec~", ("Rv",), "-")
        table[0x50 + low] = Opcode("push~", ("Rv",), "p")
        table[0x58 + low] = Opcode("pop~", ("Rv",), "p")
        table[0xB0 + low] = Opcode("movb", ("Ib", "Rb"))
        table[0xB8 + low] = Opcode("mov~", ("Iv", "Rv"))
        if low:
            table[0x90 + low] = Opcode("xchg~", ("Rv", "Av"))
    for index, name in enumerate(CONDITIONS):
        table[0x70 + index] = Opcode(f"j{name}", ("Jb",), "q")
    for high in range(0xD8, 0xE0):
        table[high] = Opcode("", group="float")
    return table


@functools.cache
def two_byte() -> dict[int, Opcode]:
    """The second map (0F), without its vector instructions."""
    table = _lines(_TWO)
    for index, name in enumerate(CONDITIONS):
        table[0x80 + index] = Opcode(f"j{name}", ("Jz",))
        table[0x90 + index] = Opcode(f"set{name}", ("Eb",))
    for index, name in enumerate(CONDITIONS_OF_MOVES):
        table[0x40 + index] = Opcode(f"cmov~.{name}", ("Ev", "Gv"))
    for low in range(8):
        table[0xC8 + low] = Opcode("bswap", ("Rv",))
    for high in (0x71, 0x72, 0x73):
        table[high] = Opcode("", group=f"0f{high:x}")
    return table


@functools.cache
def vector() -> dict[int, tuple[Opcode | None, ...]]:
    """The vector instructions of the second map: without prefix, with 66, F3, F2."""
    table = {}
    for line in _VECTOR.strip().split("\n"):
        at, *columns = line.split()
        found: list[Opcode | None] = []
        for column in columns:
            name, _, shape = column.partition(":")
            operands = tuple(_SHAPES[shape].split(","))
            found.append(None if column == "-" else Opcode(name, operands))
        table[int(at, 16)] = tuple(found)
    return table


@functools.cache
def group(name: str) -> list[Opcode | None]:
    """The eight instructions of a group."""
    if name in ("80", "81", "82", "83"):
        byte, immediate = name in ("80", "82"), {"80": "Ib", "81": "Iz", "82": "Ib", "83": "Is"}[name]
        operands = (immediate, "Eb" if byte else "Ev")
        return [Opcode(f"{one}{'b' if byte else '~'}", operands, "-" if name == "82" else "") for one in ARITHMETIC]
    if name in ("c0", "c1", "d0", "d1", "d2", "d3"):
        byte = name[1] in "02"
        amount = {"c0": "Ib", "c1": "Is", "d0": "I1", "d1": "I1", "d2": "cl", "d3": "cl"}[name]
        suffix, operand = ("b", "Eb") if byte else ("~", "Ev")
        shifts: list[Opcode | None] = [Opcode(f"{one}{suffix}", (amount, operand)) for one in _SHIFTS]
        if name == "c0":
            shifts[6] = None
        if name == "d3":
            shifts[6] = Opcode("salb", ("cl", "Ev"))
        return shifts
    return [_line(text) for text in _GROUPS[name].split("|")]


@functools.cache
def three_byte(text: str) -> dict[int, tuple[str, str]]:
    """The third maps: opcode -> name and how its operands go. ``text``: "38" or "3a"."""
    words = (_38 if text == "38" else _3A).split()
    return {int(words[at], 16): (words[at + 1], words[at + 2]) for at in range(0, len(words), 3)}

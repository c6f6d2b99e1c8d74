"""Native dumps of illumos and Solaris: every form that savecore and the kernel write, read back byte for byte."""

from __future__ import annotations

from pathlib import Path

import pytest
from formats.dumps import holds, misses, opened, page, pages
from hypothesis import given, settings
from hypothesis import strategies as st

import kdbg
from kdbg.formats.illumos import IllumosDump as Reader
from kdbg.formats.lzjb import decompress
from samples import illumos_dump
from samples.illumos_dump import IllumosDump, lzjb
from samples.solaris import standard

KAS, OTHER = 0xFFFFFFFFFBC30000, 0xFFFFFF0145678000
PAGES = pages(*range(0x80, 0xA0), 0x12345, 3, zeros=(0x99, 0x200, 0x201))
TRANSLATIONS = [
    *((KAS, 0xFFFFFFFFFB800000 + (at << 12), frame) for at, frame in enumerate(PAGES)),
    (OTHER, 0x8047000, 0x80),
    (OTHER, 0xFFFFFFFFFB800000, 0x81),
]
FORMS = ("vmcore", "lzjb", "lzjb streams", "bzip2 streams")


def sample(bits: int = 64, **options: object) -> IllumosDump:
    """A dump of pages and translations; a 32-bit one has 32-bit addresses."""
    mask = (1 << bits) - 1
    rows = [(space & mask, address & mask, frame) for space, address, frame in TRANSLATIONS]
    return IllumosDump(PAGES, rows, bits=bits, **options)  # type: ignore[arg-type]


def data_of(dump: IllumosDump, form: str) -> bytes:
    """The file in one of the forms."""
    return dump.vmcore() if form == "vmcore" else dump.vmdump(form)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("bits", [64, 32])
@pytest.mark.parametrize("version", [9, 10])
def test_every_page_and_translation_is_read_back(tmp_path: Path, form: str, bits: int, version: int) -> None:
    dump = sample(bits, version=version, ksyms=b"\x7fELF" + bytes(5000) + b"names " * 300)
    image = opened(tmp_path / "dump", data_of(dump, form))
    assert isinstance(image, Reader)
    holds(image, PAGES)
    for space, address, frame in dump.translations:
        assert image.frame_of(space, address + 0x123) == frame
    assert image.frame_of(dump.translations[0][0], 0x1000) is None
    assert sorted(image.translations()) == sorted(dump.translations)
    assert image.ksyms() == dump.ksyms
    assert (image.bits, image.damage) == (bits, [])


@pytest.mark.parametrize("bits", [64, 32])
@pytest.mark.parametrize("form", FORMS)
def test_the_identifier_is_the_later_header_s(tmp_path: Path, bits: int, form: str) -> None:
    image = opened(tmp_path / "new", data_of(sample(bits, uuid="aabbccdd-0000"), form))
    assert image.describe().details["uuid"] == "aabbccdd-0000"
    old = opened(tmp_path / "old", data_of(sample(bits, uuid=None), form))
    assert old.describe().details["uuid"] == ""
    holds(old, PAGES)


def test_what_the_header_tells(tmp_path: Path) -> None:
    told = opened(tmp_path / "dump", sample(panic="BAD TRAP", live=True, time=1234567890).vmcore()).describe()
    assert (told.host, told.time, told.complete, told.pages, told.missing) == (
        "sample-host", 1234567890.0, True, len(PAGES), 0,
    )  # fmt: skip
    assert told.details["panic"] == "BAD TRAP"
    assert told.details["live"] is True
    assert told.details["content"] == "all kernel and user pages"
    assert [opened(tmp_path / form, data_of(sample(), form)).describe().details["compression"] for form in FORMS] == [
        "none", "lzjb", "lzjb streams", "bzip2 streams",
    ]  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_an_incomplete_dump_says_so(tmp_path: Path, form: str) -> None:
    image = opened(tmp_path / "dump", data_of(sample(complete=False), form))
    holds(image, PAGES)
    assert not image.describe().complete
    assert "not complete" in image.damage[0]


def test_pages_of_a_vmcore_that_are_cut_off(tmp_path: Path) -> None:
    image = opened(tmp_path / "dump", sample().vmcore()[: -3 * 4096 + 5])
    order = list(PAGES)
    told = image.describe()
    holds(image, {frame: PAGES[frame] for frame in order[:-3]})
    misses(image, order[-1], "cut off")
    assert (told.missing, told.complete) == (3, False)
    assert "cut off" in told.damage[0]


@pytest.mark.parametrize("form", FORMS[1:])
def test_a_cut_vmdump_gives_the_pages_before_the_cut(tmp_path: Path, form: str) -> None:
    """The second header is lost with the rest; how pages are compressed then shows in the pages themselves."""
    options = {} if form == "lzjb" else {"streams": 1, "range_pages": 4, "block": 3000}
    whole = sample().vmdump(form, last_header=False, **options)  # type: ignore[arg-type]
    image = opened(tmp_path / "dump", whole[:-30000])
    told = image.describe()
    assert 0 < told.pages < len(PAGES)
    assert told.pages + told.missing == len(PAGES)
    assert not told.complete
    holds(image, {frame: PAGES[frame] for frame in list(PAGES)[: told.pages]})
    misses(image, list(PAGES)[-1], "cut off")
    assert any("cut off" in sentence for sentence in told.damage)


@pytest.mark.parametrize("form", FORMS[1:])
def test_data_without_an_end_mark(tmp_path: Path, form: str) -> None:
    holds(opened(tmp_path / "dump", sample().vmdump(form, marked=False)), PAGES)


@pytest.mark.parametrize("form", ["lzjb streams", "bzip2 streams"])
@pytest.mark.parametrize(("streams", "range_pages", "block"), [(1, 1, 100_000), (7, 3, 4200), (2, 64, 65536)])
def test_streams_of_any_number_and_size(tmp_path: Path, form: str, streams: int, range_pages: int, block: int) -> None:
    holds(opened(tmp_path / "dump", sample().vmdump(form, streams, range_pages, block)), PAGES)


def test_damage_in_a_stream_puts_no_page_into_another_s_place(tmp_path: Path) -> None:
    """A page's size that is wrong loses the way up to the next range; what is given is right."""
    whole = bytearray(sample().vmdump("lzjb streams", streams=1, range_pages=4, block=9000))
    at = whole.index(b"StrmHdr\0") + 24
    whole[at : at + 4] = (77).to_bytes(4, "little")
    image = opened(tmp_path / "dump", bytes(whole))
    there = [frame for frame in image.pages if image.page(frame) is not None]
    assert len(there) < len(PAGES)
    assert len(there) > len(PAGES) // 2
    for frame in there:
        if frame != next(iter(PAGES)):
            assert bytes(image.page(frame) or b"") == PAGES[frame]
    assert not image.describe().complete


def test_a_page_whose_data_is_damaged_is_missing_with_the_reason(tmp_path: Path) -> None:
    dump = IllumosDump({1: bytes(4096), 2: page(2)})
    whole = bytearray(dump.vmdump("lzjb"))
    at = int.from_bytes(whole[48:56], "little")
    size = int.from_bytes(whole[at : at + 4], "little")
    assert size < 300
    whole[at + 4] = 0xFF  # a copy from before the page's beginning
    image = opened(tmp_path / "dump", bytes(whole))
    misses(image, 1, "lzjb data")
    assert bytes(image.page(2) or b"") == page(2)


@pytest.mark.parametrize("slots", [1, 2, 8])
def test_long_chains_of_the_translation_hash(tmp_path: Path, slots: int) -> None:
    dump = IllumosDump({1: page(1), 2: page(2)}, [(KAS, at << 12, 1 + at % 2) for at in range(1000)], slots=slots)
    image = opened(tmp_path / "dump", dump.vmcore())
    assert isinstance(image, Reader)
    assert [image.frame_of(KAS, at << 12) for at in range(1001)] == [1 + at % 2 for at in range(1000)] + [None]


def test_a_chain_that_leads_round_ends(tmp_path: Path) -> None:
    whole = bytearray(IllumosDump({1: page(1)}, [(KAS, 0x1000, 1), (KAS, 0x3000, 1)], slots=2).vmcore())
    table = int.from_bytes(whole[40:48], "little")
    for entry in range(2):
        whole[table + 40 * entry + 8 : table + 40 * entry + 16] = (table + 40).to_bytes(8, "little")
    image = opened(tmp_path / "dump", bytes(whole))
    assert isinstance(image, Reader)
    assert image.frame_of(KAS, 0x7777000) is None
    assert image.frame_of(KAS, 0x3000) == 1


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"version": 8}, "dump version 8"),
        ({"wordsize": 16}, "words of 16 bits"),
        ({"pagesize": 8192}, "pages of 8192 bytes"),
        ({"npages": 1 << 40}, "table of 1099511627776 page frames"),
        ({"pfn": -1}, "pfn at offset -1"),
    ],
)
def test_headers_that_cannot_be_are_refused_by_name(tmp_path: Path, values: dict[str, int], words: str) -> None:
    dump = sample()
    offsets = {"ksyms": 4096, "pfn": 8192, "map": 12288, "data": 16384, "ksyms_size": 0, "ksyms_csize": 0}
    head = dump.header(**{**offsets, **values})
    with pytest.raises(kdbg.FormatError, match=words) as caught:
        opened(tmp_path / "dump", head + bytes(100_000))
    assert str(tmp_path / "dump") in str(caught.value)


def test_an_encrypted_dump_is_named(tmp_path: Path) -> None:
    with pytest.raises(kdbg.FormatError, match="encrypted"):
        opened(tmp_path / "dump", sample(flags=illumos_dump.ENCRYPTED).vmcore())


def test_a_dump_of_sparc_is_named(tmp_path: Path) -> None:
    with pytest.raises(kdbg.FormatError, match="SPARC"):
        opened(tmp_path / "dump", bytes.fromhex("defec8ed") + bytes(5000))


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=3000) | st.lists(st.sampled_from([b"a", b"ab", b"\0" * 70, b"xyz" * 30])).map(b"".join))
def test_lzjb_gives_back_what_went_in(data: bytes) -> None:
    packed = lzjb(data)
    if len(packed) < len(data):
        assert decompress(packed, len(data)) == data


def frames_and_places() -> st.SearchStrategy[list[int]]:
    """Frames in any order."""
    return st.lists(st.integers(0, 1 << 40), min_size=1, max_size=12, unique=True)


@settings(max_examples=40, deadline=None)
@given(frames_and_places(), st.sampled_from(FORMS), st.integers(1, 4), st.integers(1, 7), st.data())
def test_any_dump_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, frames: list[int], form: str, streams: int, range_pages: int,
    data: st.DataObject,
) -> None:  # fmt: skip
    held = {frame: page(frame) if number % 3 else bytes(4096) for number, frame in enumerate(frames)}
    rows = data.draw(st.lists(st.tuples(st.sampled_from([KAS, OTHER]), st.integers(0, (1 << 52) - 1)), unique=True))
    dump = IllumosDump(held, [(space, at << 12, frames[at % len(frames)]) for space, at in rows])
    options = {} if form in ("vmcore", "lzjb") else {"streams": streams, "range_pages": range_pages}
    whole = dump.vmcore() if form == "vmcore" else dump.vmdump(form, **options)  # type: ignore[arg-type]
    image = opened(tmp_path_factory.mktemp("any") / "dump", whole)
    holds(image, held)
    assert isinstance(image, Reader)
    assert sorted(image.translations()) == sorted(dump.translations)
    assert all(image.frame_of(space, address) == frame for space, address, frame in dump.translations)


@pytest.fixture(scope="module", params=[64, 32], ids=["64", "32"])
def whole_kernel(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A built kernel in every form."""
    domain = standard(request.param, paravirtual=False).build()
    dump, folder = illumos_dump.of_domain(domain), tmp_path_factory.mktemp("kernel")
    found = {form: folder / form.replace(" ", "-") for form in FORMS}
    for form, path in found.items():
        path.write_bytes(data_of(dump, form))
    (folder / "unix.0").write_bytes(dump.ksyms)
    domain.write(folder, "elf", name="core")
    return {**found, "unix": folder / "unix.0", "core": folder / "core"}


@pytest.mark.parametrize("form", FORMS)
def test_a_whole_kernel_answers_as_its_domain_core_does(whole_kernel: dict[str, Path], form: str) -> None:
    with kdbg.open(whole_kernel["core"]) as core, kdbg.open(whole_kernel[form]) as dump:
        assert [t.address for t in dump.threads()] == [t.address for t in core.threads()]
        assert [(p.pid, p.address) for p in dump.processes()] == [(p.pid, p.address) for p in core.processes()]
        assert [m.name for m in dump.modules()] == [m.name for m in core.modules()]
        assert dump.symbol("p0").address == core.symbol("p0").address
        assert dump.read(dump.symbol("p0").address, 256) == core.read(core.symbol("p0").address, 256)


def test_with_the_namelist_beside_it(whole_kernel: dict[str, Path]) -> None:
    with kdbg.open(whole_kernel["unix"], whole_kernel["vmcore"]) as both, kdbg.open(whole_kernel["vmcore"]) as alone:
        assert [t.address for t in both.threads()] == [t.address for t in alone.threads()]


def test_status_of_a_kernel_that_is_cut_off(whole_kernel: dict[str, Path], tmp_path: Path) -> None:
    """The dump's header tells of the system what its pages do not any more; what is lost is said."""
    whole = whole_kernel["vmcore"].read_bytes()
    (tmp_path / "cut").write_bytes(whole[: len(whole) // 2])
    with kdbg.open(whole_kernel["vmcore"]) as dump, kdbg.open(tmp_path / "cut") as rest:
        (sound,), (status,) = dump.run("::status"), rest.run("::status")
    assert sound.damage == ()
    assert (status.node, status.release, status.version, status.machine) == ("sample-host", "5.11", "builder", "i86pc")
    (damage,) = status.damage
    assert "pages, the file holds" in damage

"""The allocators against the plan: every buffer's state, by a walk over its cache and by its address alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from kdbg.kernels.solaris.kmem import kmem
from kdbg.kernels.solaris.lists import StoppedError
from kdbg.kernels.solaris.vmem import ALLOCATED, FREE, SPAN, vmem
from kdbg.kernels.solaris.whatis import Whatis, Whereabouts, Wishes
from samples.solaris import standard

KINDS = pytest.mark.parametrize(("bits", "shuffle"), [(64, None), (64, 11), (32, None), (32, 11)])


def asked(kernel: Any, *addresses: int, **wishes: bool) -> list[Whatis]:
    """What whatis answers, without what it says on its way; nothing may be odd."""
    odd: list[str] = []
    found = list(Whereabouts(kernel, addresses, Wishes(**wishes), odd.append).answers())
    assert not odd
    return [answer for answer in found if isinstance(answer, Whatis)]


@KINDS
def test_walks_find_each_buffer_in_its_state(open_domain: Callable[..., Any], bits: int, shuffle: int | None) -> None:
    domain = open_domain(standard(bits, shuffle=shuffle))
    allocator = kmem(domain.kernel)
    odd: list[str] = []
    for name, cache in domain.built.caches.items():
        planned = {state: {a for a, b in cache.buffers.items() if b.state == state} for state in ("allocated", "free")}
        assert {b.address for b in allocator.allocated(cache.address, odd.append)} == planned["allocated"], name
        assert {b.address for b in allocator.free(cache.address, odd.append)} == planned["free"], name
        magazines = {a for a, b in cache.buffers.items() if b.magazine}
        assert set(allocator.magazines(allocator.cache(cache.address), odd.append)) == magazines, name
    assert not odd


@KINDS
def test_whatis_agrees_with_the_walks(open_domain: Callable[..., Any], bits: int, shuffle: int | None) -> None:
    domain = open_domain(standard(bits, shuffle=shuffle))
    for name in ("foo_cache", "bar_cache", "audited_cache"):
        for address, buffer in domain.built.caches[name].buffers.items():
            (found,) = [answer for answer in asked(domain.kernel, address + 3) if answer.kind == "kmem"]
            assert (found.cache, found.base, found.offset) == (name, address, 3)
            assert (found.state, found.bufctl) == (buffer.state, buffer.bufctl)


@KINDS
def test_an_audited_buffer_tells_its_last_transaction(
    open_domain: Callable[..., Any], bits: int, shuffle: int | None
) -> None:
    domain = open_domain(standard(bits, shuffle=shuffle))
    for address, buffer in domain.built.caches["audited_cache"].buffers.items():
        transaction = asked(domain.kernel, address)[0].transaction
        assert transaction is not None
        assert (transaction.address, transaction.buffer) == (buffer.bufctl, address)
        assert (transaction.thread, transaction.stack) == (buffer.thread, buffer.stack)


def test_addresses_together_are_answered_as_alone(open_domain: Callable[..., Any]) -> None:
    domain = open_domain(standard())
    addresses = [*list(domain.built.caches["foo_cache"].buffers)[:20], domain.planned.thread("shell").address + 8, 0x10]
    together = {answer.address: answer for answer in asked(domain.kernel, *addresses)}
    assert together == {address: asked(domain.kernel, address)[0] for address in addresses}


@KINDS
def test_threads_and_their_stacks(open_domain: Callable[..., Any], bits: int, shuffle: int | None) -> None:
    domain = open_domain(standard(bits, shuffle=shuffle))
    for thread in domain.planned.threads:
        if not thread.stack_base:
            continue
        (structure,) = asked(domain.kernel, thread.address + 16)
        assert (structure.kind, structure.base, structure.offset) == ("thread", thread.address, 16)
        (stack,) = [a for a in asked(domain.kernel, thread.stack_top, everything=True) if a.kind == "stack"]
        assert (stack.thread, stack.base) == (thread.address, thread.stack_base)


def test_below_the_stack_pointer_is_told(open_domain: Callable[..., Any]) -> None:
    domain = open_domain(standard())
    sleeping = domain.planned.thread("flusher")
    parts = [asked(domain.kernel, address)[0].part for address in (sleeping.stack_base, sleeping.frames[-1].fp)]
    assert parts == [" (below sp)", ""]


@KINDS
def test_symbols_and_segments_of_modules(open_domain: Callable[..., Any], bits: int, shuffle: int | None) -> None:
    domain = open_domain(standard(bits, shuffle=shuffle))
    symbol = domain.kernel.symbol("kmem_caches")
    (found,) = asked(domain.kernel, symbol.address + 4)
    assert (found.kind, found.name, found.offset) == ("symbol", "kmem_caches", 4)
    assert (found.module, found.part) == ("genunix", "data segment")


@KINDS
def test_an_arena_s_segments(open_domain: Callable[..., Any], bits: int, shuffle: int | None) -> None:
    domain = open_domain(standard(bits, shuffle=shuffle))
    (arena,) = vmem(domain.kernel).arenas()
    segments = list(vmem(domain.kernel).segments(arena.address))
    (span,) = [segment for segment in segments if segment.type == SPAN]
    slabs = {slab.base for cache in domain.built.caches.values() for slab in cache.slabs}
    assert {segment.start for segment in segments if segment.type == ALLOCATED} == slabs
    assert sum(segment.size for segment in segments if segment.type in (ALLOCATED, FREE)) == span.size
    free = next(segment for segment in segments if segment.type == FREE)
    answers = [answer for answer in asked(domain.kernel, free.start, everything=True) if answer.kind == "vmem"]
    assert [(answer.name, answer.state, answer.base) for answer in answers] == [("heap", "free", free.start)]


def test_a_damaged_freelist_is_told_and_the_walk_goes_on(open_domain: Callable[..., Any]) -> None:
    built = standard().build()
    cache = built.caches["foo_cache"]
    slab = next(slab for slab in cache.slabs if any(b.state == "free" and not b.magazine for b in slab.buffers))
    built.structure("kmem_slab_t", slab.address)["slab_head"] = 0xBAD0BAD0
    domain = open_domain(built)
    odd: list[str] = []
    found = {buffer.address for buffer in kmem(domain.kernel).allocated(cache.address, odd.append)}
    assert odd == [f"found corrupt bufctl ptr bad0bad0 in slab {slab.address:x} in cache {cache.address:x}"]
    assert found >= {address for address, buffer in cache.buffers.items() if buffer.state == "allocated"}


def test_a_slab_of_another_cache_ends_the_walk(open_domain: Callable[..., Any]) -> None:
    built = standard().build()
    cache, other = built.caches["foo_cache"], built.caches["bar_cache"]
    slab = cache.slabs[0]
    built.structure("kmem_slab_t", slab.address)["slab_cache"] = other.address
    domain = open_domain(built)
    text = f"slab {slab.address:x} isn't in cache {cache.address:x} \\(in cache {other.address:x}\\)"
    with pytest.raises(StoppedError, match=text):
        list(kmem(domain.kernel).slabs(cache.address))


def test_an_endless_hash_chain_ends(open_domain: Callable[..., Any]) -> None:
    built = standard().build()
    cache = built.caches["audited_cache"]
    for buffer in cache.buffers.values():
        built.structure("kmem_bufctl_audit_t", buffer.bufctl)["bc_next"] = buffer.bufctl
    domain = open_domain(built)
    with pytest.raises(StoppedError, match="comes a second time"):
        list(kmem(domain.kernel).hashed(cache.address, lambda text: None))


def test_what_is_no_cache_is_refused(open_domain: Callable[..., Any]) -> None:
    domain = open_domain(standard())
    address = domain.planned.thread("flusher").address
    with pytest.raises(StoppedError, match=f"{address:x} is not a valid kmem_cache_t"):
        list(kmem(domain.kernel).allocated(address, lambda text: None))

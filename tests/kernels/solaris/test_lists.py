"""Lists, trees and chains of the kernel: in order, in both widths, and ended where they are damaged."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Any

import pytest

from kdbg.kernels.solaris.lists import StoppedError, avl_elements, list_elements
from kdbg.kernels.solaris.memory import segments
from samples.solaris import standard

WIDTHS = pytest.mark.parametrize("bits", [64, 32])


@WIDTHS
@pytest.mark.parametrize("shuffle", [None, 3])
def test_a_list_gives_its_elements_in_order(open_domain: Callable[..., Any], bits: int, shuffle: int | None) -> None:
    domain = open_domain(standard(bits, shuffle=shuffle))
    caches = domain.kernel.symbol("kmem_caches").address
    assert list(list_elements(domain.kernel, caches)) == [cache.address for cache in domain.built.caches.values()]


@WIDTHS
@pytest.mark.parametrize("shuffle", [None, 3])
def test_a_tree_gives_its_elements_by_address(open_domain: Callable[..., Any], bits: int, shuffle: int | None) -> None:
    domain = open_domain(standard(bits, shuffle=shuffle))
    kernel = domain.kernel
    found = list(segments(kernel, kernel.symbol("kas").address))
    bases = [int(kernel.at("struct seg", address).s_base) for address in found]
    assert len(found) >= 3
    assert bases == sorted(bases)


@WIDTHS
def test_a_cyclic_list_ends_and_says_where(open_domain: Callable[..., Any], bits: int) -> None:
    built = standard(bits).build()
    _, second, third, *_ = (cache.address for cache in built.caches.values())
    link = built.image.layout.offset("kmem_cache_t", "cache_link")
    built.structure("kmem_cache_t", third)["cache_link.list_next"] = second + link
    domain = open_domain(built)
    walk = list_elements(domain.kernel, domain.kernel.symbol("kmem_caches").address, element="cache")
    with pytest.raises(StoppedError, match=f"cache at 0x{second:x} comes a second time") as stop:
        list(walk)
    assert stop.value.started


def test_what_came_before_the_damage_is_told(open_domain: Callable[..., Any]) -> None:
    built = standard().build()
    addresses = [cache.address for cache in built.caches.values()]
    built.structure("kmem_cache_t", addresses[2])["cache_link.list_next"] = 0xDEAD0000
    domain = open_domain(built)
    walk = list_elements(domain.kernel, domain.kernel.symbol("kmem_caches").address)
    assert list(islice(walk, 3)) == addresses[:3]
    with pytest.raises(StoppedError, match=r"failed to read list element at 0xde.*: no mapping for address"):
        next(walk)


def test_what_is_no_list_does_not_begin(open_domain: Callable[..., Any]) -> None:
    domain = open_domain(standard())
    for walk, name in ((list_elements, "list_t"), (avl_elements, "avl_tree_t")):
        with pytest.raises(StoppedError, match=f"failed to read {name} at 0: no mapping for address") as stop:
            next(walk(domain.kernel, 0))
        assert not stop.value.started


def test_a_list_of_elements_smaller_than_their_links_is_refused(open_domain: Callable[..., Any]) -> None:
    built = standard().build()
    caches = built.image.symbols["kmem_caches"].address
    built.structure("list_t", caches)["list_size"] = 8
    domain = open_domain(built)
    with pytest.raises(StoppedError, match=f"invalid or uninitialized list_t at 0x{caches:x}"):
        next(list_elements(domain.kernel, caches))

"""Files, dentries, mounts and file systems by their form, from the files that processes have open.

Sources: include/linux/fs.h (file, inode, super_block), include/linux/dcache.h (dentry: d_parent, d_name, d_inode,
d_iname in this order), include/linux/mount.h, fs/mount.h (mnt_hash, mnt_parent, mnt_mountpoint, mnt), fs/namespace.c.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

import numpy

from kdbg.errors import Error
from kdbg.kernels.linux.probe.declared import declare_sleeping_locks
from kdbg.kernels.linux.probe.samples import Column, Samples, share, some, words_of

if TYPE_CHECKING:
    from kdbg.kernels.linux.kernel import Linux
    from kdbg.kernels.linux.probe.table import Table

LARGEST = {"file": 512, "dentry": 512, "inode": 1024, "super_block": 2048, "mount": 512}
"""Bytes of a structure that are looked at where no slab cache tells its size."""
MOST_FILES, MOST_TABLE = 1000, 4096
MOST_MOUNTS, MOST_UP = 4096, 64
FMODE_CAN_READ, FMODE_CAN_WRITE = 1 << 17, 1 << 18
_KIND = re.compile(rb"[a-z][a-z0-9_]{1,30}\0")
_TEXT = re.compile(rb"[\x20-\x7e]{1,255}\0")


def probe(table: Table) -> None:
    """Find struct file, dentry, inode, super_block, mount. Raises `Error` where nothing is open."""
    files = _open_files(table)
    samples = Samples(table.kernel, files, table.limit("file", LARGEST["file"]))
    dentries = _dentry(table, samples) if files else None
    if dentries is None:
        table.missing.append("file.f_path (no open files were found)")
        return
    _super_block(table, dentries)
    _file(table, samples, dentries)
    _inode(table, dentries)
    _mounts(table, samples)


def _open_files(table: Table) -> list[int]:
    """Addresses of the files that the tasks have open."""
    kernel, word = table.kernel, table.word
    at, fdt = table.offset("task_struct", "files"), table.offset("files_struct", "fdt")
    if at is None or fdt is None:
        return []
    found: dict[int, None] = {}
    for holder in dict.fromkeys(words_of(kernel, table.tasks, at)):
        descriptors = words_of(kernel, [holder], fdt)[0] if holder else 0
        if not kernel.in_kernel(descriptors):
            continue
        count = words_of(kernel, [descriptors])[0] & 0xFFFFFFFF
        slots = words_of(kernel, [descriptors], word)[0]
        data = some(kernel, slots, min(count, MOST_TABLE) * word) if kernel.in_kernel(slots) else b""
        for start in range(0, len(data) - word + 1, word):
            if address := int.from_bytes(data[start : start + word], "little"):
                found[address] = None
        if len(found) > MOST_FILES:
            break
    return list(found)


def _dentry(table: Table, files: Samples) -> Samples | None:
    """The dentries of open files: the pointer whose targets have their own short name in them."""
    put, word = table.member, table.word
    for at in range(word, files.size - word, word):
        if not bool(files.of_kernel(files.at(at)).all()) or not bool(files.of_kernel(files.at(at - word)).all()):
            continue
        dentries = Samples(table.kernel, files.at(at).tolist(), table.limit("dentry", LARGEST["dentry"]))
        name = dentries.first_at(partial(_are_names, dentries), 3 * word, 96, word)
        if name is None:
            continue
        parent = name - 8 - word
        if not _go_up(table.kernel, dentries.addresses[:64], parent):
            continue
        put("qstr", "len", "unsigned int", 4)
        put("qstr", "name", "char *", 8)
        put("dentry", "d_parent", "struct dentry *", parent)
        put("dentry", "d_name", "struct qstr", name - 8)
        put("dentry", "d_inode", "struct inode *", name + word)
        put("file", "f_path", "struct path", at - word)
        return dentries
    return None


def _are_names(of: Samples, at: int) -> bool:
    """Whether the words there point to texts whose length stands before them: most in the dentry itself."""
    column = of.at(at)
    if share(column - of.base < of.size) < 0.7 or not bool((column > of.size).all()):
        return False
    for row, pointer in enumerate(column.tolist()[:200]):
        length = int(of.int_at(at - 4)[row])
        text = some(of.kernel, pointer, min(length, 255) + 1)
        if length > 255 or len(text) <= length or text[length] or 0 in text[:length]:
            return False
    return True


def _go_up(kernel: Linux, dentries: list[int], parent: int) -> bool:
    """Whether each leads by its parents to one that is its own."""
    for dentry in dentries:
        for _ in range(MOST_UP):
            above = words_of(kernel, [dentry], parent)[0]
            if above == dentry:
                break
            if not kernel.in_kernel(above):
                return False
            dentry = above
        else:
            return False
    return True


def _super_block(table: Table, dentries: Samples) -> None:
    """The file systems: each dentry's points to its kind, whose first member is its name."""
    put, word, kernel = table.member, table.word, table.kernel
    start = (table.offset("dentry", "d_inode") or 0) + 2 * word
    for at in range(start, dentries.size, word):
        blocks = dentries.at(at)
        if not bool(dentries.of_kernel(blocks).all()):
            continue
        distinct = numpy.unique(blocks).tolist()
        kind = next((place for place in range(2 * word, 24 * word, word) if _are_kinds(kernel, distinct, place)), None)
        if kind is None:
            continue
        put("dentry", "d_sb", "struct super_block *", at)
        put("dentry", "d_op", "void *", at - word)
        put("super_block", "s_type", "struct file_system_type *", kind)
        put("super_block", "s_list", "struct list_head", 0)
        put("super_block", "s_dev", "unsigned int", 2 * word)
        _identity(table, distinct, kind, at)
        return
    table.missing.append("dentry.d_sb")


def _are_kinds(kernel: Linux, blocks: list[int], place: int) -> bool:
    names = [_kind(kernel, block, place) for block in blocks]
    return all(names) and len(set(names)) > 1


def _kind(kernel: Linux, block: int, place: int) -> bytes:
    """The name of a file system's kind; empty where there is none."""
    kind = words_of(kernel, [block], place)[0]
    name = words_of(kernel, [kind])[0] if kernel.in_kernel(kind) else 0
    found = _KIND.match(some(kernel, name, 32)) if kernel.in_kernel(name) else None
    return found[0][:-1] if found else b""


def _identity(table: Table, blocks: list[int], kind: int, of_dentry: int) -> None:
    """What a file system is called (that of a kind without devices is called as its kind), and its root."""
    kernel, word = table.kernel, table.word
    samples = Samples(kernel, blocks, LARGEST["super_block"])
    parent = table.offset("dentry", "d_parent") or 0

    def are_called(at: int) -> bool:
        rows = samples.words.view("u1").reshape(len(samples), -1)
        told = [bytes(row[at : at + 32]).partition(b"\0")[0] for row in rows]
        return (
            share(numpy.array([name == _kind(kernel, block, kind) for name, block in zip(told, blocks, strict=True)]))
            > 0.5
        )

    def is_root(column: Column) -> bool:
        roots = column.tolist()
        good = bool(samples.of_kernel(column).all())
        return good and words_of(kernel, roots, parent) == roots and words_of(kernel, roots, of_dentry) == blocks

    table.member("super_block", "s_id", "char [32]", samples.first_at(are_called, 16 * word, samples.size - 32, word))
    table.member("super_block", "s_root", "struct dentry *", samples.first_word(is_root, kind))


def _file(table: Table, files: Samples, dentries: Samples) -> None:
    """Mode, flags, position and inode of open files."""
    put, word = table.member, table.word
    inodes = dentries.at(table.offset("dentry", "d_inode") or 0)
    put("file", "f_inode", "struct inode *", files.first_word(lambda column: bool((column == inodes).all())))

    def is_mode(column: Column) -> bool:  # what may be done is told twice
        reads, writes = (column & 1) != 0, (column & 2) != 0
        can_read, can_write = (column & FMODE_CAN_READ) != 0, (column & FMODE_CAN_WRITE) != 0
        agree = share((~can_read | reads) & (~can_write | writes) & (can_read | can_write)) > 0.9
        return agree and len(numpy.unique(column & 3)) > 1

    mode = put("file", "f_mode", "unsigned int", files.first_int(is_mode))
    access = (files.int_at(mode) & 3) if mode is not None else None

    def are_flags(column: Column) -> bool:
        return access is not None and share((column & 3) + 1 == access) > 0.95 and bool((column < 1 << 24).all())

    put("file", "f_flags", "unsigned int", files.first_int(are_flags))

    def is_position(at: int) -> bool:  # behind the list of those who wait for its lock: nobody does
        waiting = share(files.at(at - 2 * word) == files.base + numpy.array(at - 2 * word, files.base.dtype))
        return waiting > 0.9 and bool((files.long_at(at) < 1 << 60).all())

    position = put("file", "f_pos", "long long", files.first_at(is_position, 4 * word, files.size - 8, word))
    if position is not None and len(table.kernel.target.image.contexts) > 1:
        declare_sleeping_locks(table)


def _inode(table: Table, dentries: Samples) -> None:
    """Inodes: the file system as their dentries have it, then the mapping, mostly their own, then the number."""
    put, word = table.member, table.word
    at, of = table.offset("dentry", "d_sb"), table.offset("dentry", "d_inode") or 0
    pairs = {int(inode): row for row, inode in enumerate(dentries.at(of).tolist()) if inode}
    if at is None or not pairs:
        return
    samples = Samples(table.kernel, pairs, table.limit("inode", LARGEST["inode"]))
    blocks = dentries.at(at)[list(pairs.values())[: len(samples)]]
    put("inode", "i_mode", "unsigned short", 0)
    block = samples.first_word(lambda column: bool((column == blocks).all()))
    put("inode", "i_sb", "struct super_block *", block)
    if block is None:
        return
    mapping = samples.at(block + word) - samples.base
    put("inode", "i_mapping", "struct address_space *", block + word if share(mapping < samples.size) > 0.5 else None)

    def is_number(column: Column) -> bool:
        return bool((column != 0).all()) and share(samples.of_kernel(column)) < 0.1

    put("inode", "i_ino", "unsigned long", samples.first_word(is_number, block + 2 * word, block + 8 * word))


def _mounts(table: Table, files: Samples) -> None:
    """Mounts: before what files point to lie the mount above and the place there, behind it the names."""
    put, word, kernel = table.member, table.word, table.kernel
    path, block = table.offset("file", "f_path") or 0, table.offset("dentry", "d_sb")
    inner = list(dict.fromkeys(files.at(path).tolist()))
    roots = words_of(kernel, inner)
    if block is None or words_of(kernel, inner, word) != words_of(kernel, roots, block):
        table.missing.append("mount")
        return
    put("vfsmount", "mnt_root", "struct dentry *", 0)
    put("vfsmount", "mnt_sb", "struct super_block *", word)
    put("vfsmount", "mnt_flags", "int", 2 * word)
    if all(map(kernel.in_kernel, words_of(kernel, inner, 3 * word))):  # whose ids it maps (5.12 on)
        table.size("vfsmount", 4 * word)
    begin = 4 * word  # mnt_hash of two words, mnt_parent, mnt_mountpoint
    put("mount", "mnt_parent", "struct mount *", begin - 2 * word)
    put("mount", "mnt_mountpoint", "struct dentry *", begin - word)
    put("mount", "mnt", "struct vfsmount", begin)
    samples = Samples(kernel, [one - begin for one in inner], table.limit("mount", LARGEST["mount"]))

    def are_texts(column: Column) -> bool:
        pointers = column.tolist()
        return bool(samples.of_kernel(column // word * word).all()) and all(
            _TEXT.match(some(kernel, pointer, 256)) for pointer in pointers
        )

    put("mount", "mnt_devname", "char *", samples.first_word(are_texts, begin + 3 * word))
    _namespace(table, samples)


def _namespace(table: Table, mounts: Samples) -> None:
    """Where a namespace holds its mounts: a list through all of them (a tree from 6.8 on)."""
    kernel, word = table.kernel, table.word
    at = table.offset("task_struct", "nsproxy")
    spaces = words_of(kernel, table.tasks[1:2], at) if at is not None else [0]
    space = words_of(kernel, spaces, 3 * word)[0] if kernel.in_kernel(spaces[0]) else 0
    start = (table.offset("mount", "mnt") or 0) + 3 * word
    forms = (("list", "struct list_head", "mnt_list", "struct list_head", _on_list),
             ("mounts", "struct rb_root", "mnt_node", "struct rb_node", _at_top))  # fmt: skip
    for member, kind, of, inside, head_of in forms:
        for place in range(start, mounts.size - word, word):
            head = next(filter(None, (head_of(kernel, address + place, space) for address in mounts.addresses)), 0)
            if head:
                table.member("mnt_namespace", member, kind, head - space)
                table.member("mount", of, inside, place)
                return
    table.missing.append("mnt_namespace.list")


def _on_list(kernel: Linux, node: int, space: int) -> int:
    """The head of the list through a node, if it lies in the namespace; else 0."""
    seen, word = {node}, kernel.bits // 8
    for _ in range(MOST_MOUNTS):
        try:
            following = kernel.word(node)
            if kernel.word(following + word) != node:
                return 0
        except Error:
            return 0
        if 0 < following - space < 32 * word:
            return following
        if following in seen or not kernel.in_kernel(following):
            return 0
        seen.add(following)
        node = following
    return 0


def _at_top(kernel: Linux, node: int, space: int) -> int:
    """Where the namespace points to the top of the tree of a node; 0 where it does not."""
    word = kernel.bits // 8
    for _ in range(MOST_UP):
        above = words_of(kernel, [node])[0] & -4
        if not above:
            break
        if not kernel.in_kernel(above) or node not in words_of(kernel, [above + word, above + 2 * word]):
            return 0
        node = above
    data = some(kernel, space, 32 * word)
    words = [int.from_bytes(data[at : at + word], "little") for at in range(0, len(data), word)]
    return space + words.index(node) * word if node in words else 0

"""Merkle trees over a log that only grows: hashing and proofs of RFC 6962, 2.1 (and RFC 9162, 2.1).

A proof of inclusion shows that a leaf is in the tree with a root; a proof of consistency that a tree is the
beginning of a larger one. Both are checked without the other leaves.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from syft_ext.errors import InvalidStatement

__all__ = [
    "consistency_proof",
    "inclusion_proof",
    "leaf_hash",
    "root_of",
    "verify_consistency",
    "verify_inclusion",
]

MAX_PROOF = 64
"""Hashes in a proof, at most: of trees of 2^62 leaves."""


def leaf_hash(leaf: bytes) -> bytes:
    """The hash of a leaf: ``SHA-256(0x00 ‖ leaf)``."""
    return hashlib.sha256(b"\0" + leaf).digest()


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\1" + left + right).digest()


def root_of(leaves: Sequence[bytes]) -> bytes:
    """The root of the tree with these leaf hashes; SHA-256 of nothing for none."""
    if not leaves:
        return hashlib.sha256().digest()
    if len(leaves) == 1:
        return leaves[0]
    at = _split(len(leaves))
    return _node(root_of(leaves[:at]), root_of(leaves[at:]))


def _split(size: int) -> int:
    """The largest power of two below ``size`` (at least 2)."""
    return 1 << (size - 1).bit_length() - 1


def inclusion_proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """The hashes that lead from leaf ``index`` (from 0) to the root of all. ``IndexError`` for no such leaf."""
    if not 0 <= index < len(leaves):
        raise IndexError("there is no such leaf")
    if len(leaves) == 1:
        return []
    at = _split(len(leaves))
    if index < at:
        return [*inclusion_proof(leaves[:at], index), root_of(leaves[at:])]
    return [*inclusion_proof(leaves[at:], index - at), root_of(leaves[:at])]


def consistency_proof(leaves: Sequence[bytes], first: int) -> list[bytes]:
    """The hashes that show that the tree of the ``first`` leaves is the beginning of the tree of all.

    ``IndexError`` unless ``first`` is 1 to the number of leaves.
    """
    if not 1 <= first <= len(leaves):
        raise IndexError("there is no such tree")
    return _subproof(leaves, first, whole=True)


def _subproof(leaves: Sequence[bytes], first: int, *, whole: bool) -> list[bytes]:
    if first == len(leaves):
        return [] if whole else [root_of(leaves)]
    at = _split(len(leaves))
    if first <= at:
        return [*_subproof(leaves[:at], first, whole=whole), root_of(leaves[at:])]
    return [*_subproof(leaves[at:], first - at, whole=False), root_of(leaves[:at])]


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """RFC 9162, 2.1.3.2: ``leaf`` (its hash) is number ``index`` of the ``size`` leaves under ``root``.

    Raises :class:`~syft_ext.errors.InvalidStatement`.
    """
    if not 0 <= index < size or len(proof) > MAX_PROOF:
        raise InvalidStatement("no such leaf in a tree of this size")
    at, last, found = index, size - 1, leaf
    for each in proof:
        if last == 0:
            raise InvalidStatement("the proof is longer than the tree is high")
        if at & 1 or at == last:
            found = _node(each, found)
            while not at & 1 and at:
                at >>= 1
                last >>= 1
        else:
            found = _node(found, each)
        at >>= 1
        last >>= 1
    if last != 0 or found != root:
        raise InvalidStatement("the leaf is not in the tree")


def verify_consistency(
    first: int, first_root: bytes, second: int, second_root: bytes, proof: Sequence[bytes]
) -> None:
    """RFC 9162, 2.1.4.2: the tree of ``first`` leaves under ``first_root`` is the beginning of the second one.

    Raises :class:`~syft_ext.errors.InvalidStatement`.
    """
    if not 0 <= first <= second or len(proof) > MAX_PROOF:
        raise InvalidStatement("a log does not get shorter")
    if first == second or first == 0:
        if (
            proof
            or (first == second and first_root != second_root)
            or (first == 0 and first_root != root_of([]))
        ):
            raise InvalidStatement("the log's beginning is not what it was")
        return
    hashes = list(proof)
    if first & (first - 1) == 0:
        hashes.insert(0, first_root)
    if not hashes:
        raise InvalidStatement("the log's beginning is not what it was")
    at, last = first - 1, second - 1
    while at & 1:
        at >>= 1
        last >>= 1
    old = new = hashes[0]
    for each in hashes[1:]:
        if last == 0:
            raise InvalidStatement("the proof is longer than the tree is high")
        if at & 1 or at == last:
            old, new = _node(each, old), _node(each, new)
            while not at & 1 and at:
                at >>= 1
                last >>= 1
        else:
            new = _node(new, each)
        at >>= 1
        last >>= 1
    if last != 0 or old != first_root or new != second_root:
        raise InvalidStatement("the log's beginning is not what it was")

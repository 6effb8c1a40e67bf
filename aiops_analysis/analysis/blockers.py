"""What keeps a nearly free node from going, by name: the pod and its rule, or the pool's own bound (methods.md B4)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import pandas as pd

from aiops_analysis.analysis.drain import HALF, Board
from aiops_analysis.analysis.fleet import Key, Size, key_text
from aiops_analysis.analysis.pool_need import Need
from aiops_analysis.core.schema import check, empty
from aiops_analysis.core.schema_money import BLOCKERS

__all__ = ["blockers"]

#: Nodes of a pool that are looked at, the emptiest first.
_NODES = 8
_NOBODY: Key = ("", "", "")


def blockers(needs: Mapping[str, Need], after: Sequence[Size]) -> pd.DataFrame:
    """BLOCKERS of every pool after the changes: the nodes of which less than half is requested, or else the emptiest one.

    A node that others have room for is taken away before the next is looked at, as long as the pool's own figure lets nodes go.
    """
    freed = {name: need.freed(after) for name, need in needs.items()}
    rows = [row for name in sorted(needs) for row in (*_of_pool(needs[name], freed[name]), *_of_nodes(needs[name], after, freed[name]))]
    frame = pd.DataFrame(rows, columns=list(BLOCKERS.columns))
    return check(frame.drop_duplicates(ignore_index=True), BLOCKERS) if rows else empty(BLOCKERS)


def _row(pool: str, node: str, key: Key, code: str, message: str) -> dict[str, str]:
    return {"pool": pool, "node": node, "namespace": key[0], "workload": key[2], "code": code, "message": message}


def _of_pool(need: Need, freed: int) -> Iterator[dict[str, str]]:
    """What holds the pool as a whole: its minimum, zones that must each have a node, a commitment."""
    pool, terms = need.pool, need.terms
    kept = need.now - freed
    zones = len(pool.zones) if pool.spread else 0
    if terms.minimum >= kept and terms.minimum > 1:
        yield _row(pool.name, "", _NOBODY, "minimum", f"The pool has a minimum of {terms.minimum} nodes.")
    if zones >= kept and zones > 1:
        for place, shape in pool.prototypes.items():
            if shape.skew:
                key = pool.templates[place].key
                yield _row(pool.name, "", key, "spread", f"{key_text(key)} must be spread over {zones} zones: each keeps a node.")
    if freed and need.paid(freed):
        message = f"{terms.committed} nodes are paid for until {terms.until}, used or not."
        yield _row(pool.name, "", _NOBODY, "commitment", message)


def _of_nodes(need: Need, after: Sequence[Size], freed: int) -> Iterator[dict[str, str]]:
    board, autoscaler = Board(need.pool, after), need.terms.autoscaler
    low = [name for name in board.order() if board.utilisation(name) < HALF][:_NODES] or board.order()[:1]
    left = freed
    for name in low:
        used = board.utilisation(name)
        held = board.held(name, autoscaler)
        for place, code, message in held:
            key = need.pool.templates[place].key
            yield _row(need.pool.name, name, key, code, f"{key_text(key)} {message}.")
        if autoscaler == "cluster-autoscaler" and used >= HALF:
            message = f"{used:.0%} of it is requested: Cluster Autoscaler leaves a node of which half or more is requested."
            yield _row(need.pool.name, name, _NOBODY, "busy", message)
        moves = board.moves(name)
        if moves is None:
            yield from _misfits(need, board, name)
        elif not held and left > 0 and board.empty(name):
            left -= 1


def _misfits(need: Need, board: Board, name: str) -> Iterator[dict[str, str]]:
    """Why the pods of a node do not fit onto the others: each that has no place alone, or all of them together."""
    alone = [place for place in sorted(board.pods[name]) if board.moves(name, Counter({place: 1})) is None]
    for place in alone:
        key = need.pool.templates[place].key
        code, why = _why(need, board, name, place)
        yield _row(need.pool.name, name, key, code, f"{key_text(key)} {why}.")
    if not alone:
        yield _row(need.pool.name, name, _NOBODY, "busy", "The other nodes of the pool have no room for all of its pods together.")


def _why(need: Need, board: Board, name: str, place: int) -> tuple[str, str]:
    pool, size = need.pool, board.sizes[place]
    others = [node for node in pool.nodes if node.name != name and node.name in board.pods]
    if not others:
        return "minimum", "runs on the only node of its pool"
    if not any(node.name in pool.allowed[place] for node in others):
        return "node_selector", "may run on no other node of the pool by its node selector, affinity, tolerations or volumes"
    kinds = {kind.name: kind for kind in pool.kinds(board.sizes)}
    largest = [kinds[pool.kind_of[node.name]] for node in others if node.name in pool.allowed[place]]
    if not any(size[0] <= kind.cpu and size[1] <= kind.memory for kind in largest):
        return "too_large", "is larger than any other node of the pool, even an empty one"
    rooms = [board.room(node.name) for node in others if node.name in pool.allowed[place] and not node.cordoned]
    shape = pool.prototypes[place]
    if any(size[0] <= room[0] and size[1] <= room[1] and room[2] > 0 and shape.gpu <= room[3] for room in rooms):
        if shape.skew:
            return "spread", "must be spread over zones, and the nodes with room are in the wrong one"
        return "anti_affinity", "must not share a node with pods that run on every node with room for it"
    return "busy", "finds no room: too much of the other nodes of the pool is requested"

"""Node packing: nodes of the lower bound, of the dot product and of first-fit orders, and the time of each (methods.md B4).

    python -m bench.packing [--seed 1] [--runs 3] [--openb FOLDER]

Prints the table of methods.md B4 on its own generator (log-normal requests, 4 vCPU nodes less their DaemonSets), then the CPU-only pods of
Alibaba's openb trace on its real node list (Weng et al., ATC 2023) when the folder is there, then how long one question of "do the pods of
this node fit on the others" takes. Claimed: 20,000 pods of 1,500 workloads in under 4 s, each packing within 2 % of its lower bound.
Times are of the wall clock and of the processor, which other work on the machine does not lengthen.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from aiops_analysis.analysis.packing import fits, pack
from aiops_analysis.analysis.packing_bounds import lower_bound
from aiops_analysis.analysis.packing_fit import place_in_order
from aiops_analysis.analysis.packing_homes import Homes
from aiops_analysis.analysis.packing_rules import State, problem_of
from aiops_analysis.core.bins import NodeKind, PodShape
from bench.machine import describe
from tests.real.openb import busiest_instant, ever_together, node_kinds, shapes_of

SIZES = ((200, 30), (1_000, 150), (5_000, 600), (20_000, 1_500))
MI = 2**20
#: 3920m, 14500Mi and 58 pods, less DaemonSets of 300m, 400Mi and 6 pods.
NODE = NodeKind("4-vcpu", 3_620, 14_100 * MI, 52)


def workloads(pods: int, count: int, seed: int) -> list[PodShape]:
    """The generator of methods.md B4: log-normal requests in steps of 25m and 16Mi, replicas by a Dirichlet share, at least one each."""
    rng = np.random.default_rng(seed)
    cpu = np.ceil(rng.lognormal(np.log(150), 0.9, count) / 25) * 25
    memory = np.ceil(rng.lognormal(np.log(384), 0.8, count) / 16) * 16
    replicas = 1 + rng.multinomial(pods - count, rng.dirichlet(np.full(count, 0.7)))
    return [
        PodShape(f"workload-{n:05d}", int(replicas[n]), int(min(cpu[n], NODE.cpu)), int(min(memory[n], NODE.memory // MI)) * MI)
        for n in range(count)
    ]


def first_fit(shapes: list[PodShape], kinds: list[NodeKind], key: Callable[[np.ndarray], np.ndarray]) -> int:
    """Nodes of first-fit decreasing by a function of each shape's shares of a node."""
    problem = problem_of(shapes, kinds)
    state = State(problem, {shape.key: shape.count for shape in shapes})
    size = problem.size[:, :2] / problem.room[0, :2]
    place_in_order(state, [int(s) for s in np.argsort(-key(size), kind="stable")], Homes(state))
    return len(state.nodes)


def timed(call: Callable[[], object], runs: int) -> tuple[object, float, float]:
    """The answer, and the median seconds of the wall clock and of the processor."""
    wall, processor = [], []
    for _ in range(runs):
        begin, work = time.perf_counter(), time.process_time()
        answer = call()
        wall.append(time.perf_counter() - begin)
        processor.append(time.process_time() - work)
    return answer, float(np.median(wall)), float(np.median(processor))


def table(seed: int, runs: int) -> None:
    print(
        f"{'pods (workloads)':20s} {'LB':>6s} {'dot':>6s} {'gap':>7s} {'by sum':>7s} {'by max':>7s} {'by cpu':>7s} {'wall':>8s} {'cpu':>8s}"
    )
    for pods, count in SIZES:
        shapes, kinds = workloads(pods, count, seed), [NODE]
        packing, wall, processor = timed(lambda s=shapes, k=kinds: pack(s, k), runs)
        bound, nodes = lower_bound(shapes, kinds), packing.count()
        by_sum = first_fit(shapes, kinds, lambda size: size.sum(axis=1))
        by_max = first_fit(shapes, kinds, lambda size: size.max(axis=1))
        by_cpu = pack(shapes, kinds, order="cpu").count()
        gap = nodes / bound - 1
        name = f"{pods:,} ({count:,})"
        print(f"{name:20s} {bound:6d} {nodes:6d} {gap:7.2%} {by_sum:7d} {by_max:7d} {by_cpu:7d} {wall:6.2f} s {processor:6.2f} s")
    print("claimed: at most 4 s for 20,000 pods, gap at most 2 %")


def openb(folder: Path, runs: int) -> None:
    instant, running, refused = busiest_instant(folder)
    nodes = node_kinds(folder)
    print(f"openb: {sum(kind.most or 0 for kind in nodes):,} nodes; CPU-only pods never packed, by phase: {refused}")
    for name, shapes in (
        (f"at second {instant:,.0f}, the busiest", shapes_of(running)),
        ("all that ever ran, at once", shapes_of(ever_together(folder))),
    ):
        packing, wall, processor = timed(lambda s=shapes: pack(s, nodes), runs)
        bound, count = lower_bound(shapes, nodes), packing.count()
        pods = sum(shape.count for shape in shapes)
        words = f"{pods} pods: LB {bound}, dot {count} ({count / bound - 1:.2%}), by cpu {pack(shapes, nodes, order='cpu').count()}"
        print(f"{name:34s} {words}, {sum(packing.unplaced.values())} unplaced, {wall:.2f} s, {processor:.2f} s of the processor")


def questions(seed: int, runs: int) -> None:
    """Take each of 100 nodes of a packing and ask whether its pods fit on the others, of which each has a tenth more room."""
    shapes = {shape.key: shape for shape in workloads(2_000, 200, seed)}
    nodes = pack(list(shapes.values()), [NODE]).nodes
    free = []
    for at, node in enumerate(nodes):
        cpu = sum(shapes[key].cpu * pods for key, pods in node.pods.items())
        memory = sum(shapes[key].memory * pods for key, pods in node.pods.items())
        free.append(
            NodeKind(f"node-{at:04d}", NODE.cpu * 11 // 10 - cpu, NODE.memory * 11 // 10 - memory, 110 - sum(node.pods.values()), most=1)
        )

    def ask() -> int:
        yes = 0
        for at, node in enumerate(nodes[:100]):
            own = [PodShape(key, pods, shapes[key].cpu, shapes[key].memory) for key, pods in node.pods.items()]
            yes += bool(fits(own, [one for n, one in enumerate(free) if n != at]))
        return yes

    yes, wall, processor = timed(ask, runs)
    asked = min(len(nodes), 100)
    each = f"{wall / asked * 1e3:.1f} ms each, {processor / asked * 1e3:.1f} ms of the processor"
    print(f"{asked} questions to {len(nodes) - 1} nodes: {yes} fit, {each}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--openb", type=Path, default=Path(__file__).resolve().parents[2] / "shared" / "realdata" / "alibaba_openb_2023")
    args = parser.parse_args()
    print(describe())
    table(args.seed, args.runs)
    if args.openb.is_dir():
        openb(args.openb, args.runs)
    else:
        print("openb: the folder is not there, see --openb")
    questions(args.seed, args.runs)


if __name__ == "__main__":
    main()

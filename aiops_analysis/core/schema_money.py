"""Contracts of the frames about money and nodes: prices, costs, packing, what can be banked, what was realised (design.md section 3).

Money is in the report's one currency; a month is 730 h where it is a rate, and its own hours where it was measured.
"""

from __future__ import annotations

from aiops_analysis.core.contract import Contract

__all__ = ["BILLED", "BLOCKERS", "BRIDGE", "COSTS", "LEDGER", "MIXES", "NEXT_NODES", "NODE_COSTS", "NODE_PRICES", "PACKING", "SAVINGS"]

#: One row per node: what an hour of it costs, by which price.
NODE_PRICES = Contract(
    "node prices",
    {
        "node": "str",
        "pool": "str",
        "price_hour": "float64",  # [currency / hour], NaN when nothing prices it
        "cpu_hour": "float64",  # [currency per core and hour], the node price split in the ratio of the default prices
        "memory_hour": "float64",  # [currency per GiB and hour]
        "basis": "str",  # billing | sheet | list | default | "" when there is no price
        "source": "str",  # printed beside the figure
        "matched_by": "str",  # what the price row and the node had in common, "" for default
    },
    ("node",),
)

#: What a billing export says about one node in the window.
BILLED = Contract(
    "billed nodes",
    {
        "node": "str",
        "cost": "float64",  # [currency] of the matched charge periods
        "hours": "float64",  # of the node's life in the window that the charges cover
        "price_hour": "float64",  # cost / hours
        "resource_id": "str",
        "matched_by": "str",  # instance id | scale set | instance name | exact | tags
    },
    ("node",),
)

#: One row per UTC day, workload and node pool: what its containers cost, max(request, usage) x price (methods.md B2).
COSTS = Contract(
    "costs",
    {
        "day": "str",
        "namespace": "str",
        "workload_kind": "str",
        "workload": "str",
        "pool": "str",
        "pod_hours": "float64",
        "cpu_request_hours": "float64",  # [core hours]
        "cpu_usage_hours": "float64",  # NaN where usage was not measured
        "cpu_allocated_hours": "float64",  # of max(request, usage)
        "memory_request_hours": "float64",  # [GiB hours]
        "memory_usage_hours": "float64",
        "memory_allocated_hours": "float64",
        "cpu_cost": "float64",  # [currency]
        "memory_cost": "float64",
        "cost": "float64",
        "shared": "bool",  # a shared namespace, whose cost is spread over the others by a named rule
        "shared_cost": "float64",  # [currency] of shared workloads carried by this one
    },
    ("day", "namespace", "workload_kind", "workload", "pool"),
)

#: One row per UTC day and node pool: what its nodes cost, and what of it nobody asked for.
NODE_COSTS = Contract(
    "node costs",
    {
        "day": "str",
        "pool": "str",
        "node_hours": "float64",
        "cost": "float64",  # [currency] asset cost
        "workload_cost": "float64",  # of the containers on them
        "cpu_idle_cost": "float64",
        "memory_idle_cost": "float64",
        "idle_cost": "float64",  # at least 0
        "price_basis": "str",
    },
    ("day", "pool"),
)

#: The difference between two periods of equal length, cause by cause; the parts add up to the difference of ``cost``.
BRIDGE = Contract(
    "bridge",
    {
        "cause": "str",  # before | price | new workloads | gone workloads | replicas | requests | usage above requests | idle | after
        "amount": "float64",  # [currency] of the period, not scaled to a month
        "detail": "str",  # the largest contributions by name
    },
    ("cause",),
)

#: One row per node pool: how many nodes it has, needs today and would need after the recommendations (methods.md B4).
PACKING = Contract(
    "packing",
    {
        "pool": "str",
        "instance_type": "str",
        "nodes_now": "int64",
        "pods": "int64",  # counted at the busiest instant of the window's last day
        "lower_bound_now": "int64",  # nodes that no packing can beat
        "model_now": "int64",  # the greedy packing of today's requests
        "lower_bound_after": "int64",
        "model_after": "int64",
        "ffd_after": "int64",  # first-fit decreasing by cpu: what packing in Karpenter's order gives
        "binding": "str",  # cpu | memory | pods: what of its nodes is asked for most today
        "cpu_part": "float64",  # of what had to fall for the freed nodes, cpu's share; the rest is memory's. NaN where nothing is freed
        "free_today": "int64",  # of the freed nodes, those that could go before any change
        "calibration": "float64",  # nodes now / model now, clipped to 1-3
        "headroom": "int64",  # nodes kept free: N+1 or one a zone, and the surge of a rollout
        "minimum": "int64",  # the pool's own smallest size, 0 unknown
        "nodes_after": "int64",
        "freed": "int64",  # nodes that can go
        "node_month": "float64",  # [currency] price of one node
        "bankable": "float64",  # [currency / month]: freed nodes that something will really take away, less commitments
        "if_shrunk": "float64",  # [currency / month] of freed nodes when a person shrinks the pool, less commitments
        "committed": "float64",  # [currency / month] freed but still paid
        "committed_until": "str",  # ISO date, "" without
        "autoscaler": "str",  # cluster-autoscaler | karpenter | managed | none | unknown
        "grade": "str",  # high | medium | low
        "unknown": "str",  # which constraints are unknown, "" when all are known
        "price_source": "str",
        "reasons": "object",
    },
    ("pool",),
)

#: The smallest ordered set of recommendations that frees one node, two, ...
NEXT_NODES = Contract(
    "next nodes",
    {
        "pool": "str",
        "node": "int64",  # the first freed node is 1
        "changes": "object",  # ids of the recommendations added for this node, in order
        "workloads": "object",  # their namespace/workload names
        "total_changes": "int64",  # changed workloads up to this node
        "saves": "float64",  # [currency / month] of this one node
        "exact": "bool",  # no smaller set exists; else greedy
        "at_least": "int64",  # no set with fewer workloads can do it
    },
    ("pool", "node"),
)

#: One row per pool: its pods after the recommendations on the cheapest mix of the machine types that the cluster has (methods.md B5).
#: Room for a lost node is on neither side.
MIXES = Contract(
    "instance mixes",
    {
        "pool": "str",
        "types_now": "str",
        "same_nodes": "int64",  # nodes of its own kind that the packing needs
        "same_month": "float64",  # [currency / month] of those
        "mix": "str",  # such as "2 x m6i.xlarge, 1 x c6i.large", "" when there is none
        "mix_month": "float64",  # [currency / month]
        "bound_month": "float64",  # [currency / month] below which no mix of these types can go
        "candidates": "int64",  # types with a known size and price
        "why": "str",  # why there is no mix
    },
    ("pool",),
)

#: What keeps a node from going, by name.
BLOCKERS = Contract(
    "blockers",
    {
        "pool": "str",
        "node": "str",  # "" for the whole pool
        "namespace": "str",
        "workload": "str",
        # pdb | safe_to_evict | local_storage | no_controller | anti_affinity | node_selector | spread | minimum | busy | commitment
        # | too_large
        "code": "str",
        "message": "str",
    },
)

#: The three numbers, never added: one row per number and scope.
SAVINGS = Contract(
    "savings",
    {
        "number": "str",  # paper | bankable | realised
        "scope": "str",  # cluster | namespace | pool | decision
        "name": "str",
        "amount": "float64",  # [currency / month], NaN when not computable
        "currency": "str",
        "price_source": "str",
        "condition": "str",  # what would make it true
        "grade": "str",
    },
    ("number", "scope", "name"),
)

#: One row per accepted decision: what was promised, when the history saw it applied, what it really saved (methods.md B3).
LEDGER = Contract(
    "ledger",
    {
        "record": "str",  # id of the decision record
        "title": "str",
        "cluster": "str",
        "workloads": "object",  # namespace/kind/workload/container/resource texts
        "decided_on": "str",  # ISO date
        "promised_paper": "float64",  # [currency / month]
        "promised_bankable": "float64",
        "currency": "str",
        "price_source": "str",
        "applied": "str",  # whole | partly | not | reverted | unknown
        "applied_on": "str",  # ISO date, "" when it was not
        "days_before": "int64",  # measured days of the baseline period
        "days_after": "int64",  # measured days of the reporting period
        "paper_now": "float64",  # [currency / month] of the requests as they really changed
        "realised": "float64",  # [currency / month] over the reporting period, NaN when not measured
        "realised_30": "float64",
        "realised_60": "float64",
        "realised_90": "float64",
        "price_effect": "float64",  # [currency / month], shown apart, never a saving
        "work_ratio": "float64",  # work now / work in the baseline period
        "nodes_before": "float64",  # mean nodes
        "nodes_after": "float64",
        "outcome": "str",  # measured | not yet measured | not applied | not attributable | not computable
        "gap": "float64",  # promised paper - realised [currency / month]
        "cause": "str",  # one sentence
    },
    ("record",),
)

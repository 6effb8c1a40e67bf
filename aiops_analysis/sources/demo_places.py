"""Where the demo's story takes place: nodes, the courses of a day, what scales and what bounds its workloads."""

from __future__ import annotations

from aiops_analysis.sources.demo_model import Bound, Hpa, Moment, Node, Shape

__all__ = ["BOUNDS", "CLOSED", "DATABASE", "HPAS", "NODES", "OFFICE", "QUIET", "RECLAIMED", "REMOVED", "SHOP", "STEADY"]

STEADY = Shape(
    (74, 73, 72, 72, 72, 74, 78, 84, 91, 97, 99, 100, 98, 98, 100, 99, 97, 94, 90, 86, 83, 80, 78, 76), (100, 100, 101, 100, 99, 91, 90)
)
#: A test environment that nobody uses at night and at weekends.
CLOSED = Shape((4, 4, 4, 4, 4, 4, 6, 12, 88, 96, 99, 100, 96, 98, 100, 98, 94, 86, 10, 5, 4, 4, 4, 4), (100, 101, 102, 100, 98, 6, 6))
OFFICE = Shape(
    (22, 20, 19, 19, 20, 24, 33, 50, 72, 89, 96, 100, 95, 96, 99, 98, 94, 86, 72, 58, 46, 37, 30, 25), (100, 102, 103, 101, 97, 58, 54)
)
SHOP = Shape(
    (38, 27, 20, 16, 15, 18, 25, 36, 48, 57, 63, 68, 73, 72, 70, 71, 75, 82, 90, 97, 100, 93, 74, 53), (90, 91, 92, 95, 103, 114, 110)
)
DATABASE = Shape(
    (30, 46, 92, 58, 28, 30, 36, 48, 66, 80, 88, 92, 90, 91, 93, 92, 88, 82, 74, 66, 58, 48, 40, 34), (100, 101, 101, 100, 98, 80, 78)
)
QUIET = Shape(
    (60, 60, 60, 60, 60, 62, 66, 74, 84, 92, 97, 100, 96, 97, 99, 98, 94, 88, 80, 74, 68, 64, 62, 60), (100, 100, 100, 100, 100, 60, 55)
)


def _general(zone: str, address: str) -> Node:
    return Node("general", "c6i.xlarge", zone, "on-demand", (4000, 3920), (7811, 6584), 58, address)


def _spot(zone: str, address: str) -> Node:
    return Node("spot", "m6i.large", zone, "spot", (2000, 1930), (7811, 6903), 29, address)


def _media(zone: str, address: str) -> Node:
    return Node("media", "c6i.xlarge", zone, "on-demand", (4000, 3920), (7811, 6584), 58, address, (("dedicated", "media", "NoSchedule"),))


def _analytics(zone: str, address: str) -> Node:
    taint = ("dedicated", "analytics", "NoSchedule")
    return Node("analytics", "m6i.xlarge", zone, "on-demand", (4000, 3920), (15736, 14509), 58, address, (taint,))


NODES = (
    _general("us-east-1a", "10-0-11-37"),
    _general("us-east-1b", "10-0-21-84"),
    _general("us-east-1c", "10-0-31-12"),
    _general("us-east-1a", "10-0-11-156"),
    _spot("us-east-1b", "10-0-22-63"),
    _spot("us-east-1c", "10-0-32-201"),
    Node("memory", "r6i.large", "us-east-1a", "on-demand", (2000, 1930), (15734, 14770), 29, "10-0-13-90"),
    _media("us-east-1a", "10-0-14-21"),
    _media("us-east-1b", "10-0-24-118"),
    _media("us-east-1c", "10-0-34-77"),
    _analytics("us-east-1a", "10-0-15-40"),
    _analytics("us-east-1b", "10-0-25-61"),
    _analytics("us-east-1c", "10-0-35-102"),
    _analytics("us-east-1a", "10-0-15-117"),
)
#: The last spot node was a spot instance that was taken away; this is when, and the address of the one that came before it.
RECLAIMED = (5, Moment(17, 76), "10-0-32-9")
#: The last media node was no longer needed; this is when it went.
REMOVED = (9, Moment(7, 118))

BOUNDS = (
    Bound("staging", "LimitRange", "small", "Container", "cpu", "min", 50),
    Bound("staging", "LimitRange", "small", "Container", "cpu", "max", 1000),
    Bound("staging", "LimitRange", "small", "Container", "memory", "min", 64),
    Bound("staging", "LimitRange", "small", "Container", "memory", "max", 4096),
    Bound("shop", "ResourceQuota", "compute", "", "cpu", "requests.hard", 3500),
    Bound("shop", "ResourceQuota", "compute", "", "memory", "requests.hard", 8192),
)

HPAS = (Hpa("shop", "catalog", "catalog", 60, 2, 6),)

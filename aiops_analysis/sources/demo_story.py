"""The story of the demo: which nodes and workloads there are, what they ask for, what they use and what happens to them.

It tells the team's guide: a todo application whose frontend asks for 200m and uses 45m, whose backend asks for 500m/1Gi and uses
50m/170Mi; and beside it what a real cluster has: a throttled service, one killed for memory, one under an HPA, one three days old,
a JVM, a hot pod, a mesh, nightly jobs, a spot node that was taken away.
"""

from __future__ import annotations

from aiops_analysis.sources.demo_model import Container, Hpa, Moment, Node, Revision, Shape, Workload

__all__ = ["HPAS", "NODES", "RECLAIMED", "WORKLOADS"]

_STEADY = Shape(
    (74, 73, 72, 72, 72, 74, 78, 84, 91, 97, 99, 100, 98, 98, 100, 99, 97, 94, 90, 86, 83, 80, 78, 76), (100, 100, 101, 100, 99, 91, 90)
)
_OFFICE = Shape(
    (22, 20, 19, 19, 20, 24, 33, 50, 72, 89, 96, 100, 95, 96, 99, 98, 94, 86, 72, 58, 46, 37, 30, 25), (100, 102, 103, 101, 97, 58, 54)
)
_SHOP = Shape(
    (38, 27, 20, 16, 15, 18, 25, 36, 48, 57, 63, 68, 73, 72, 70, 71, 75, 82, 90, 97, 100, 93, 74, 53), (90, 91, 92, 95, 103, 114, 110)
)
_DATABASE = Shape(
    (30, 46, 92, 58, 28, 30, 36, 48, 66, 80, 88, 92, 90, 91, 93, 92, 88, 82, 74, 66, 58, 48, 40, 34), (100, 101, 101, 100, 98, 80, 78)
)
_QUIET = Shape(
    (60, 60, 60, 60, 60, 62, 66, 74, 84, 92, 97, 100, 96, 97, 99, 98, 94, 88, 80, 74, 68, 64, 62, 60), (100, 100, 100, 100, 100, 60, 55)
)


def _general(zone: str, address: str) -> Node:
    return Node("general", "c6i.xlarge", zone, "on-demand", (4000, 3920), (7811, 6584), 58, address)


def _spot(zone: str, address: str) -> Node:
    return Node("spot", "m6i.large", zone, "spot", (2000, 1930), (7811, 6903), 29, address)


NODES = (
    _general("us-east-1a", "10-0-11-37"),
    _general("us-east-1b", "10-0-21-84"),
    _general("us-east-1c", "10-0-31-12"),
    _general("us-east-1a", "10-0-11-156"),
    _spot("us-east-1b", "10-0-22-63"),
    _spot("us-east-1c", "10-0-32-201"),
)
#: The last node was a spot instance that was taken away; this is when, and the address of the one that came before it.
RECLAIMED = (5, Moment(17, 76), "10-0-32-9")

_SIDECAR = Container(
    "istio-proxy", "docker.io/istio/proxyv2", (100, 2000), (128, 1024), 9, 54, _STEADY, slow=60, fast=50, follow=40, tag="1.24.1"
)
_HOME = "registry.demo.example"

WORKLOADS = (
    Workload(
        "todo",
        "Deployment",
        "frontend",
        3,
        (Container("frontend", f"{_HOME}/todo/frontend", (200, 500), (128, 256), 45, 62, _STEADY, slow=70, fast=70), _SIDECAR),
        (0, 1, 2),
        (Revision("1.14.0"), Revision("1.15.0", Moment(19, 122)), Revision("1.15.1", Moment(11, 170))),
        hot=(1000, 1015, 985),
    ),
    Workload(
        "todo",
        "Deployment",
        "backend",
        3,
        (
            Container(
                "backend", f"{_HOME}/todo/backend", (500, 2000), (1024, 4096), 50, 170, _STEADY, slow=60, fast=60, follow=60, startup=1800
            ),
            _SIDECAR,
        ),
        (1, 2, 3),
        (Revision("2.7.3"), Revision("2.8.0", Moment(16, 116))),
        hot=(1000, 990, 1012),
        evictions=((1, Moment(6, 40)),),
    ),
    Workload(
        "todo",
        "StatefulSet",
        "database",
        2,
        (
            Container(
                "postgres", "docker.io/library/postgres", (500, 1000), (1024, 2048), 310, 900, _DATABASE, days=160, slow=100, follow=60
            ),
        ),
        (0, 3),
        (Revision("16.4"),),
        hot=(1000, 480),
    ),
    Workload(
        "todo",
        "Deployment",
        "worker",
        3,
        (
            Container(
                "worker",
                f"{_HOME}/todo/worker",
                (250, 500),
                (256, 512),
                150,
                190,
                _OFFICE,
                days=420,
                surges=100,
                surge_steps=144,
                slow=200,
                fast=90,
            ),
        ),
        (4, 5, 3),
        (Revision("2.7.3"), Revision("2.8.0", Moment(16, 128))),
        hot=(800, 850, 1400),
    ),
    Workload(
        "todo",
        "CronJob",
        "nightly-report",
        1,
        (Container("report", f"{_HOME}/todo/report", (500, 1000), (512, 1024), 430, 380, follow=0, slow=80),),
        (4,),
        (Revision("2.7.3"), Revision("2.8.0", Moment(16, 0))),
        runs_at=12,
    ),
    Workload(
        "shop",
        "Deployment",
        "checkout",
        2,
        (Container("checkout", f"{_HOME}/shop/checkout", (100, 200), (192, 256), 340, 120, _SHOP, days=150, slow=90, fast=70),),
        (2, 3),
        (Revision("5.2.0"), Revision("5.2.1", Moment(22, 140))),
    ),
    Workload(
        "shop",
        "Deployment",
        "catalog",
        2,
        (Container("catalog", f"{_HOME}/shop/catalog", (250, 1000), (256, 512), 165, 210, Shape((70, *(100,) * 23)), slow=110),),
        (0, 1, 2, 3),
        (Revision("3.9.1"), Revision("3.10.0", Moment(10, 92))),
        extra=(
            ((0, 1, 2, 3, 4, 5, 6), 100, 270),
            ((0, 1, 2, 3, 4, 5, 6), 200, 262),
            ((4, 5, 6), 216, 258),
        ),
    ),
    Workload(
        "shop",
        "Deployment",
        "thumbnailer",
        2,
        (
            Container(
                "thumbnailer",
                f"{_HOME}/shop/thumbnailer",
                (300, 1000),
                (256, 384),
                230,
                300,
                _SHOP,
                days=260,
                slow=220,
                fast=80,
                follow=260,
            ),
        ),
        (4, 5),
        (Revision("0.18.2"), Revision("0.19.0", Moment(18, 98))),
        kills=tuple(
            (slot, Moment(ago, step))
            for slot, ago, step in ((0, 15, 238), (1, 13, 245), (0, 9, 231), (1, 5, 250), (0, 3, 242), (1, 2, 236))
        ),
    ),
    Workload(
        "shop",
        "Deployment",
        "search",
        1,
        (
            Container(
                "search",
                f"{_HOME}/shop/search",
                (300, 1000),
                (512, 1024),
                240,
                690,
                _SHOP,
                days=300,
                surges=80,
                surge_steps=144,
                slow=100,
                follow=80,
            ),
        ),
        (1,),
        (Revision("7.0.4"),),
    ),
    Workload(
        "shop",
        "StatefulSet",
        "cache",
        1,
        (Container("redis", "docker.io/library/redis", (250, 250), (512, 512), 38, 340, _SHOP, days=100, slow=60, follow=90),),
        (2,),
        (Revision("7.4.1"),),
    ),
    Workload(
        "shop",
        "Deployment",
        "webhooks",
        2,
        (Container("webhooks", f"{_HOME}/shop/webhooks", (100, None), (96, 192), 20, 70, _SHOP, days=300, slow=90, bursts=14, surges=90),),
        (5, 4),
        (Revision("1.3.0"),),
        crashes=((0, Moment(20, 61)), (1, Moment(8, 201))),
    ),
    Workload(
        "shop",
        "Deployment",
        "assistant",
        2,
        (Container("assistant", f"{_HOME}/shop/assistant", (400, 800), (768, 1024), 150, 500, _OFFICE, days=250, slow=150),),
        (0, 2),
        (Revision("0.1.0"),),
        since=Moment(3, 114),
    ),
    Workload(
        "identity",
        "Deployment",
        "keycloak",
        2,
        (
            Container(
                "keycloak",
                "quay.io/keycloak/keycloak",
                (500, 2000),
                (1280, 1536),
                220,
                1190,
                _OFFICE,
                follow=10,
                days=90,
                slow=40,
                startup=6000,
            ),
        ),
        (1, 3),
        (Revision("26.0.5"), Revision("26.0.7", Moment(12, 80))),
    ),
    Workload(
        "platform",
        "DaemonSet",
        "node-agent",
        6,
        (Container("agent", f"{_HOME}/platform/node-agent", (100, 200), (128, 256), 28, 96, _STEADY, slow=80, follow=40),),
        (0, 1, 2, 3, 4, 5),
        (Revision("4.1.0"), Revision("4.2.0", Moment(21, 84))),
        hot=(1000, 1040, 980, 1010, 900, 920),
    ),
    Workload(
        "platform",
        "StatefulSet",
        "metrics",
        1,
        (
            Container(
                "prometheus",
                "quay.io/prometheus/prometheus",
                (500, 1000),
                (1536, 3072),
                240,
                1380,
                _QUIET,
                days=60,
                slow=90,
                follow=30,
                leak=4,
            ),
        ),
        (0,),
        (Revision("v2.55.0", memory=(1024, 2048)), Revision("v2.55.1", Moment(13, 105))),
    ),
    Workload(
        "platform",
        "Deployment",
        "ingress",
        2,
        (Container("controller", "registry.k8s.io/ingress-nginx/controller", (200, None), (256, 512), 95, 150, _SHOP, days=120, slow=90),),
        (3, 0),
        (Revision("v1.11.3"),),
        evictions=((0, Moment(14, 131)),),
    ),
    Workload(
        "kube-system",
        "Deployment",
        "coredns",
        2,
        (Container("coredns", "registry.k8s.io/coredns/coredns", (100, None), (70, 170), 6, 28, _QUIET, slow=60, follow=30),),
        (1, 2),
        (Revision("v1.11.3"),),
    ),
    Workload(
        "staging",
        "Deployment",
        "frontend",
        1,
        (Container("frontend", f"{_HOME}/todo/frontend", (200, 500), (128, 256), 4, 48, _OFFICE, days=700, surges=180, slow=300),),
        (5,),
        (Revision("1.15.0"), Revision("1.15.1", Moment(12, 130)), Revision("1.16.0-rc.1", Moment(4, 123))),
    ),
    Workload(
        "staging",
        "Deployment",
        "backend",
        1,
        (Container("backend", f"{_HOME}/todo/backend", (500, 2000), (1024, 4096), 6, 138, _OFFICE, days=700, slow=300, leak=12),),
        (4,),
        (Revision("2.8.0"), Revision("2.9.0-rc.1", Moment(12, 135)), Revision("2.9.0-rc.2", Moment(4, 128))),
    ),
    Workload(
        "staging",
        "Deployment",
        "smtp",
        1,
        (Container("smtp", "docker.io/axllent/mailpit", (None, None), (None, None), 2, 14, _QUIET, slow=100),),
        (5,),
        (Revision("v1.21"),),
    ),
    Workload(
        "staging",
        "Pod",
        "debug-shell",
        1,
        (Container("shell", "docker.io/library/alpine", (50, 100), (64, 128), 1, 6, slow=50, follow=0),),
        (4,),
        (Revision("3.20"),),
        since=Moment(9, 176),
    ),
)

HPAS = (Hpa("shop", "catalog", "catalog", 60, 2, 6),)

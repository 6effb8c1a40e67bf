"""The demo's story of a saving: what a decision freed on nodes of their own, what grew into it, and what scales the nodes.

Six transcoders of 1600m/3Gi fill three nodes, two on each. A decision lowers them to 600m/1Gi, with which all six and both packagers would
fit on one node. In the days after it two more transcoders and a captioner that nobody had before come, and a week later one node goes, not
two: what is there now fits on two nodes and on no fewer. So one node is saved where requests times price promised one and a half.

And of a saving that waits: eight pods of 1500m on four nodes for analytics. If both of their Deployments asked for what they need, two
nodes would hold them; one is kept for the loss of another, so one can go. One of the two changes alone frees none.
"""

from __future__ import annotations

from aiops_analysis.sources.demo_model import Container, Moment, Revision, Workload
from aiops_analysis.sources.demo_places import STEADY

__all__ = ["CHANGED", "MEDIA"]

_HOME = "registry.demo.example/media"
#: When the cluster got the transcoder's new requests.
CHANGED = Moment(14)

MEDIA = (
    Workload(
        "media",
        "Deployment",
        "transcoder",
        8,
        (Container("transcoder", f"{_HOME}/transcoder", (1600, 3200), (3072, 4096), 290, 680, STEADY, slow=60, fast=60, follow=60),),
        (7, 8, 9),
        (Revision("4.2.0"), Revision("4.2.0", CHANGED, cpu=(600, 1775), memory=(1024, 2048))),
        later=((6, Moment(13, 100)), (7, Moment(12, 62))),
        refuge=(7, 8),
        surge=False,
    ),
    Workload(
        "media",
        "Deployment",
        "packager",
        2,
        (Container("packager", f"{_HOME}/packager", (150, 450), (192, 384), 73, 126, STEADY, slow=60, fast=60, follow=40),),
        (7, 8),
        (Revision("1.9.3"),),
    ),
    Workload(
        "media",
        "Deployment",
        "captioner",
        1,
        (Container("captioner", f"{_HOME}/captioner", (250, 750), (256, 512), 110, 160, STEADY, slow=60, fast=60, follow=40),),
        (7,),
        (Revision("0.3.0"),),
        since=Moment(12, 90),
    ),
    Workload(
        "analytics",
        "Deployment",
        "query",
        4,
        (Container("query", "registry.demo.example/analytics/query", (1500, 4000), (3072, 6144), 290, 860, STEADY, slow=60, fast=60),),
        (10, 11, 12, 13),
        (Revision("3.1.4"),),
    ),
    Workload(
        "analytics",
        "Deployment",
        "ingest",
        4,
        (Container("ingest", "registry.demo.example/analytics/ingest", (1500, 4000), (3072, 6144), 260, 790, STEADY, slow=60, fast=60),),
        (10, 11, 12, 13),
        (Revision("2.0.1"),),
    ),
    Workload(
        "kube-system",
        "Deployment",
        "cluster-autoscaler",
        1,
        (
            Container(
                "cluster-autoscaler",
                "registry.k8s.io/autoscaling/cluster-autoscaler",
                (50, 150),
                (256, 512),
                24,
                170,
                STEADY,
                slow=60,
                follow=30,
            ),
        ),
        (3,),
        (Revision("v1.33.1"),),
    ),
)

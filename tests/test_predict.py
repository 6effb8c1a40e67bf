"""What manifests cost against what runs, whether they fit, and how it is said: workflow, comment, JSON, exit codes."""

from __future__ import annotations

import io
import json
import math
import shlex
import sys
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from aiops_analysis import cli
from aiops_analysis.cli.predict import predict
from aiops_analysis.core.errors import NotEnoughData
from aiops_analysis.core.manifest import Asked
from aiops_analysis.core.pricing import OPENCOST, PriceList
from aiops_analysis.core.schema import HPAS, INVENTORY, NODES, blank, check
from aiops_analysis.core.units import GIB
from aiops_analysis.core.window import Window
from aiops_analysis.evidence.predicted import MOST, predicted_json, predicted_markdown
from aiops_analysis.history.inventory import commit_frame
from aiops_analysis.history.store import Manifest, Store, open_store
from aiops_analysis.workflows.predict import Predicted, Prediction, predicted
from aiops_analysis.workflows.pricing import priced
from tests.frames import HOSTILE

DAY = date(2026, 11, 1)
START, END = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 2, tzinfo=UTC)
WINDOW = Window.of_days(DAY, 1)
#: A core and a GiB cost 1 a month.
UNITS = PriceList("price-sheet", "price sheet p.toml", "EUR", 1 / 730, 1 / 730)
ROOT = Path(__file__).resolve().parents[1]


def pod(name: str, workload: str = "web", kind: str = "Deployment", cpu: float = 0.5, **more: object) -> dict[str, object]:
    about = {"namespace": "shop", "pod": name, "uid": name, "container": "app", "role": "app", "workload_kind": kind, "workload": workload}
    return blank(INVENTORY) | about | {"cpu_request": cpu, "memory_request": GIB, "node": "a", "first_seen": START, "last_seen": END} | more


def node(name: str, **more: object) -> dict[str, object]:
    sizes = {"cpu_capacity": 4.0, "cpu_allocatable": 4.0, "memory_capacity": 8.0 * GIB, "memory_allocatable": 8.0 * GIB}
    seen = {"pods_allocatable": 10.0, "first_seen": START, "last_seen": END}
    return blank(NODES) | {"node": name, "pool": "p", "instance_type": "m"} | sizes | seen | more


def stored(folder: Path, pods: list[dict[str, object]], nodes: list[dict[str, object]], hpas: list[dict[str, object]] = []) -> Store:  # noqa: B006
    store = open_store(folder, "prod")
    with store.lock():
        for kind, contract, rows in (("inventory", INVENTORY, pods), ("nodes", NODES, nodes), ("hpas", HPAS, hpas)):
            commit_frame(store, Manifest(kind, DAY), check(pd.DataFrame(rows, columns=list(contract.columns)), contract))
    return store


def asked(name: str = "web", kind: str = "Deployment", replicas: int | None = None, cpu: float = 1.0, gib: float = 1.0) -> Asked:
    return Asked("a.yaml", "shop", kind, name, replicas, cpu, gib * GIB)


def of(store: Store, *given: Asked, prices: PriceList = UNITS) -> Prediction:
    return predicted(store, WINDOW, given, priced(store, WINDOW, prices), {"Service": 1})


def test_a_change_costs_the_difference_of_its_requests(tmp_path: Path) -> None:
    store = stored(tmp_path, [pod("x"), pod("y")], [node("a"), node("b")])
    found = of(store, asked(replicas=3, cpu=1.0, gib=0.5))
    (one,) = found.workloads
    # now 2 x (0.5 + 1), then 3 x (1 + 0.5), where a core and a GiB cost 1 a month
    assert (one.state, one.pods_now, one.pods_then, one.cpu_now, one.cpu_then) == ("changed", 2.0, 3.0, 0.5, 1.0)
    assert (one.month_now, one.month_then, one.difference) == (pytest.approx(3.0), pytest.approx(4.5), pytest.approx(1.5))
    assert (one.fits, one.placed, one.wanted, one.why) == ("yes", 3, 3, "")
    assert (found.difference, found.currency, found.day, found.unschedulable) == (pytest.approx(1.5), "EUR", "2026-11-01", 0)
    assert (found.price_source, found.others) == ("price sheet p.toml", {"Service": 1})


def test_what_a_mesh_adds_is_not_saved_by_a_manifest_that_cannot_name_it(tmp_path: Path) -> None:
    mesh = pod("x", container="istio-proxy", cpu=0.1, memory_request=0.125 * GIB)
    store = stored(tmp_path, [pod("x"), mesh], [node("a")])
    # 0.5 + 1 becomes 0.25 + 0.5; the proxy's 0.1 + 0.125 stays
    (one,) = of(store, replace(asked(replicas=1, cpu=0.25, gib=0.5), containers=("app",))).workloads
    assert (one.month_now, one.month_then, one.difference) == (pytest.approx(1.725), pytest.approx(0.975), pytest.approx(-0.75))
    assert one.notes == ("istio-proxy is added to its pods by somebody else and counts as it is now",)
    (one,) = of(store, replace(asked(replicas=1, cpu=0.25, gib=0.5), containers=("app", "istio-proxy"))).workloads
    assert (one.difference, one.notes) == (pytest.approx(-0.975), ())


def test_the_guides_change_at_the_default_prices(tmp_path: Path) -> None:
    # 500m/1Gi is 14.63 a month, 100m/256Mi is 3.08: 11.55 less (methods.md B3)
    (one,) = of(stored(tmp_path, [pod("x")], [node("a")]), asked(replicas=1, cpu=0.1, gib=0.25), prices=OPENCOST).workloads
    assert (one.month_now, one.month_then) == (pytest.approx(14.63, abs=0.005), pytest.approx(3.08, abs=0.005))


def test_what_is_new_and_what_stays_the_same(tmp_path: Path) -> None:
    store = stored(tmp_path, [pod("x")], [node("a")])
    found = {one.name: one for one in of(store, asked("new", cpu=0.5), asked("web", replicas=1, cpu=0.5)).workloads}
    assert (found["new"].state, found["new"].month_now, found["new"].difference) == ("new", 0.0, pytest.approx(1.5))
    assert math.isnan(found["new"].cpu_now)
    assert (found["web"].state, found["web"].difference) == ("same", pytest.approx(0.0))


def test_the_present_replicas_count_where_the_manifest_or_an_autoscaler_says_so(tmp_path: Path) -> None:
    hpa = blank(HPAS) | {
        "namespace": "shop",
        "hpa": "web",
        "target_kind": "Deployment",
        "target": "web",
        "first_seen": START,
        "last_seen": END,
    }
    store = stored(tmp_path, [pod("x"), pod("y"), pod("z", "api")], [node("a"), node("b")], [hpa])
    web, api = (one for name in ("web", "api") for one in of(store, asked(name, replicas=9 if name == "web" else None)).workloads)
    assert (web.pods_then, web.notes) == (2.0, ("scaled by the autoscaler web: its present 2 pods count, not the 9 of the manifest",))
    assert (api.pods_then, api.notes) == (1.0, ("the manifest names no replicas: the present 1 count",))


def test_a_job_costs_only_while_it_runs(tmp_path: Path) -> None:
    # one hour of one pod in 24 hours: 1/24 of a pod on average; 2 cores and 1 GiB then cost 3/24 a month
    hour = pod("job", "report", "CronJob", first_seen=START, last_seen=START + timedelta(hours=1))
    store = stored(tmp_path, [hour, pod("x")], [node("a")])
    known, never = of(store, asked("report", "CronJob", 1, cpu=2.0), asked("zero", "Job", 1)).workloads
    assert (known.month_now, known.month_then) == (pytest.approx(1.5 / 24), pytest.approx(3 / 24))
    assert known.wanted == 1
    assert math.isnan(never.difference)
    assert never.notes == ("a Job costs only while it runs: how long it runs is not known",)


def test_a_daemon_has_a_pod_on_every_node(tmp_path: Path) -> None:
    store = stored(tmp_path, [pod("d", "agent", "DaemonSet")], [node("a"), node("b")])
    (one,) = of(store, asked("agent", "DaemonSet", cpu=0.5)).workloads
    assert (one.pods_now, one.pods_then, one.difference) == (1.0, 2.0, pytest.approx(1.5))


def test_pods_that_fit_nowhere(tmp_path: Path) -> None:
    store = stored(tmp_path, [pod("x"), pod("other", "db", cpu=3.0)], [node("a")])
    found = of(store, asked(replicas=3, cpu=0.5), asked("huge", replicas=1, cpu=64.0))
    huge, web = found.workloads
    # 4 cores less 3 of db: two pods of half a core
    assert (web.fits, web.placed, web.wanted) == ("no", 2, 3)
    assert (huge.fits, huge.placed) == ("no", 0)
    assert "1 too little CPU" in huge.why
    assert found.unschedulable == 2


def test_a_rollout_without_room_beside_the_old_pods_is_said(tmp_path: Path) -> None:
    store = stored(tmp_path, [pod("x", cpu=3.0)], [node("a")])
    (one,) = of(store, asked(replicas=1, cpu=2.0)).workloads
    assert one.fits == "yes"
    assert one.notes == ("no node has room for a new pod beside the old ones: a rollout must let one of these go first",)


def test_rules_that_prometheus_alone_does_not_tell_are_named(tmp_path: Path) -> None:
    (one,) = of(stored(tmp_path, [pod("x")], [node("a")]), asked()).workloads
    assert one.unknown == ("taints of the nodes",)
    (told,) = of(stored(tmp_path / "api", [pod("x")], [node("a", labels="{}", taints="[]")]), asked()).workloads
    assert told.unknown == ()


def test_a_pod_is_priced_by_the_nodes_that_it_may_run_on(tmp_path: Path) -> None:
    from aiops_analysis.core.pricing import PriceRow

    prices = PriceList(
        "price-sheet", "s", "EUR", rows=tuple(PriceRow(math.nan, node=n, cpu_hour=p / 730, memory_hour=p / 730) for n, p in COSTS)
    )
    nodes = [node(name, labels=json.dumps({"disk": name}), taints="[]") for name, _ in COSTS]
    store = stored(tmp_path, [pod("x")], nodes)
    new = Asked("a.yaml", "shop", "Deployment", "new", 1, 1.0, GIB, node_selector={"disk": "b"})
    both, there, moved = (of(store, one, prices=prices).workloads[0] for one in (asked("new"), asked(replicas=1), new))
    assert both.month_then == pytest.approx(2 * 2.0)  # the mean of both nodes, a core and a GiB
    assert there.month_then == pytest.approx(2 * 1.0)  # where its pods run
    assert moved.month_then == pytest.approx(2 * 3.0)


COSTS = (("a", 1.0), ("b", 3.0))


def test_f29_without_a_price_the_cost_is_not_known_and_never_zero(tmp_path: Path) -> None:
    store = stored(tmp_path, [pod("x")], [node("a")])
    found = of(store, asked(replicas=2), prices=PriceList("price-sheet", "s", "EUR"))
    (one,) = found.workloads
    assert (math.isnan(one.month_now), math.isnan(one.month_then), math.isnan(found.difference)) == (True, True, True)
    assert "the cost of 1 workload is not known" in predicted_markdown(found).lower()
    assert predicted_json(found)["without_cost"] == 1


def test_a_history_without_pods_or_without_nodes(tmp_path: Path) -> None:
    with pytest.raises(NotEnoughData, match="holds no pods of the window"):
        of(open_store(tmp_path / "none", "prod"), asked())
    found = of(stored(tmp_path, [pod("x")], []), asked(), asked("agent", "DaemonSet"))
    assert [one.fits for one in found.workloads] == ["unknown", "unknown"]
    assert found.unschedulable == 0
    assert "whether the pods fit is not known" in predicted_markdown(found)


def row(**more: object) -> Predicted:
    about = {"namespace": "n", "kind": "Deployment", "name": "w", "state": "changed", "fits": "yes", "why": "", "unknown": (), "notes": ()}
    numbers = dict.fromkeys(("pods_now", "pods_then", "cpu_now", "cpu_then", "memory_now", "memory_then", "month_now", "month_then"), 1.0)
    return Predicted(**(about | numbers | {"wanted": 1, "placed": 1} | more))


def prediction(*rows: Predicted, cluster: str = "c", **more: object) -> Prediction:
    return Prediction(
        **({"cluster": cluster, "day": "d", "currency": "EUR", "price_source": "s", "workloads": rows, "others": {}, "findings": ()} | more)
    )


def test_f41_hostile_names_are_code_or_escaped_in_the_comment() -> None:
    rows = [row(namespace=text, kind=text, name=text, why=text, unknown=(text,), notes=(text,), fits="no", placed=0) for text in HOSTILE]
    found = prediction(
        *rows, cluster=HOSTILE[0], price_source=HOSTILE[1], others={HOSTILE[2]: 1}, findings=({"code": "x", "message": HOSTILE[3]},)
    )
    text = predicted_markdown(found, [HOSTILE[0]])
    ours = text.replace(text.split("\n", 1)[0], "", 1).replace("<sub>", "").replace("</sub>", "")
    assert "<" not in ours
    assert "\x00" not in text
    assert "\u202e" not in text
    assert "](" not in text
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    assert {line.count("|") for line in lines} == {9}


def test_the_comment_stays_short_enough_for_a_forge() -> None:
    rows = [row(name="w" * 70 + str(i), notes=("n" * 300,), why="y" * 300, unknown=("u" * 300 + str(i),)) for i in range(2000)]
    text = predicted_markdown(prediction(*rows))
    assert len(text) <= MOST
    assert "more workloads are in the JSON" in text.replace("\u00a0", " ")


# --- the command line ---


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AIOPS_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    return tmp_path


def ends(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = cli.main(["predict", *words])
    return code, *capsys.readouterr()


EXAMPLE = str(ROOT / "docs" / "predict.yaml")


def test_the_example_of_the_help_runs_on_the_demo(capsys: pytest.CaptureFixture[str], home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    line = next(line for line in (predict.__doc__ or "").splitlines() if "Example:" in line)
    code, out, _ = ends(capsys, *shlex.split(line.partition("predict ")[2]))
    assert code == 0
    assert "`todo/backend` Deployment" in out
    assert "`todo/importer` Deployment (new)" in out
    assert "every pod fits on the present nodes" in out


def test_json_is_one_document(capsys: pytest.CaptureFixture[str], home: Path) -> None:
    code, out, err = ends(capsys, EXAMPLE, "--json", "--cluster", "demo")
    assert (code, err) == (0, "")
    document = json.loads(out)
    assert [one["name"] for one in document["workloads"]] == ["backend", "importer"]
    assert document["workloads"][1]["cpu_then"] == 0.5  # the init container needs more than the app
    assert document["difference"] == pytest.approx(sum(one["difference"] for one in document["workloads"]))


def test_fail_on_ends_with_1_and_says_why(capsys: pytest.CaptureFixture[str], home: Path) -> None:
    big = home / "big.yaml"
    big.write_text(Path(EXAMPLE).read_text().replace("cpu: 200m", 'cpu: "64"'))
    code, out, err = ends(capsys, str(big), "--fail-on", "cost=10", "--fail-on", "unschedulable")
    assert code == 1
    assert err.splitlines()[-1] == "failed: 2 pods fit on no present node"
    assert "a month more, the bound is 10" in err
    assert "**Failed: 2 pods fit on no present node**" in out
    code, out, _ = ends(capsys, str(big), "--fail-on", "unschedulable", "--json")
    assert (code, json.loads(out)["failed"]) == (1, ["2 pods fit on no present node"])
    assert ends(capsys, str(big), "--fail-on", "cost=1000000")[0] == 0
    assert ends(capsys, str(big))[0] == 0
    (home / "p.toml").write_text('currency = "EUR"\n[[price]]\npool = "none"\nprice_hour = 1.0\n')
    code, _, err = ends(capsys, EXAMPLE, "--prices", "p.toml", "--fail-on", "cost=10")
    assert code == 1
    assert "2 workloads have no price, so that the bound of 10 cannot be checked" in err


def test_folders_and_standard_input(capsys: pytest.CaptureFixture[str], home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = home / "manifests" / "inner"
    folder.mkdir(parents=True)
    (folder / "a.yml").write_text(Path(EXAMPLE).read_text())
    (folder / "notes.txt").write_text("{{ .Values.x }}")
    assert ends(capsys, str(home / "manifests"))[0] == 0
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(Path(EXAMPLE).read_bytes())))
    assert ends(capsys, "-")[0] == 0


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([], 2, "MANIFEST"),
        (["none.yaml"], 2, "none.yaml is not there"),
        ([".git"], 2, "is not there"),
        ([EXAMPLE, "--fail-on", "cost"], 2, "--fail-on is 'cost', expected unschedulable, or cost=AMOUNT"),
        ([EXAMPLE, "--fail-on", "cost=-1"], 2, "expected unschedulable"),
        ([EXAMPLE, "--fail-on", "cost=1e3"], 2, "expected unschedulable"),
        ([EXAMPLE, "--prices", "none"], 2, "is not there"),
        ([EXAMPLE, "--cluster", "empty"], 4, "no history"),
    ],
)
def test_wrong_use(
    capsys: pytest.CaptureFixture[str], home: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], code: int, said: str
) -> None:
    monkeypatch.chdir(home)
    ended, out, err = ends(capsys, *words)
    assert (ended, out) == (code, "")
    assert said in err


def test_f50_files_that_are_no_manifests(capsys: pytest.CaptureFixture[str], home: Path) -> None:
    (home / "empty").mkdir()
    assert "holds no .yaml, .yml or .json file" in ends(capsys, str(home / "empty"))[2]
    (home / "latin.yaml").write_bytes(b"kind: \xe4")
    assert "is not UTF-8 text (byte 6)" in ends(capsys, str(home / "latin.yaml"))[2]
    (home / "large.yaml").write_bytes(b"#" * (8 * 2**20 + 1))
    assert "larger than 8 MiB" in ends(capsys, str(home / "large.yaml"))[2]

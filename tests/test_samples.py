"""How far apart samples are: scrape intervals that are too long or change, and stores that kept averages (rows 24 and 25)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from aiops_analysis.core.errors import BadAnswer, QueryTooLarge, SourceRefused
from aiops_analysis.core.redact import Redactor
from aiops_analysis.core.window import Window
from aiops_analysis.history.store import open_store
from aiops_analysis.sources.flavours import Flavour
from aiops_analysis.sources.http import Server
from aiops_analysis.sources.prometheus import Prometheus
from aiops_analysis.sources.promql import Scope
from aiops_analysis.sources.samples import spacing, spacing_of
from aiops_analysis.workflows.pull import pull
from tests import servers

T0 = 1_793_491_200  # 2026-11-01 00:00 UTC
DAY_S = 86_400
END = datetime.fromtimestamp(T0 + DAY_S, UTC)
TWO, THREE = Flavour("prometheus", "2.53.2"), Flavour("prometheus", "3.5.0")


def every(seconds: float, start: float = 0, end: float = DAY_S, offset: float = 17.3) -> np.ndarray:
    """Scrapes from ``start`` to ``end`` of the day, off the round minutes as real ones are."""
    return T0 + np.arange(start + offset, end, seconds)


def windows(seconds: int) -> np.ndarray:
    """Samples as Thanos places them: on the last millisecond of each window."""
    return T0 + np.arange(seconds, DAY_S + 1, seconds) - 0.001


@pytest.mark.parametrize("seconds", [15, 30, 60, 75])
def test_four_samples_in_a_rate_window_are_enough(seconds: int) -> None:
    found = spacing([every(seconds)])
    assert (found.interval_s, found.resolution_s, found.too_long, found.changed) == (pytest.approx(seconds), 0, False, False)
    assert found.texts(TWO) == found.texts(THREE) == ()
    assert found.as_source() == {"scrape_interval_s": str(seconds), "resolution_s": "0"}


@pytest.mark.parametrize("seconds", [76, 120, 300])
def test_f24_an_interval_that_is_too_long(seconds: int) -> None:
    found = spacing([every(seconds)])
    assert found.texts(TWO) == (f"scraped every {seconds} s: a 5-minute rate has too few samples; scrape cAdvisor at least every 75 s",)
    assert found.resolution_s == 0


def test_f24_on_prometheus_3_a_window_as_long_as_the_interval_holds_one_sample() -> None:
    (text,) = spacing([every(300)]).texts(THREE)
    assert "a 5-minute rate holds one sample, which gives no rate (Prometheus 3 leaves out the left edge)" in text
    assert "has too few samples" in spacing([every(120)]).texts(THREE)[0]


@pytest.mark.parametrize("hour", [2, 12, 15, 22])
def test_f24_an_interval_that_changes_during_the_day(hour: int) -> None:
    found = spacing([np.concatenate([every(60, 0, hour * 3600), every(300, hour * 3600)])])
    assert found.changed
    assert found.texts(TWO)[0].startswith("scraped every 60 s and every 300 s: a 5-minute rate has too few samples")
    assert found.as_source()["scrape_interval_s"] == "300"


def test_a_change_between_short_intervals_needs_no_words() -> None:
    found = spacing([np.concatenate([every(15, 0, 43_200), every(30, 43_200)])])
    assert (found.changed, found.texts(TWO)) == (True, ())


@pytest.mark.parametrize("seconds", [300, 3600])
def test_f25_blocks_that_thanos_reduced(seconds: int) -> None:
    found = spacing([windows(seconds)])
    assert found.resolution_s == seconds
    (text,) = found.texts(Flavour("thanos", "0.36.1"))
    assert text.startswith(f"downsampled: one value every {seconds} s instead of each scrape")
    assert found.as_source() == {"scrape_interval_s": f"{seconds}", "resolution_s": f"{seconds}"}


def test_f25_scraped_every_five_minutes_is_not_reduced() -> None:
    assert spacing([every(300)]).resolution_s == 0
    # and not when scrapes fall on round minutes, as recording rules and backfilled samples do
    assert spacing([T0 + np.arange(0, DAY_S, 300.0)]).resolution_s == 0


def test_f25_a_store_that_keeps_the_last_of_ten_minutes() -> None:
    # nobody scrapes less often than every five minutes, so this is a store's doing
    assert spacing([every(600)]).resolution_s == 600


def test_f25_reduced_in_the_older_half_of_the_day() -> None:
    found = spacing([np.concatenate([windows(300)[:144], every(30, 43_200)])])
    assert (found.interval_s, found.shortest_s) == (pytest.approx(300), pytest.approx(30))
    assert found.resolution_s == 0  # mostly as scraped; the interval still marks the day
    assert found.too_long


def test_holes_and_lost_scrapes_are_no_interval() -> None:
    rng = np.random.default_rng(1)
    some = every(60)[rng.random(1440) > 0.2]  # every fifth scrape failed
    # hole of 83 minutes that ends with two scrapes before the next full two hours
    hole = np.concatenate([every(60, 0, 36_000), every(60, 43_080)])
    for times in (some, hole, some[(some < T0 + 7200) | (some > T0 + 50_000)]):
        assert spacing([times]).interval_s == pytest.approx(60)


def test_jitter_of_cadvisor_is_no_interval() -> None:
    times = every(60) + np.random.default_rng(2).uniform(-8, 8, 1440)
    assert spacing([times]).interval_s == pytest.approx(60, abs=4)
    assert not spacing([times]).too_long


@pytest.mark.parametrize("times", [[], [np.array([])], [np.array([T0 + 60.0])], [np.array([T0 + 60.0, T0 + 120.0])]])
def test_too_few_samples_say_nothing(times) -> None:
    found = spacing(times)
    assert not found.known
    assert (found.as_source(), found.texts(TWO), found.changed, found.too_long) == ({}, (), False, False)


class Refusing:
    """A source that answers the first question and not the others."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def instant(self, query: str, at: datetime):
        raise self.error

    series = instant


def test_a_question_that_is_refused_for_its_size_costs_nothing() -> None:
    for error in (QueryTooLarge("x"), BadAnswer("x")):
        assert not spacing_of(Refusing(error), END, Scope()).known
    with pytest.raises(SourceRefused):
        spacing_of(Refusing(SourceRefused("x")), END, Scope())


# --- real servers ----------------------------------------------------------------------------------------------------------------------

KINDS = {
    "good": every(60),
    "slow": every(300),
    "half": np.concatenate([every(60, 0, 43_200), every(300, 43_200)]),
    "five-minutes": windows(300),
    "hours": windows(3600),
}
EXPECTED = {"good": (60, 0), "slow": (300, 0), "half": (300, 0), "five-minutes": (300, 300), "hours": (3600, 3600)}


def lines(unit: int) -> list[str]:
    """Three containers in each namespace; timestamps in seconds for Prometheus (1), in milliseconds for VictoriaMetrics (1000)."""
    out = []
    for metric, slope in (("container_memory_working_set_bytes", 0.0), ("container_cpu_usage_seconds_total", 0.25)):
        out.append(f"# TYPE {metric.removesuffix('_total')} {'counter' if slope else 'gauge'}")
        for namespace, times in KINDS.items():
            for pod in ("a", "b", "c"):
                labels = f'namespace="{namespace}",pod="{pod}",container="app",image="i",instance="n1"'
                for stamp in times:
                    shown = f"{stamp:.3f}" if unit == 1 else f"{stamp * 1000:.0f}"
                    out.append(f"{metric}{{{labels}}} {float(1e8 + slope * (stamp - T0))!r} {shown}")
    return out


@pytest.fixture(scope="module")
def blocks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("spacing")
    (folder / "all.om").write_text("\n".join([*lines(1), "# EOF\n"]))
    servers.create_blocks(folder / "all.om", folder / "blocks")
    return folder / "blocks"


def assert_all(source: Prometheus) -> None:
    for namespace, (interval, resolution) in EXPECTED.items():
        found = spacing_of(source, END, Scope(namespaces=(namespace,)))
        assert (found.interval_s, found.resolution_s) == (pytest.approx(interval, abs=0.01), resolution), namespace
    # without a namespace the smallest that has three containers is looked at
    assert spacing_of(source, END, Scope()).known
    assert not spacing_of(source, END - timedelta(days=9), Scope()).known  # nothing was there yet


@pytest.mark.server
def test_f24_f25_on_a_real_prometheus(blocks: Path, prometheus_server) -> None:
    source = Prometheus(Server(prometheus_server(blocks).url), Redactor())
    assert_all(source)
    source.close()


@pytest.mark.server
def test_f24_f25_on_a_real_victoria(victoria_server) -> None:
    server = victoria_server()
    servers.import_text(server, "\n".join(line for line in lines(1000) if not line.startswith("#")).encode())
    source = Prometheus(Server(server.url), Redactor())
    assert_all(source)
    source.close()


@pytest.mark.server
def test_f24_the_day_is_stored_and_marked(blocks: Path, prometheus_server, tmp_path: Path) -> None:
    source = Prometheus(Server(prometheus_server(blocks).url), Redactor())
    window, now = Window.of_days(END.date() - timedelta(days=1), 1), END + timedelta(hours=1)
    for namespace, words in {
        "half": "scraped every 60 s and every 300 s",
        "hours": "downsampled: one value every 3600 s",
        "good": "",
    }.items():
        store = open_store(tmp_path, namespace)
        done = pull(store, source, window, now=now, scope=Scope(namespaces=(namespace,)))
        day = END.date() - timedelta(days=1)
        assert list(done.stored) == [day]
        cpu, inventory = store.manifest("cpu_usage", day), store.manifest("inventory", day)
        interval, resolution = EXPECTED[namespace]
        assert (cpu.source["scrape_interval_s"], cpu.source["resolution_s"]) == (str(interval), str(resolution))
        assert any(text.startswith(words) for text in cpu.infos) is bool(words)
        assert [days for text, days in done.marked.items() if text.startswith(words)] == ([[day]] if words else [])
        assert cpu.warnings == ()  # a mark is no reason to ask for the day again
        assert inventory.infos == ()
    source.close()

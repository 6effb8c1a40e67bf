"""Servers that misbehave: the rows 1 to 10, 45 and 46 of the fault list, each variant its own test."""

from __future__ import annotations

import contextlib
import json
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
import trustme

from aiops_analysis.core.errors import AiopsError, BadAnswer, QueryTooLarge, SourceError, SourceRefused, SourceUnreachable
from aiops_analysis.core.redact import Redactor
from aiops_analysis.sources.http import Server
from aiops_analysis.sources.prometheus import Prometheus
from tests import servers
from tests.faults import server as fault

T0 = 1_793_491_200  # 2026-11-01 00:00 UTC
START, END = datetime.fromtimestamp(T0, UTC), datetime.fromtimestamp(T0 + 600, UTC)
ONE = ({"pod": "a"}, [(T0, "1"), (T0 + 300, "2"), (T0 + 600, "3")])
GOOD = fault.good(fault.matrix(ONE))
SECRET = "s3cr3t-canary-0123456789"


class Asked:
    """A client whose waits and words are kept instead of slept and shown."""

    def __init__(self, url: str, *, deadline_s: float = 300.0, clock=time.monotonic, sleep=None, **options) -> None:
        self.waits: list[float] = []
        self.told: list[str] = []
        self.redactor = Redactor()
        self.source = Prometheus(
            Server(url, **options),
            self.redactor,
            sleep=sleep or self.waits.append,
            progress=self.told.append,
            deadline_s=deadline_s,
            clock=clock,
        )

    def __enter__(self) -> Asked:
        return self

    def __exit__(self, *_) -> None:
        self.source.close()

    def ask(self, **options):
        return self.source.range("q", START, END, 300, **options)

    def failure(self, kind: type[AiopsError]) -> str:
        with pytest.raises(kind) as caught:
            self.ask()
        text = str(caught.value)
        assert "\n" not in text
        assert type(caught.value) is kind or kind is AiopsError or isinstance(caught.value, kind)
        return text


def assert_good(answer) -> None:
    assert answer.labels == [{"pod": "a"}]
    np.testing.assert_array_equal(answer.samples, np.array([[1, 2, 3]], np.float32))


# --- row 1: no connection ------------------------------------------------------------------------------------------------------------


def test_f01_nothing_listens() -> None:
    url = f"http://127.0.0.1:{servers.free_port()}"
    with Asked(url) as client:
        text = client.failure(SourceUnreachable)
    assert text.startswith(f"{url} cannot be reached: the connection is refused")
    assert "check the URL" in text
    assert client.source.requests_made == 2  # no storm: a wrong URL is told at once
    assert client.waits == []


def test_f01_no_such_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("no_proxy", "*")
    with Asked("http://no-such-host.invalid:9090") as client:
        text = client.failure(SourceUnreachable)
    assert "http://no-such-host.invalid:9090 cannot be reached: there is no such host" in text
    assert client.source.requests_made == 2


def test_f01_a_proxy_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = f"http://me:{SECRET}@127.0.0.1:{servers.free_port()}"
    monkeypatch.setenv("http_proxy", proxy)
    with Asked("http://prometheus.invalid:9090") as client:
        text = client.failure(SourceUnreachable)
        assert client.source.proxy == f"http://127.0.0.1:{urlsplit(proxy).port}"
    assert f"through the proxy http://127.0.0.1:{urlsplit(proxy).port}" in text
    assert SECRET not in text


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def certificate(authority: trustme.CA, *names: str, **options) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names, **options).configure_cert(context)
    return context


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> str:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


def test_f01_tls_works_with_the_authority(authority, ca_file) -> None:
    with fault.serve(GOOD, context=certificate(authority, "127.0.0.1")) as server, Asked(server.url, ca_file=ca_file) as client:
        assert_good(client.ask())


def test_f01_tls_unchecked_only_when_told(authority) -> None:
    with fault.serve(GOOD, context=certificate(authority, "127.0.0.1")) as server, Asked(server.url, insecure=True) as client:
        assert_good(client.ask())


@pytest.mark.parametrize(
    ("names", "options", "trusted", "words"),
    [
        (
            ["127.0.0.1"],
            {"not_after": datetime(2020, 1, 1, tzinfo=UTC), "not_before": datetime(2019, 1, 1, tzinfo=UTC)},
            True,
            "expired",
        ),
        (["other.example"], {}, True, "IP address mismatch"),
        (["127.0.0.1"], {}, False, "unable to get local issuer certificate"),
    ],
    ids=["expired", "wrong host", "unknown authority"],
)
def test_f01_bad_certificate(authority, ca_file, names, options, trusted, words) -> None:
    with (
        fault.serve(GOOD, context=certificate(authority, *names, **options)) as server,
        Asked(server.url, ca_file=ca_file if trusted else "", auth="bearer", token=SECRET) as client,
    ):
        text = client.failure(SourceUnreachable)
    assert f"the certificate of {server.url} is not accepted" in text
    assert words in text
    assert "ca_file" in text
    assert server.connections == 1  # never again, and never without the check
    assert server.seen == []
    assert SECRET not in text


def test_f01_tls_asked_of_a_plain_server() -> None:
    with fault.serve(GOOD) as server, Asked(server.url.replace("http:", "https:")) as client:
        text = client.failure(SourceUnreachable)
    assert "does not speak TLS" in text or "TLS could not be agreed" in text


# --- row 2: refused credentials ------------------------------------------------------------------------------------------------------

AUTHS = {
    "none": {},
    "basic": {"auth": "basic", "username": "reader", "password": SECRET},
    "bearer": {"auth": "bearer", "token": SECRET},
    "header": {"headers": {"X-Api-Key": SECRET}},
}


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("auth", AUTHS)
def test_f02_refused(status: int, auth: str) -> None:
    echo = fault.page(status, f"who is {SECRET}?", "text/plain")
    with fault.serve(echo) as server, Asked(server.url, **AUTHS[auth]) as client:
        text = client.failure(SourceRefused)
    named = {"none": "no credentials", "basic": "basic auth as 'reader'", "bearer": "a bearer token", "header": "no credentials"}
    assert f"{server.url} refuses access ({status}) with {named[auth]}" in text
    assert "check auth" in text
    assert SECRET not in text
    assert len(server.seen) == 1  # no retry


def test_f02_token_file_is_named_and_read_again(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("first-token\n")

    def renew(live, request, stop) -> None:
        token.write_text("second-token\n")  # replaced while the first one was on its way
        fault.page(401, "expired")(live, request, stop)

    with fault.serve(renew, GOOD, fault.page(401, "no")) as server, Asked(server.url, auth="bearer", token_file=str(token)) as client:
        assert_good(client.ask())
        assert f"a bearer token from the file {str(token)!r}" in client.failure(SourceRefused)
    assert [request.headers["authorization"] for request in server.seen] == ["Bearer first-token", *["Bearer second-token"] * 2]
    assert client.waits == []


def test_f02_proxy_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    with fault.serve(fault.page(407, "pay first")) as proxy:
        monkeypatch.setenv("http_proxy", f"http://me:{SECRET}@127.0.0.1:{proxy.port}")
        with Asked("http://prometheus.invalid:9090") as client:
            text = client.failure(SourceRefused)
    assert f"the proxy {proxy.url} in front of http://prometheus.invalid:9090 refuses us (407)" in text
    assert SECRET not in text


def test_f02_proxy_refuses_a_tunnel(monkeypatch: pytest.MonkeyPatch) -> None:
    with fault.serve(fault.page(407, "pay first")) as proxy:
        monkeypatch.setenv("https_proxy", proxy.url)
        with Asked("https://prometheus.invalid:9090") as client:
            text = client.failure(SourceRefused)
    assert f"the proxy {proxy.url} in front of https://prometheus.invalid:9090 refuses us (407)" in text


# --- row 3: not a Prometheus API ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (fault.page(404, "404 page not found", "text/plain"), "(got 404, text/plain): '404 page not found'"),
        (fault.page(200, "<html>\x1b[31mLog in</html>"), "(got text/html): '<html>\\\\x1b[31mLog in</html>'"),
        (fault.page(200, "<p>" + "x" * 500), "(got text/html): '<p>" + "x" * 77 + "'; check"),
        (fault.good({"kind": "Status", "status": "Failure"}), "(got JSON of another kind)"),
        (fault.good([]), "(got JSON of another kind): '[]'"),
        (fault.page(405, "only GET", "text/plain"), "(got 405, text/plain): 'only GET'"),
        (fault.page(200, "up 1\n", "text/plain"), "(got text/plain): 'up 1\\\\n'"),
    ],
    ids=["404", "login page", "long page", "other API", "list", "405", "metrics page"],
)
def test_f03_not_a_prometheus_api(answer, words: str) -> None:
    with fault.serve(answer) as server, Asked(server.url) as client:
        text = client.failure(BadAnswer)
        assert len(server.seen) == 1
    assert f"{server.url} is not a Prometheus API" in text
    assert words in text


@pytest.mark.parametrize("document", [{"status": "success"}, {"status": "success", "data": []}, fault.vector(({}, (T0, "1")))])
def test_f03_success_of_another_type(document) -> None:
    with fault.serve(fault.good(document)) as server, Asked(server.url) as client:
        assert "where a matrix was asked for" in client.failure(BadAnswer)


# --- row 4: busy servers --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [429, 503])
def test_f04_waits_as_told(status: int) -> None:
    with fault.serve(fault.page(status, "busy", Retry_After=5), GOOD) as server, Asked(server.url) as client:
        assert_good(client.ask())
    assert client.waits == [5.0]
    assert client.told == [f"{server.url}: server asks to wait 5 s ({status})"]


def test_f04_a_date_counts_from_the_servers_clock() -> None:
    busy = fault.page(503, "busy", Date="Sun, 01 Nov 2026 00:00:00 GMT", Retry_After="Sun, 01 Nov 2026 00:00:07 GMT")
    with fault.serve(busy, GOOD) as server, Asked(server.url) as client:
        assert_good(client.ask())
    assert client.waits == [7.0]


def test_f04_never_more_than_a_minute() -> None:
    with fault.serve(fault.page(429, "busy", Retry_After=86400), GOOD) as server, Asked(server.url) as client:
        assert_good(client.ask())
    assert client.waits == [60]
    assert client.told == [f"{server.url}: server asks to wait 86400 s (429); waiting 60 s"]


@pytest.mark.parametrize("retry_after", [{}, {"Retry_After": "soon"}], ids=["without", "unreadable"])
@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_f04_without_a_time_it_waits_longer_each_time(status: int, retry_after) -> None:
    busy = fault.page(status, "busy", **retry_after)
    with fault.serve(busy, busy, busy, busy, GOOD) as server, Asked(server.url) as client:
        assert_good(client.ask())
    # at once, then 2, 4 and 8 s with up to 1 s of jitter
    assert len(server.seen) == 5
    assert [low <= wait <= low + 1 for low, wait in zip((2, 4, 8), client.waits, strict=True)] == [True] * 3
    assert f"it answers {status}; trying again in" in client.told[0]


def test_f04_busy_for_ever() -> None:
    with fault.serve(fault.page(429, "slow down", "text/plain", Retry_After=9)) as server, Asked(server.url) as client:
        text = client.failure(SourceUnreachable)
    assert "answers 429" in text
    assert "slow down" in text
    assert (len(server.seen), client.waits) == (5, [9.0] * 4)


def test_f04_no_wait_beyond_the_deadline() -> None:
    with fault.serve(fault.page(503, "busy", Retry_After=50)) as server, Asked(server.url, deadline_s=20) as client:
        client.failure(SourceUnreachable)
    assert (len(server.seen), client.waits) == (1, [])


# --- row 5: too large -----------------------------------------------------------------------------------------------------------------


def day_server(limit_s: int, refuse, most_series: int = 99):
    """A server of three series in two namespaces that refuses ranges over ``limit_s`` and answers of too many series."""
    series = [{"namespace": "n", "pod": "a"}, {"namespace": "n", "pod": "b"}, {"namespace": "m", "pod": "c"}]

    def answer(live, request, stop) -> None:
        form = request.form
        start, end, step = int(form["start"]), int(form["end"]), int(form["step"])
        wanted = [s for s in series if f'namespace="{s["namespace"]}"' in form["query"] or "namespace" not in form["query"]]
        if end - start > limit_s or len(wanted) > most_series:
            refuse(live, request, stop)
            return
        rows = []
        for labels in wanted:
            times = range(start, end + 1, step)
            if labels["pod"] == "b":  # lives in the second half of the day only
                times = [t for t in times if t >= T0 + 43_200]
            if times:
                rows.append((labels, [(t, f"{(t - T0) / 7 + ord(labels['pod'])}") for t in times]))
        fault.good(fault.matrix(*rows))(live, request, stop)

    return answer


def whole_day(source: Prometheus, **options):
    return source.range("q", START + timedelta(seconds=300), START + timedelta(days=1), 300, **options)


MANY_SAMPLES = fault.refusal(422, "execution", "query processing would load too many samples into memory in query execution")
MANY_POINTS = fault.refusal(400, "bad_data", "exceeded maximum resolution of 11,000 points per timeseries.")
MIMIR = fault.refusal(422, "execution", "the query exceeded the maximum number of series (err-mimir-max-series-per-query)")
VICTORIA = fault.refusal(422, "422", "too many points for the given step; cannot exceed -search.maxPointsPerTimeseries=30000")


@pytest.fixture(scope="module")
def unsplit():
    with fault.serve(day_server(10**9, None)) as server, Asked(server.url) as client:
        answer = whole_day(client.source)
        assert answer.requests == 1
        return answer


@pytest.mark.parametrize("refuse", [MANY_SAMPLES, MANY_POINTS, VICTORIA, fault.page(413, "too big")], ids=["422", "400", "victoria", "413"])
@pytest.mark.parametrize("hours", [13, 5, 1])
def test_f05_halved_with_the_same_numbers(unsplit, refuse, hours: int) -> None:
    with fault.serve(day_server(hours * 3600, refuse)) as server, Asked(server.url) as client:
        answer = whole_day(client.source)
    assert answer.labels == unsplit.labels
    np.testing.assert_array_equal(answer.samples, unsplit.samples)
    assert answer.odd == {}
    assert answer.requests == len(server.seen) > 2
    assert client.waits == []
    assert "the question is too large; asking for 12 h at a time" in client.told[0]


def test_f05_split_by_namespace_when_an_hour_is_too_large(unsplit) -> None:
    parts = ['q{namespace="n"}', 'q{namespace="m"}']
    with fault.serve(day_server(10**9, MIMIR, most_series=2)) as server, Asked(server.url) as client:
        answer = whole_day(client.source, parts=parts)
    assert answer.labels == unsplit.labels
    np.testing.assert_array_equal(answer.samples, unsplit.samples)
    assert [request.form["query"] for request in server.seen[-2:]] == parts
    assert "asking it in 2 parts" in client.told[-1]


def test_f05_nothing_helps() -> None:
    with fault.serve(MANY_SAMPLES) as server, Asked(server.url) as client:
        with pytest.raises(QueryTooLarge, match="would load too many samples"):
            whole_day(client.source)
        # 24 h, 12, 6, 3, 1.5 h and 45 min: below an hour it stops
        assert len(server.seen) == 6


@pytest.mark.parametrize(
    "refuse",
    [
        fault.refusal(503, "timeout", "query timed out in expression evaluation"),
        fault.refusal(422, "execution", "context deadline exceeded"),
        fault.page(504, "gateway", "text/plain"),
        fault.page(408, "request timeout", "text/plain"),
    ],
    ids=["503", "422", "504", "408"],
)
def test_f05_a_time_out_is_halved_once(unsplit, refuse) -> None:
    with fault.serve(day_server(13 * 3600, refuse)) as server, Asked(server.url) as client:
        np.testing.assert_array_equal(whole_day(client.source).samples, unsplit.samples)
    with fault.serve(refuse) as server, Asked(server.url) as client, pytest.raises(QueryTooLarge):
        whole_day(client.source)
    spans = [int(request.form["end"]) - int(request.form["start"]) for request in server.seen]
    assert set(spans) == {287 * 300, 143 * 300}  # the day, then one half; no further


def test_f05_a_time_out_that_passes_is_only_a_retry(unsplit) -> None:
    slow = fault.refusal(503, "timeout", "query timed out in expression evaluation")
    with fault.serve(slow, slow, day_server(10**9, None)) as server, Asked(server.url) as client:
        np.testing.assert_array_equal(whole_day(client.source).samples, unsplit.samples)
    assert len(server.seen) == 3


@pytest.mark.parametrize(
    "refuse",
    [
        fault.refusal(400, "bad_data", 'invalid parameter "query": 1:2: parse error: unexpected end of input'),
        fault.refusal(422, "execution", "found duplicate series for the match group; many-to-many matching not allowed"),
        fault.refusal(422, "422", 'error when executing query="foo(": singleExpr: unexpected token'),
    ],
    ids=["400", "422", "victoria"],
)
def test_f05_a_wrong_query_is_our_fault_and_not_halved(refuse) -> None:
    with fault.serve(refuse) as server, Asked(server.url) as client:
        with pytest.raises(AiopsError, match="the query was q") as caught:
            whole_day(client.source)
        assert len(server.seen) == 1
    assert caught.value.exit_code == 5


def test_f05_an_answer_over_the_limit_is_halved(unsplit) -> None:
    with fault.serve(day_server(10**9, None)) as server:
        source = Prometheus(Server(server.url), Redactor(), max_bytes=10_000)
        answer = whole_day(source)
        source.close()
    np.testing.assert_array_equal(answer.samples, unsplit.samples)
    assert answer.requests > 2


@pytest.fixture(scope="module")
def blocks(tmp_path_factory) -> Path:
    """Four pods with a sample a minute for two hours, in a real TSDB."""
    folder = tmp_path_factory.mktemp("tsdb")
    lines = ["# TYPE demo gauge"]
    for pod in range(4):
        lines += [f'demo{{namespace="n{pod % 2}",pod="p{pod}"}} {pod + k / 7!r} {T0 + 60 * k}' for k in range(121)]
    (folder / "demo.om").write_text("\n".join([*lines, "# EOF\n"]))
    servers.create_blocks(folder / "demo.om", folder / "blocks")
    return folder / "blocks"


@pytest.mark.server
def test_f05_a_real_prometheus_with_few_samples(blocks: Path, prometheus_server) -> None:
    # two hours are 25 steps of 4 series; 60 samples at a time force a split below the whole of 100
    end = START + timedelta(hours=2)
    roomy, tight = prometheus_server(blocks), prometheus_server(blocks, "--query.max-samples=60")
    with Asked(roomy.url) as client:
        whole = client.source.range("demo", START, end)
    assert (whole.requests, whole.samples.shape) == (1, (4, 25))
    with Asked(tight.url) as client:
        halved = client.source.range("demo", START, end)
        assert halved.requests == 3
        parts = client.source.range("demo", START, START + timedelta(minutes=60), parts=['demo{namespace="n0"}', 'demo{namespace="n1"}'])
    assert halved.labels == whole.labels
    np.testing.assert_array_equal(halved.samples, whole.samples)
    np.testing.assert_array_equal(parts.samples, whole.samples[:, :13])


# --- row 6: broken bodies -------------------------------------------------------------------------------------------------------------

BROKEN = [
    "body cut at 20 bytes",
    "content-length too large",
    "content-length too small",
    "no content-length, cut",
    "chunked, no last chunk",
    "chunked, cut in a chunk",
    "chunked, no size",
    "gzip corrupt",
    "gzip cut",
    "gzip that is none",
    "head cut",
    "closed at once",
]


@pytest.mark.parametrize("how", BROKEN)
def test_f06_broken_body_is_asked_again(how: str) -> None:
    with fault.serve(fault.cut(fault.matrix(ONE), how), GOOD) as server, Asked(server.url) as client:
        assert_good(client.ask())
    assert len(server.seen) == 2


@pytest.mark.parametrize("how", BROKEN)
def test_f06_broken_for_ever_is_a_clear_error(how: str) -> None:
    with fault.serve(fault.cut(fault.matrix(ONE), how)) as server, Asked(server.url) as client:
        text = client.failure(SourceError)
    assert server.url in text
    assert len(server.seen) == 5


# --- row 7: a server that comes back --------------------------------------------------------------------------------------------------


def test_f07_server_dies_and_comes_back() -> None:
    with contextlib.ExitStack() as stack:
        waits: list[float] = []

        def wait(seconds: float) -> None:
            waits.append(seconds)
            if len(waits) == 2:  # it is back after the second wait
                stack.enter_context(fault.serve(GOOD, port=first.port))

        with fault.serve(GOOD) as first:
            client = stack.enter_context(Asked(first.url, sleep=wait))
            assert_good(client.ask())
        assert_good(client.ask())
        # 1 while it lived; then at once, at once again, and after each of two waits
        assert client.source.requests_made == 5
    assert "the connection is refused; trying again in 2 s (try 3 of 5)" in client.told[0].replace("in 3 s", "in 2 s")


# --- row 8: no end --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        fault.hang,
        fault.trickle(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"),
        fault.trickle(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99999\r\n\r\n"),
        fault.trickle(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        fault.trickle(b"HTTP/1.1 200 OK\r\nX-Long:"),
    ],
    ids=["no answer", "body", "body of a known length", "chunk size", "header"],
)
def test_f08_bounded_by_the_deadline(answer) -> None:
    with fault.serve(answer) as server, Asked(server.url, deadline_s=0.5, read_timeout=30.0) as client:
        begun = time.monotonic()
        text = client.failure(SourceUnreachable)
        assert time.monotonic() - begun < 10  # far from the read time-out
    assert text == f"{server.url} did not send a whole answer within 0.5 s"


def test_f08_bounded_in_the_tls_handshake(authority, ca_file) -> None:
    # a listener that accepts and says nothing: the kernel completes the connection by itself
    with servers.socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"https://127.0.0.1:{silent.getsockname()[1]}"
        with Asked(url, ca_file=ca_file, deadline_s=0.5, connect_timeout=30.0) as client:
            client.failure(SourceUnreachable)


def test_f08_bounded_by_the_read_time_out() -> None:
    with fault.serve(fault.hang) as server, Asked(server.url, read_timeout=0.1) as client:
        text = client.failure(SourceUnreachable)
    assert "no answer in time" in text
    assert len(server.seen) == 5


def test_f08_the_waits_count() -> None:
    moment = [0.0]

    def wait(seconds: float) -> None:
        moment[0] += seconds + 60  # each answer takes a minute as well

    busy = fault.page(503, "busy", Retry_After=60)
    with fault.serve(busy) as server, Asked(server.url, clock=lambda: moment[0], sleep=wait) as client:
        client.failure(SourceUnreachable)
    assert len(server.seen) == 3  # at 0, 120 and 240 s; the next would be after the 300 s


def test_f08_two_threads_do_not_cut_each_other() -> None:
    with fault.serve(*[GOOD] * 40) as server, Asked(server.url, deadline_s=30) as client:
        with ThreadPoolExecutor(2) as pool:
            for answer in pool.map(lambda _: client.ask(), range(40)):
                assert_good(answer)
        assert client.source.requests_made == len(server.seen) == 40


# --- row 9: words beside the data -----------------------------------------------------------------------------------------------------


def test_f09_warnings_and_infos_are_kept() -> None:
    said = fault.matrix(ONE, warnings=["store 7 is away", "store \x1b[1m8"], infos=["metric might not be a counter"])
    with fault.serve(fault.good(said)) as server, Asked(server.url) as client:
        answer = client.ask()
    assert answer.warnings == ("store 7 is away", "store \\x1b[1m8")
    assert answer.infos == ("metric might not be a counter",)
    assert_good(answer)


def test_f09_infos_alone_are_no_warning() -> None:
    with fault.serve(fault.good(fault.matrix(ONE, infos=["note"]))) as server, Asked(server.url) as client:
        assert client.ask().warnings == ()


def test_f09_a_partial_answer_is_a_warning() -> None:
    with fault.serve(fault.good(fault.matrix(ONE, isPartial=True))) as server, Asked(server.url) as client:
        assert client.ask().warnings == ("the server marks the answer as partial",)


def test_f09_whole_answers_are_asked_for() -> None:
    with fault.serve(GOOD) as server, Asked(server.url) as client:
        client.ask()
    form = server.seen[0].form
    assert (form["partial_response"], form["deny_partial_response"], form["timeout"]) == ("false", "1", "110s")
    assert server.seen[0].headers["accept-encoding"] == "identity"
    assert server.seen[0].method == "POST"


def test_f09_instant_answers_keep_them_too() -> None:
    said = fault.vector(({"a": "b"}, (T0, "5")), warnings=["w"], infos=["i"], isPartial=True)
    with fault.serve(fault.good(said)) as server, Asked(server.url) as client:
        answer = client.source.instant("q", START)
    assert answer.warnings == ("w", "the server marks the answer as partial")
    assert answer.infos == ("i",)


def test_f09_an_error_with_status_200() -> None:
    said = {"status": "error", "errorType": "internal", "error": "no store is ready"}
    with fault.serve(fault.good(said)) as server, Asked(server.url) as client:
        assert "answers 200 internal: no store is ready" in client.failure(BadAnswer)
        with pytest.raises(BadAnswer, match="no store is ready"):
            client.source.names()  # also through PrometheusConnect


# --- row 10: redirects ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("auth", ["basic", "bearer", "header"])
@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_f10_credentials_do_not_follow_a_redirect(status: int, auth: str) -> None:
    with fault.serve(GOOD) as other:
        target = f"http://u:{SECRET}@localhost:{other.port}/login?token={SECRET}"
        with fault.serve(fault.page(status, "moved", Location=target)) as server, Asked(server.url, **AUTHS[auth]) as client:
            text = client.failure(BadAnswer)
            with pytest.raises(BadAnswer):
                client.source.names()
    assert f"it redirects ({status}) to 'http://localhost:{other.port}/login'" in text
    assert SECRET not in text
    assert other.seen == []
    assert SECRET in json.dumps(dict(server.seen[0].headers)) or auth == "basic"  # it was sent to the right one


# --- row 46: secrets ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("auth", ["basic", "bearer", "header"])
@pytest.mark.parametrize(
    "answer",
    [
        fault.page(401, f"bad token {SECRET}"),
        fault.page(404, f"no page for {SECRET}"),
        fault.page(503, f"busy with {SECRET}", Retry_After=3),
        fault.refusal(422, "execution", f"too many samples for {SECRET}"),
        fault.refusal(400, "bad_data", f"parse error near {SECRET}"),
        fault.good({"status": "error", "errorType": SECRET, "error": SECRET}),
        fault.good({"hello": SECRET}),
        fault.page(200, f"<html>{SECRET}"),
        fault.page(302, "", Location=f"http://127.0.0.1/{SECRET}"),
        fault.cut(fault.matrix(({"pod": SECRET}, [])), "no content-length, cut"),
    ],
    ids=["401", "404", "503", "422", "400", "200 error", "other JSON", "HTML", "302", "cut"],
)
def test_f46_no_secret_in_errors_and_progress(answer, auth: str) -> None:
    with fault.serve(answer) as server, Asked(server.url, **AUTHS[auth]) as client:
        with pytest.raises(AiopsError) as caught:
            client.ask()
        said = [str(caught.value), *client.told, repr(client.source._session.server)]
    assert not any(form in text for text in said for form in client.redactor.forms())
    assert SECRET in client.redactor.forms()


def test_f46_warnings_of_the_server_are_redacted() -> None:
    with fault.serve(fault.good(fault.matrix(ONE, warnings=[f"saw {SECRET}"]))) as server, Asked(server.url, **AUTHS["bearer"]) as client:
        assert client.ask().warnings == ("saw [redacted]",)

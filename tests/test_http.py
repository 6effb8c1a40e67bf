"""Where a server is and which credentials it gets; the session keeps them to itself and to that server."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme

from aiops_analysis.core.errors import SettingsError
from aiops_analysis.core.redact import Redactor
from aiops_analysis.sources.http import Server
from aiops_analysis.sources.session import PatientSession
from tests.faults import server as fault

SECRET = "s3cr3t-canary-0123456789"
GOOD = fault.good({"status": "success", "data": []})


def session(url: str, **options) -> tuple[PatientSession, Redactor]:
    redactor = Redactor()
    return PatientSession(Server(url, **options), redactor, sleep=lambda _: None), redactor


def sent(**options) -> fault.Request:
    """What reaches the server."""
    with fault.serve(GOOD) as server:
        client, _ = session(server.url, **options)
        client.request("GET", f"{server.url}/api/v1/labels")
        client.close()
    return server.seen[0]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"url": f"http://me:{SECRET}@prom:9090"}, "must not hold credentials"),
        ({"url": f"http://prom:9090/?token={SECRET}"}, "must not hold credentials"),
        ({"url": f"http://prom:9090/#{SECRET}"}, "must not hold credentials"),
        ({"url": "file:///etc/passwd"}, "is not the URL of a server"),
        ({"url": "ftp://prom"}, "is not the URL of a server"),
        ({"url": "prom:9090"}, "is not the URL of a server"),
        ({"url": "http://"}, "is not the URL of a server"),
        ({"url": "http://prom:9090/a b"}, "is not the URL of a server"),
        ({"url": "http://prom:port"}, "cannot be read"),
        ({"url": "http://[::1"}, "cannot be read"),
        ({"url": "http://p", "auth": "digest"}, "expected one of none, basic, bearer"),
        ({"url": "http://p", "auth": "basic", "username": "me"}, "needs a username and a password"),
        ({"url": "http://p", "auth": "bearer"}, "either a token or a token_file"),
        ({"url": "http://p", "auth": "bearer", "token": SECRET, "token_file": "/t"}, "either a token or a token_file"),
        ({"url": "http://p", "auth": "bearer", "token": f"{SECRET}\nX: y"}, "holds a line break"),
        ({"url": "http://p", "headers": {"X-Api-Key": f"{SECRET}\r\nHost: evil"}}, "holds a line break"),
        ({"url": "http://p", "headers": {"X-Ün": SECRET}}, "another character that no header may hold"),
        ({"url": "https://p", "ca_file": "/no/such/ca.pem"}, "ca_file '/no/such/ca.pem': no such file or directory"),
    ],
)
def test_a_server_that_cannot_be_is_refused(options, words: str) -> None:
    with pytest.raises(SettingsError, match=words.replace("(", r"\(")) as caught:
        Server(**options)
    assert SECRET not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_ca_file_without_a_certificate_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("not a certificate")
    with pytest.raises(SettingsError, match="holds no certificate in PEM form"):
        Server("https://p", ca_file=str(tmp_path / "ca.pem"))


def test_a_slash_at_the_end_is_no_difference() -> None:
    assert Server("http://prom:9090/prefix/").url == "http://prom:9090/prefix"


def test_f46_no_secret_in_the_repr() -> None:
    shown = repr(Server("http://p", auth="basic", username="me", password=SECRET, token=SECRET, headers={"X-Api-Key": SECRET}))
    assert SECRET not in shown
    assert "me" in shown


def test_basic_auth_in_utf8() -> None:
    request = sent(auth="basic", username="jörg", password="pässword")
    assert request.headers["authorization"] == "Basic " + base64.b64encode("jörg:pässword".encode()).decode()


def test_bearer_token() -> None:
    assert sent(auth="bearer", token=SECRET).headers["authorization"] == f"Bearer {SECRET}"


def test_extra_headers_go_along() -> None:
    request = sent(headers={"X-Scope-OrgID": "team|other"})
    assert request.headers["x-scope-orgid"] == "team|other"
    assert "authorization" not in request.headers


def test_a_token_file_is_read_again(tmp_path: Path) -> None:
    token = tmp_path / "token"
    with fault.serve(GOOD) as server:
        token.write_text(" first-token \n")
        client, redactor = session(server.url, auth="bearer", token_file=str(token))
        client.request("GET", server.url)
        token.write_text("other-token")
        client.request("GET", server.url)
        client.close()
    assert [request.headers["authorization"] for request in server.seen] == ["Bearer first-token", "Bearer other-token"]
    assert {"first-token", "other-token"} <= set(redactor.forms())


@pytest.mark.parametrize(
    ("content", "words"), [(None, "no such file"), (b"", "holds no token"), (b"a\nb", "more than one line"), (b"\xff\xfe", "not a text")]
)
def test_a_token_file_without_a_token(tmp_path: Path, content: bytes | None, words: str) -> None:
    token = tmp_path / "token"
    if content is not None:
        token.write_bytes(content)
    with fault.serve(GOOD) as server:
        client, _ = session(server.url, auth="bearer", token_file=str(token))
        with pytest.raises(SettingsError, match=words):
            client.request("GET", server.url)
        client.close()
    assert server.seen == []


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, None),
        ({"auth": "bearer", "token": SECRET}, f"Bearer {SECRET}"),
        ({"headers": {"Authorization": f"Custom {SECRET}"}}, f"Custom {SECRET}"),
    ],
    ids=["none", "bearer", "own header"],
)
def test_netrc_never_replaces_what_was_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options, expected: str | None) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    assert sent(**options).headers.get("authorization") == expected


def test_the_ca_file_wins_over_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, other = trustme.CA(), trustme.CA()
    for name, authority in (("ours", ours), ("other", other)):
        authority.cert_pem.write_to_path(str(tmp_path / name))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "other"))
    context = fault.ssl.SSLContext(fault.ssl.PROTOCOL_TLS_SERVER)
    ours.issue_cert("127.0.0.1").configure_cert(context)
    with fault.serve(GOOD, context=context) as server:
        client, _ = session(server.url, ca_file=str(tmp_path / "ours"))
        assert client.request("GET", server.url).json() == {"status": "success", "data": []}
        client.close()


def test_a_proxy_of_the_environment_is_used_and_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    with fault.serve(GOOD) as proxy:
        monkeypatch.setenv("http_proxy", f"http://me:{SECRET}@127.0.0.1:{proxy.port}")
        client, _ = session("http://prometheus.invalid:9090")
        client.request("GET", "http://prometheus.invalid:9090/api/v1/labels")
        assert client.proxy == proxy.url
        client.close()
    assert proxy.seen[0].path == "http://prometheus.invalid:9090/api/v1/labels"


@pytest.mark.parametrize(
    ("headers", "known"),
    [
        ({"X-Api-Key": SECRET}, True),
        ({"Authorization": f"Token {SECRET}"}, True),
        ({"Cookie": SECRET}, True),
        ({"X-Scope-OrgID": SECRET}, False),  # a tenant is a name
    ],
)
def test_which_headers_are_secrets(headers, known: bool) -> None:
    _, redactor = session("http://p", headers=headers)
    assert (redactor.clean(f"saw {SECRET}") == "saw [redacted]") is known


def test_f46_basic_credentials_are_known_as_they_are_sent() -> None:
    _, redactor = session("http://p", auth="basic", username="me", password=SECRET)
    assert SECRET not in redactor.clean(base64.b64encode(f"me:{SECRET}".encode()).decode() + SECRET)
    assert redactor.clean(base64.b64encode(f"me:{SECRET}".encode()).decode()) == "[redacted]"


def test_the_servers_clock_and_the_cost_are_noted() -> None:
    body = fault.page(200, '{"status":"success"}', "application/json", Date="Sun, 01 Nov 2026 00:00:07 GMT")
    with fault.serve(body) as server:
        client, _ = session(server.url)
        client.request("GET", server.url)
        client.close()
    assert client.server_date == datetime(2026, 11, 1, 0, 0, 7, tzinfo=UTC)
    assert (client.tally.requests, client.tally.bytes) == (1, 20)

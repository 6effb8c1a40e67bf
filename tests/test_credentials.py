"""Credentials: client certificates, tokens from a command, the tenant, proxies and SigV4, all seen by a server on a real socket."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import socket
import ssl
import sys
import threading
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from urllib.parse import quote

import pytest
import requests
import trustme

from aiops_analysis.core.errors import BadAnswer, SettingsError, SourceError, SourceRefused
from aiops_analysis.core.redact import Redactor
from aiops_analysis.sources.credentials import auth_of
from aiops_analysis.sources.http import AwsKeys, Server
from aiops_analysis.sources.session import PatientSession
from tests.faults import server as fault

SECRET = "s3cr3t-canary-0123456789"
GOOD = fault.good({"status": "success", "data": []})
KEYS = AwsKeys("AKIDEXAMPLE", SECRET, "session-canary-0123456789")


def client(url: str, **options) -> tuple[PatientSession, Redactor]:
    redactor, wall = Redactor(), options.pop("wall", lambda: 0.0)
    return PatientSession(Server(url, **options), redactor, sleep=lambda _: None, wall=wall), redactor


def sent(**options) -> fault.Request:
    """What reaches a server for one GET."""
    with fault.serve(GOOD) as server:
        session, _ = client(server.url, **options)
        session.request("GET", f"{server.url}/api/v1/labels")
        session.close()
    return server.seen[0]


# --- client certificates ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def pair(authority: trustme.CA, tmp_path: Path) -> dict[str, str]:
    """The options of a client that trusts the authority and has a certificate of it."""
    own = authority.issue_cert("client.example")
    files = {"ca_file": authority.cert_pem, "client_cert_file": own.cert_chain_pems[0], "client_key_file": own.private_key_pem}
    for name, blob in files.items():
        blob.write_to_path(str(tmp_path / name))
    return {name: str(tmp_path / name) for name in files}


def wanting(authority: trustme.CA) -> ssl.SSLContext:
    """A server that asks for a certificate of the authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


@contextmanager
def refusing(context: ssl.SSLContext):
    """A server whose refused handshake ends in its alert: it reads what the client still sends before it closes."""
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"https://127.0.0.1:{listener.getsockname()[1]}"

    def serve() -> None:
        while True:
            try:
                raw, _ = listener.accept()
            except OSError:
                return
            with context.wrap_socket(raw, server_side=True, do_handshake_on_connect=False) as live:
                try:
                    live.do_handshake()
                except OSError:
                    with socket.socket(fileno=os.dup(live.fileno())) as plain:
                        plain.shutdown(socket.SHUT_WR)
                        while plain.recv(65536):
                            pass

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield url
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def test_a_client_certificate_is_shown(authority, pair) -> None:
    with fault.serve(GOOD, context=wanting(authority)) as server:
        session, _ = client(server.url, **pair)
        assert session.request("GET", server.url).json() == {"status": "success", "data": []}
        session.close()
    assert session.server.tried == f"the client certificate {pair['client_cert_file']!r}"


def test_certificate_and_key_in_one_file(authority, pair, tmp_path: Path) -> None:
    both = tmp_path / "both.pem"
    both.write_bytes(Path(pair["client_key_file"]).read_bytes() + Path(pair["client_cert_file"]).read_bytes())
    with fault.serve(GOOD, context=wanting(authority)) as server:
        session, _ = client(server.url, ca_file=pair["ca_file"], client_cert_file=str(both))
        session.request("GET", server.url)
        session.close()
    assert len(server.seen) == 1


@pytest.mark.parametrize("with_one", [False, True], ids=["none", "of another authority"])
def test_f02_a_server_that_wants_another_certificate(authority, pair, tmp_path: Path, with_one: bool) -> None:
    options = {"ca_file": pair["ca_file"]}
    if with_one:
        trustme.CA().issue_cert("client.example").private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "other"))
        options["client_cert_file"] = str(tmp_path / "other")
    with refusing(wanting(authority)) as url:
        session, _ = client(url, **options)
        with pytest.raises(SourceRefused, match="set client_cert_file and client_key_file to a pair that it accepts") as caught:
            session.request("GET", url)
        session.close()
    assert ("refuses the client certificate" if with_one else "refuses no client certificate") in str(caught.value)
    assert session.tally.requests == 1  # asking again would not help


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"client_key_file": "/k"}, "client_key_file is set without client_cert_file"),
        ({"url": "http://p", "client_cert_file": "/c"}, "needs an https URL"),
        ({"client_cert_file": "/no/such.pem"}, "client_cert_file '/no/such.pem': no such file"),
        ({"client_cert_file": "CA", "client_key_file": "/no/such.key"}, "client_key_file '/no/such.key': no such file"),
        ({"client_cert_file": "CA"}, "which must hold the key too"),
        ({"client_cert_file": "TEXT"}, "are no certificate and key in PEM form"),
        ({"client_cert_file": "CERT", "client_key_file": "OTHER"}, "do not belong together"),
        ({"client_cert_file": "CERT", "client_key_file": "LOCKED"}, "has a passphrase"),
    ],
)
def test_a_certificate_that_cannot_be_used_is_named(pair, tmp_path: Path, options, words: str) -> None:
    from cryptography.hazmat.primitives import serialization

    (tmp_path / "text").write_text("no certificate")
    other = trustme.CA().issue_cert("x").private_key_pem
    other.write_to_path(str(tmp_path / "other"))
    key = serialization.load_pem_private_key(other.bytes(), None)
    kinds = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (tmp_path / "locked").write_bytes(key.private_bytes(*kinds, serialization.BestAvailableEncryption(b"pass")))
    places = {"CA": pair["ca_file"], "CERT": pair["client_cert_file"]}
    places |= {name.upper(): str(tmp_path / name) for name in ("text", "other", "locked")}
    with pytest.raises(SettingsError, match=words):
        Server(**{"url": "https://p"} | {name: places.get(value, value) for name, value in options.items()})


# --- a token from a command ----------------------------------------------------------------------------------------------------------


def command(tmp_path: Path, body: str) -> tuple[str, ...]:
    """A program that counts its runs in the file ``runs`` and does ``body`` with that number as ``n``."""
    count = (
        "import os, pathlib, sys, json\n"
        f"runs = pathlib.Path({str(tmp_path / 'runs')!r})\n"
        "n = len(runs.read_text()) + 1 if runs.exists() else 1\n"
        "runs.write_text('x' * n)\n"
    )
    return (sys.executable, "-S", "-E", "-c", count + body)


def runs(tmp_path: Path) -> int:
    return len((tmp_path / "runs").read_text())


def exec_credential(**status: object) -> str:
    return f"print(json.dumps({{'kind': 'ExecCredential', 'status': {status!r}}}).replace('#', str(n)))"


def test_a_plain_token_is_kept(tmp_path: Path) -> None:
    with fault.serve(GOOD) as server:
        session, redactor = client(server.url, auth="bearer", token_command=command(tmp_path, "print('token-', n, sep='')"))
        for _ in range(3):
            session.request("GET", server.url)
        session.close()
    assert [request.headers["authorization"] for request in server.seen] == ["Bearer token-1"] * 3
    assert runs(tmp_path) == 1
    assert redactor.clean("saw token-1") == "saw [redacted]"
    assert "token-1" not in session.server.tried + repr(session.server)


def test_an_exec_credential_is_renewed_before_it_expires(tmp_path: Path) -> None:
    asked = command(tmp_path, exec_credential(token="token-#", expirationTimestamp="2026-11-01T00:10:00Z"))
    end = datetime.fromisoformat("2026-11-01T00:10:00Z").timestamp()
    now = [end - 60]
    with fault.serve(GOOD) as server:
        session, _ = client(server.url, auth="bearer", token_command=asked, wall=lambda: now[0])
        session.request("GET", server.url)
        now[0] = end - 11
        session.request("GET", server.url)
        now[0] = end - 9  # ten seconds early, so that it does not end under way
        session.request("GET", server.url)
        session.close()
    assert [r.headers["authorization"] for r in server.seen] == ["Bearer token-1", "Bearer token-1", "Bearer token-2"]


def test_the_command_is_told_what_a_kubeconfig_tells(tmp_path: Path) -> None:
    body = "info = json.loads(os.environ['KUBERNETES_EXEC_INFO'])\nprint(info['kind'], info['spec']['interactive'], sep='-')"
    with fault.serve(GOOD) as server:
        session, _ = client(server.url, auth="bearer", token_command=command(tmp_path, body))
        session.request("GET", server.url)
        session.close()
    assert server.seen[0].headers["authorization"] == "Bearer ExecCredential-False"


def test_no_shell_reads_the_arguments(tmp_path: Path) -> None:
    asked = (sys.executable, "-S", "-c", "import sys; print(sys.argv[1])", "$(touch${IFS}owned);`id`")
    with fault.serve(GOOD) as server:
        session, _ = client(server.url, auth="bearer", token_command=asked)
        session.request("GET", server.url)
        session.close()
    assert server.seen[0].headers["authorization"] == "Bearer $(touch${IFS}owned);`id`"


def test_f02_a_refused_token_is_renewed_once(tmp_path: Path) -> None:
    asked = command(tmp_path, "print('token-', n, sep='')")
    with fault.serve(fault.page(401, "expired"), GOOD) as server:
        session, _ = client(server.url, auth="bearer", token_command=asked)
        session.request("GET", server.url)
        session.close()
    assert [r.headers["authorization"] for r in server.seen] == ["Bearer token-1", "Bearer token-2"]


def test_f02_a_token_that_is_refused_again_ends_it(tmp_path: Path) -> None:
    # the program gives another token each time; without a bound every refusal would run it again
    with fault.serve(fault.page(401, "never")) as server:
        session, _ = client(server.url, auth="bearer", token_command=command(tmp_path, "print('token-', n, sep='')"))
        with pytest.raises(SourceRefused, match="with a bearer token from the command"):
            session.request("GET", server.url)
        session.close()
    assert (len(server.seen), runs(tmp_path)) == (2, 2)


def test_f02_the_same_token_again_is_not_sent_again(tmp_path: Path) -> None:
    with fault.serve(fault.page(401, "never")) as server:
        session, _ = client(server.url, auth="bearer", token_command=command(tmp_path, "print('always-this')"))
        with pytest.raises(SourceRefused):
            session.request("GET", server.url)
        session.close()
    assert (len(server.seen), runs(tmp_path)) == (1, 2)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (f"print('{SECRET}'); print('log in first', file=sys.stderr); sys.exit(3)", "ended with 3 and says 'log in first'"),
        ("print('', file=sys.stderr); sys.exit(1)", "ended with 1; run it by hand"),
        ("print('token AKIAABCDEFGHIJKLMNOP is wrong', file=sys.stderr); sys.exit(1)", "ended with 1; run it by hand"),
        ("pass", "printed no token"),
        ("print('a'); print('b')", "printed no token, or more than one line"),
        ("print('two words')", "printed no token"),
        ("print('x' * 70000)", "printed far more than a token"),
        ("print('{')", "is no ExecCredential"),
        ("print('{\"status\": 1}')", "is no ExecCredential"),
        ("print('[' * 100000)", "printed far more than a token"),
        (exec_credential(clientCertificateData="x"), "without status.token"),
        (exec_credential(token=SECRET, expirationTimestamp="soon"), "expirationTimestamp is no time"),
    ],
)
def test_a_command_that_gives_no_token(tmp_path: Path, body: str, words: str) -> None:
    with fault.serve(GOOD) as server:
        session, _ = client(server.url, auth="bearer", token_command=command(tmp_path, body))
        with pytest.raises(SourceRefused) as caught:
            session.request("GET", server.url)
        session.close()
    text = str(caught.value)
    assert words in text
    assert SECRET not in text
    assert "\n" not in text
    assert server.seen == []


def test_a_command_that_is_not_there(tmp_path: Path) -> None:
    with fault.serve(GOOD) as server:
        session, _ = client(server.url, auth="bearer", token_command=(str(tmp_path / "gone"), SECRET))
        with pytest.raises(SettingsError, match="cannot be run: no such file") as caught:
            session.request("GET", server.url)
        session.close()
    assert SECRET not in str(caught.value)


def test_f08_a_command_that_hangs_is_stopped(tmp_path: Path) -> None:
    # it also leaves a child behind that keeps its output open
    asked = ("sh", "-c", "sleep 600 & sleep 600")
    auth = auth_of(Server("http://p", auth="bearer", token_command=asked), Redactor(), wall=lambda: 0.0, command_s=0.2)
    request = requests.Request("GET", "http://p").prepare()
    with pytest.raises(SourceRefused, match=r"token_command 'sh' did not end within 0.2 s"):
        auth(request)


# --- tenant, query parameters, proxy --------------------------------------------------------------------------------------------------


def test_the_tenant_goes_along() -> None:
    assert sent(org_id="team-a|team-b").headers["x-scope-orgid"] == "team-a|team-b"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"org_id": "a\nb"}, "holds a line break"),
        ({"org_id": "a", "headers": {"x-scope-orgid": "b"}}, "the tenant is given twice"),
        ({"query_params": {"query": "up"}}, "query_params cannot set query"),
        ({"query_params": {"limit": "5"}}, "query_params cannot set limit"),
        ({"query_params": {"api_key": SECRET}}, "query_params.api_key looks like a secret"),
        ({"query_params": {"extra": "eyJhbGciOiJI.eyJzdWIiOiIx.s3cr3t-canary"}}, "query_params.extra looks like a secret"),
        ({"query_params": {"a": "b\nc"}}, "not printable"),
        ({"proxy": f"http://me:{SECRET}@proxy:3128"}, "must not hold credentials"),
        ({"proxy": "socks5://proxy:1080"}, "is not the URL of a proxy"),
        ({"proxy_username": "me"}, "but no proxy"),
        ({"proxy": "http://proxy:3128", "proxy_username": "me"}, "a user and a password, or neither"),
        ({"auth": "sigv4"}, "needs a region"),
        ({"auth": "bearer", "token": SECRET, "token_command": ("x",)}, "either a token or a token_file or a token_command"),
    ],
)
def test_what_contradicts_itself_is_refused(options, words: str) -> None:
    with pytest.raises(SettingsError, match=words) as caught:
        Server("http://p", **options)
    assert "s3cr3t" not in str(caught.value)


def test_query_parameters_go_with_every_request() -> None:
    params = {"max_source_resolution": "1h", "extra_label": ("a=b", "c=d")}
    with fault.serve(GOOD) as server:
        session, _ = client(server.url, query_params=params)
        session.request("GET", f"{server.url}/api/v1/labels", params={"start": "1"})
        session.exchange("POST", f"{server.url}/api/v1/query", bytes, form={"query": "up", "max_source_resolution": "0s"})
        session.close()
    assert server.seen[0].path == "/api/v1/labels?start=1&max_source_resolution=1h&extra_label=a%3Db&extra_label=c%3Dd"
    assert server.seen[1].body.decode() == "query=up&max_source_resolution=1h&extra_label=a%3Db&extra_label=c%3Dd"


def test_our_proxy_is_stronger_than_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "*")
    with fault.serve(GOOD) as proxy:
        session, redactor = client(
            "http://prometheus.invalid:9090", proxy=proxy.url, proxy_username="me@home", proxy_password=f"{SECRET}/?"
        )
        session.request("GET", "http://prometheus.invalid:9090/api/v1/labels")
        assert session.proxy == proxy.url
        session.close()
    basic = base64.b64encode(f"me@home:{SECRET}/?".encode()).decode()
    assert proxy.seen[0].headers["proxy-authorization"] == f"Basic {basic}"
    assert proxy.seen[0].path == "http://prometheus.invalid:9090/api/v1/labels"
    assert redactor.clean(f"{SECRET}/? {basic} {quote(f'{SECRET}/?', safe='')}") == "[redacted] [redacted] [redacted]"
    assert SECRET not in repr(session.server)


def test_f02_our_proxy_refuses() -> None:
    with fault.serve(fault.page(407, f"who is {SECRET}?")) as proxy:
        session, _ = client("http://prometheus.invalid:9090", proxy=proxy.url, proxy_username="me", proxy_password=SECRET)
        with pytest.raises(SourceRefused, match=r"refuses us \(407\); check prometheus.proxy.*AIOPS_PROMETHEUS_PROXY_PASSWORD") as caught:
            session.request("GET", "http://prometheus.invalid:9090")
        session.close()
    assert SECRET not in str(caught.value)


# --- SigV4 ---------------------------------------------------------------------------------------------------------------------------


def signature(secret: str, scope: str, stamp: str, canonical: str) -> str:
    """AWS Signature Version 4 of a canonical request, written out from its specification."""
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    text = "\n".join(("AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()))
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def test_our_reading_of_the_specification_gives_the_published_example() -> None:
    # "get-vanilla" of the test suite that AWS publishes
    empty = hashlib.sha256(b"").hexdigest()
    canonical = f"GET\n/\n\nhost:example.amazonaws.com\nx-amz-date:20150830T123600Z\n\nhost;x-amz-date\n{empty}"
    found = signature("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "20150830/us-east-1/service/aws4_request", "20150830T123600Z", canonical)
    assert found == "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"


def assert_signed(request: fault.Request, keys: AwsKeys, region: str) -> None:
    """The Authorization header is the signature of what arrived."""
    words = dict(part.split("=", 1) for part in request.headers["authorization"].removeprefix("AWS4-HMAC-SHA256 ").split(", "))
    access, _, scope = words["Credential"].partition("/")
    assert access == keys.access_key
    assert scope == f"{request.headers['x-amz-date'][:8]}/{region}/aps/aws4_request"
    names = words["SignedHeaders"].split(";")
    assert {"host", "x-amz-date", "x-amz-content-sha256"} <= set(names)
    assert "x-amz-security-token" in names or not keys.session_token
    path, _, question = request.path.replace("+", "%20").partition("?")  # a blank in a canonical query is %20
    headers = "".join(f"{name}:{request.headers[name]}\n" for name in names)
    body = hashlib.sha256(request.body).hexdigest()
    canonical = "\n".join((request.method, path, "&".join(sorted(question.split("&"))), headers, ";".join(names), body))
    assert words["Signature"] == signature(keys.secret_key, scope, request.headers["x-amz-date"], canonical)


@pytest.mark.parametrize("keys", [KEYS, AwsKeys("AKIDEXAMPLE", SECRET)], ids=["session", "lasting"])
def test_every_request_is_signed(keys: AwsKeys) -> None:
    pytest.importorskip("requests_aws4auth")
    with fault.serve(GOOD) as server:
        session, redactor = client(f"{server.url}/workspaces/ws-1", auth="sigv4", region="eu-central-1", aws_keys=keys)
        url = f"{server.url}/workspaces/ws-1/api/v1"
        session.request("GET", f"{url}/label/__name__/values", params={"start": "1", "end": "a b"})
        session.exchange("POST", f"{url}/query", bytes, form={"query": 'sum(rate(x{a="ü|/ "}[5m]))', "time": "1"})
        session.close()
    assert [request.method for request in server.seen] == ["GET", "POST"]
    for request in server.seen:
        assert_signed(request, keys, "eu-central-1")
    assert {SECRET, *filter(None, [keys.session_token])} <= set(redactor.forms())
    assert SECRET not in repr(session.server)
    assert session.server.tried == "AWS SigV4 for region 'eu-central-1'"


def test_keys_that_botocore_finds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("requests_aws4auth")
    pytest.importorskip("botocore")
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    (tmp_path / "credentials").write_text(f"[team]\naws_access_key_id = AKIDPROFILE\naws_secret_access_key = {SECRET}\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(SettingsError, match="finds no AWS credentials"):
        client("http://p", auth="sigv4", region="r")
    monkeypatch.setenv("AWS_PROFILE", "gone")
    with pytest.raises(SettingsError, match="check AWS_PROFILE"):
        client("http://p", auth="sigv4", region="r")
    monkeypatch.setenv("AWS_PROFILE", "team")
    with fault.serve(GOOD) as server:
        session, redactor = client(server.url, auth="sigv4", region="us-west-2")
        session.exchange("POST", f"{server.url}/api/v1/query", bytes, form={"query": "up"})
        session.close()
    assert_signed(server.seen[0], AwsKeys("AKIDPROFILE", SECRET), "us-west-2")
    assert SECRET in redactor.forms()


@pytest.mark.parametrize(("package", "keys"), [("requests_aws4auth", KEYS), ("botocore", None)])
def test_f39_without_the_extra_the_command_is_said(monkeypatch: pytest.MonkeyPatch, package: str, keys: AwsKeys | None) -> None:
    if keys is None:
        pytest.importorskip("requests_aws4auth")
    for name in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)  # as if it were not installed
    with pytest.raises(SettingsError, match=r'pip install "aiops-analysis\[aws\]"') as caught:
        client("http://p", auth="sigv4", region="r", aws_keys=keys)
    assert package in str(caught.value)
    assert caught.value.exit_code == 2


# --- rows 10 and 46 for all of them ---------------------------------------------------------------------------------------------------


def ways(tmp_path: Path) -> dict[str, dict[str, object]]:
    return {
        "command": {"auth": "bearer", "token_command": command(tmp_path, f"print('{SECRET}')")},
        "sigv4": {"auth": "sigv4", "region": "eu-central-1", "aws_keys": KEYS},
        "tenant": {"org_id": "team-a"},
        "basic and tenant": {"auth": "basic", "username": "u", "password": SECRET, "org_id": "team-a"},
    }


WAYS = ("command", "sigv4", "tenant", "basic and tenant")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_f10_nothing_follows_a_redirect(tmp_path: Path, way: str, status: int) -> None:
    if way == "sigv4":
        pytest.importorskip("requests_aws4auth")
    with fault.serve(GOOD) as other:
        moved = fault.page(status, "moved", Location=f"http://localhost:{other.port}/x?token={SECRET}")
        with fault.serve(moved) as server:
            session, _ = client(server.url, **ways(tmp_path)[way])
            for method in ("GET", "POST"):
                with pytest.raises(
                    BadAnswer, match=rf"redirects \({status}\) to 'http://localhost:{other.port}/x', which is not"
                ) as caught:
                    session.exchange(method, server.url, bytes, form={"query": "up"} if method == "POST" else None)
                assert SECRET not in str(caught.value)
            session.close()
    assert (other.seen, other.connections) == ([], 0)
    assert {"authorization", "x-scope-orgid"} & server.seen[0].headers.keys()  # the right one got them


def test_f10_the_client_certificate_is_not_shown_to_another_host(authority, pair) -> None:
    with fault.serve(GOOD, context=wanting(authority)) as other:
        moved = fault.page(302, "moved", Location=f"{other.url}/x")
        with fault.serve(moved, context=wanting(authority)) as server:
            session, _ = client(server.url, **pair)
            with pytest.raises(BadAnswer, match="which is not followed"):
                session.request("GET", server.url)
            session.close()
    assert other.connections == 0
    assert len(server.seen) == 1


@pytest.mark.parametrize("way", ["command", "sigv4", "proxy"])
@pytest.mark.parametrize(
    "answer",
    [
        fault.page(401, f"bad {SECRET}"),
        fault.page(503, f"busy with {SECRET}", Retry_After=3),
        fault.refusal(422, "execution", f"too many samples for {SECRET}"),
        fault.good({"hello": SECRET}),
        fault.page(200, f"<html>{SECRET}"),
        fault.page(302, "", Location=f"http://127.0.0.1/{SECRET}"),
        fault.page(407, f"proxy says {SECRET}"),
    ],
    ids=["401", "503", "422", "other JSON", "HTML", "302", "407"],
)
def test_f46_no_new_secret_in_errors_and_progress(tmp_path: Path, way: str, answer) -> None:
    if way == "sigv4":
        pytest.importorskip("requests_aws4auth")
    told: list[str] = []
    redactor = Redactor()
    with fault.serve(answer) as server:
        options = {"proxy": server.url, "proxy_username": "me", "proxy_password": SECRET} if way == "proxy" else ways(tmp_path)[way]
        target = Server("http://prometheus.invalid" if way == "proxy" else server.url, **options)
        session = PatientSession(target, redactor, sleep=lambda _: None, told=told.append)
        with pytest.raises(SourceError) as caught:
            session.exchange(
                "POST", f"{target.url}/api/v1/query", lambda body: session.refusals.document(json.loads(body)), form={"query": "up"}
            )
        session.close()
    said = [str(caught.value), *told, repr(target), repr(session.auth)]
    assert SECRET in redactor.forms()
    assert not any(form in text for text in said for form in redactor.forms())

"""`identomat doctor`: what it looks at, what it finds, and what it says to fix."""

import json
import socket
import ssl
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trustme

from identomat_async import errors
from identomat_async._cli._doctor import _failure_of
from identomat_async._cli._doctor_checks import (
    check_account,
    check_clock,
    check_mode,
    check_signature,
    check_tls,
    said_of_tls,
)
from identomat_async._cli._doctor_line import Address, check_line
from identomat_async.sandbox import Front, Sandbox
from tests._cli_ground import Place, serving

HOUR, DAY = 3600.0, 86400.0


@pytest.fixture(scope="module")
def place() -> Generator[Place]:
    with serving() as place:
        yield place


def verdicts(told: str) -> dict[str, str]:
    return {each["name"]: each["verdict"] for each in json.loads(told)["checks"]}


def test_all_is_well_and_nothing_was_changed(place: Place) -> None:
    done = place.run("doctor", "--json")

    found = verdicts(done.stdout)
    assert (done.exit_code, done.stderr) == (0, "")
    assert json.loads(done.stdout)["ok"] is True
    assert found == {
        "versions": "fine",
        "configuration": "fine",
        "name": "fine",
        "connection": "fine",
        "clock": "fine",
        "account": "fine",
        "signature": "note",
    }
    assert place.sandbox.tokens == ()


def test_a_sandbox_with_a_front_tells_its_time_too() -> None:
    sandbox = Sandbox()
    with sandbox.serve(front=Front()) as server:
        done = Place(sandbox, server.base_url).run("doctor", "--json")

    assert verdicts(done.stdout)["clock"] == "fine"


def test_people_get_a_table_with_what_to_do(place: Place) -> None:
    done = place.run("doctor")

    assert done.exit_code == 0
    assert "-> if your company key came with one" in done.stdout
    assert "\x1b" not in done.stdout


def test_a_session_proves_the_signature_and_is_deleted(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("canary-of-a-secret\n")
    secret.chmod(0o600)
    with serving(secret_key="canary-of-a-secret") as place:
        seen = place.run("doctor", "--json", "--secret-file", str(secret))
        proved = place.run("doctor", "--json", "--secret-file", str(secret), "--begin")
        (token,) = place.sandbox.tokens
        assert place.sandbox.truth(token).deleted

    assert (seen.exit_code, verdicts(seen.stdout)["signature"]) == (0, "note")
    assert (proved.exit_code, verdicts(proved.stdout)["signature"]) == (0, "fine")
    assert "key file" not in verdicts(proved.stdout)


def test_a_secret_that_is_not_the_services_is_said(tmp_path: Path) -> None:
    with serving() as place:  # which signs nothing
        environment = {"IDENTOMAT_SECRET_KEY": "canary-of-a-secret"}
        done = place.run("doctor", "--json", "--begin", **environment)

    assert done.exit_code == 1
    session = next(each for each in json.loads(done.stdout)["checks"] if each["name"] == "session")
    assert session["found"].startswith("begin: ")
    assert "secret key belongs to the company key" in session["fix"]


def test_a_secret_that_was_lost_on_the_way_is_said() -> None:
    with serving() as place:
        done = place.run("result", "t", IDENTOMAT_SECRET_KEY="")

    assert done.exit_code == 2
    assert "IDENTOMAT_SECRET_KEY is set but empty" in done.stderr


def test_a_key_that_is_refused_is_said() -> None:
    with serving(company_key="another") as place:
        done = place.run("doctor")

    assert done.exit_code == 1
    assert "WRONG" in done.stdout
    assert "-> check the company key" in done.stdout


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"IDENTOMAT_COMPANY_KEY": None}, "there is no company key"),
        ({"IDENTOMAT_COMPANY_KEY": "two words"}, "company_key must be"),
        ({"IDENTOMAT_BASE_URL": "http://elsewhere.example/"}, "base_url must be https"),
    ],
)
def test_a_configuration_that_cannot_work_is_said(
    place: Place, environment: dict[str, str | None], said: str
) -> None:
    done = place.run("doctor", "--json", **environment)

    found = json.loads(done.stdout)["checks"]
    wrong = next(each for each in found if each["verdict"] == "wrong")
    assert done.exit_code == 1
    assert wrong["name"] == "configuration"
    assert said in wrong["found"]
    # As far as it makes sense, the rest is looked at all the same.
    assert (found[-1]["name"] == "clock") is ("IDENTOMAT_BASE_URL" not in environment)


@pytest.mark.parametrize(("content", "option"), [(b"", "--key-file"), (b"\xff", "--secret-file")])
def test_files_that_hold_no_key_are_said(
    place: Place, tmp_path: Path, content: bytes, option: str
) -> None:
    file = tmp_path / "key"
    file.write_bytes(content)
    file.chmod(0o644)

    done = place.run("doctor", "--json", option, str(file))

    assert done.exit_code == 1
    assert f"{file} holds no key" in done.stdout
    assert verdicts(done.stdout)["key file"] == "note"
    assert place.run("result", "a", option, str(file)).exit_code == 2


def test_the_key_may_be_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("canary-of-another-key\n")
    with serving(company_key="canary-of-another-key") as place:
        place.sandbox.plant("a", "approved")

        assert place.run("result", "a").exit_code == 9
        assert place.run("result", "a", "--key-file", str(file)).exit_code == 0


# TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@contextmanager
def tls(authority: trustme.CA, name: str) -> Generator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    with Sandbox().serve(front=Front(ssl_context=context)) as server:
        yield server.base_url


def test_a_certificate_of_ones_own_authority_goes_with_its_file(
    authority: trustme.CA, place: Place, tmp_path: Path
) -> None:
    file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(file))
    with tls(authority, "127.0.0.1") as base_url:
        options = ("doctor", "--json", "--base-url", base_url)
        trusted = place.run(*options, "--ca-file", str(file))
        strange = place.run(*options)

    assert (trusted.exit_code, verdicts(trusted.stdout)["TLS"]) == (0, "fine")
    assert (strange.exit_code, verdicts(strange.stdout)["TLS"]) == (1, "wrong")
    assert "--ca-file" in strange.stdout
    assert "account" not in verdicts(strange.stdout)


def test_a_file_without_certificates_is_refused(place: Place, tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("nothing")

    done = place.run("doctor", "--json", "--ca-file", str(file))

    assert done.exit_code == 1
    assert "holds no certificate" in done.stdout


def test_a_certificate_for_another_name_is_said(authority: trustme.CA) -> None:
    trust = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(trust)
    with tls(authority, "elsewhere.example") as base_url:
        check = check_line(Address.of(base_url), trust, timeout=5)[-1]

    assert (check.name, check.found) == ("TLS", "the certificate is for another name")


@contextmanager
def answering(answer: bytes) -> Generator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            line, _ = listener.accept()
            with line:
                line.recv(65536)
                line.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


@pytest.mark.parametrize(
    ("scheme", "answer", "name", "verdict"),
    [
        ("https", b"SSH-2.0-x\r\n", "TLS", "wrong"),
        ("http", b"SSH-2.0-x\r\n", "answer", "wrong"),
        ("http", b"", "answer", "wrong"),
        ("http", b"HTTP/1.1 200 OK\r\n\r\n", "clock", "note"),
        ("http", b"HTTP/1.1 200 OK\r\nDate: yesterday\r\n\r\n", "clock", "note"),
        (
            "http",
            b"HTTP/1.1 404 No\r\nDate: Mon, 01 Jan 2001 00:00:00 GMT\r\n\r\n",
            "clock",
            "wrong",
        ),
    ],
)
def test_whoever_else_answers_is_noticed(
    scheme: str, answer: bytes, name: str, verdict: str
) -> None:
    with answering(answer) as port:
        check = check_line(Address.of(f"{scheme}://127.0.0.1:{port}/x/"), None, timeout=5)[-1]

    assert (check.name, check.verdict) == (name, verdict)


def test_a_port_that_nobody_has_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    check = check_line(Address.of(f"http://127.0.0.1:{port}"), None, timeout=5)[-1]

    assert (check.name, check.verdict) == ("connection", "wrong")
    assert "refuses connections" in check.found


def test_a_name_that_nobody_has_is_said() -> None:
    # A label of 64 letters is longer than the name system allows: nobody is asked.
    check = check_line(Address.of(f"https://{'a' * 64}.example/"), None, timeout=5)[-1]

    assert (check.name, check.verdict) == ("name", "wrong")


def test_a_port_that_is_silent_is_said() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        full = [socket.socket() for _ in range(3)]
        for line in full:
            line.settimeout(0)
            line.connect_ex(("127.0.0.1", port))

        check = check_line(Address.of(f"http://127.0.0.1:{port}"), None, timeout=0.05)[-1]
        for line in full:
            line.close()

    assert (check.name, check.found) == ("connection", f"127.0.0.1:{port} does not answer")


def test_a_network_that_is_not_there_is_said() -> None:
    # A port of an address that is for nobody: the system refuses at once.
    check = check_line(Address.of("http://255.255.255.255:80"), None, timeout=1)[-1]

    assert (check.name, check.verdict) == ("connection", "wrong")
    assert "cannot be reached (errno" in check.found


# What was found means


@pytest.mark.parametrize(
    ("apart", "verdict"), [(0, "fine"), (4, "fine"), (-30, "note"), (90, "wrong"), (-90, "wrong")]
)
def test_a_clock_is_held_against_the_services(apart: float, verdict: str) -> None:
    check = check_clock(1000.0, 1000.0 + apart)

    assert check.verdict == verdict
    assert ("behind" in check.found) is (apart < -5)


@pytest.mark.parametrize(("left", "verdict"), [(None, "fine"), (90 * DAY, "fine"), (DAY, "note")])
def test_a_certificate_that_ends_soon_is_noted(left: float | None, verdict: str) -> None:
    assert check_tls("TLSv1.3", None if left is None else HOUR + left, HOUR).verdict == verdict


def certificate_error(code: int) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError("no")
    error.verify_code = code
    return error


@pytest.mark.parametrize(
    ("code", "said"),
    [(10, "has ended"), (62, "another name"), (18, "nobody we trust"), (3, "(code 3)")],
)
def test_what_is_wrong_with_a_certificate_is_said(code: int, said: str) -> None:
    assert said in said_of_tls(certificate_error(code)).found


def test_a_file_with_a_key_that_others_can_read_is_noted() -> None:
    assert check_mode("k", 0o100600) is None
    found = check_mode("k", 0o100640)
    assert found is not None
    assert (found.verdict, found.fix) == ("note", "chmod 600 k")


def _classes(root: type[Exception]) -> list[type[Exception]]:
    return [root, *(each for child in root.__subclasses__() for each in _classes(child))]


@pytest.mark.parametrize("kind", _classes(errors.IdentomatError), ids=lambda kind: kind.__name__)
def test_there_is_advice_for_every_error(kind: Callable[[str], errors.IdentomatError]) -> None:
    check = check_account(kind("something happened"))

    assert (check.fix is None) is (kind is errors.SessionNotFoundError)


async def test_a_service_that_knows_everybody_is_noted() -> None:
    async def know(token: str) -> str:
        return token

    assert await _failure_of(know, "a") is None
    assert check_account(None).verdict == "note"
    assert check_signature(is_signed=True, is_proved=True).verdict == "fine"

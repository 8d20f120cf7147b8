"""Nodes as processes: the ready line, signals, restarts, the first owner."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import urllib3

import syft_ext as sy
from syft_ext.errors import GridError, Unauthenticated
from syft_ext.nodes.login import connect
from tests.apps.conftest import OWNER, PASSWORD, Nodes, grid


@pytest.mark.parametrize("kind", ["network", "domain", "worker"])
def test_a_node_says_that_it_is_ready_has_no_torch_and_ends_in_order(started_nodes: Nodes, kind: str) -> None:
    node = started_nodes.start(kind, "n")
    assert node.lines == [f"ready {node.url}"], "the only line on standard output"
    if kind != "worker":
        # torch costs 280 MB; what a node holds must go with what it carries (DESIGN 9).
        assert "libtorch" not in Path(f"/proc/{node.process.pid}/maps").read_text()
    with connect(node.url) as client:
        assert (client.kind, client.name) == (kind, "n")
    answer = urllib3.request("GET", f"{node.url}/readyz", retries=False)
    assert answer.status == 200, answer.data
    assert (node.home.stat().st_mode & 0o777) == 0o700
    assert ((node.home / "node.key").stat().st_mode & 0o777) == 0o600
    assert node.stop() == 0


def test_a_restart_keeps_identity_users_and_datasets(nodes: Nodes) -> None:
    domain = nodes.start("domain", "d")
    client = nodes.login(domain)
    assert isinstance(client, sy.DomainClient)
    client.users.create(email="a@example.org", password=PASSWORD)
    client.datasets.create("biopsies", {"x": [[1.0, 2.0]]}, description="two numbers")
    first = client.id
    domain.kill()  # not even asked to stop

    domain = nodes.restart(domain)
    again = nodes.login(domain)
    assert isinstance(again, sy.DomainClient)
    assert again.id == first
    assert [each.name for each in again.datasets.all()] == ["biopsies"]
    assert again.datasets["biopsies"]["x"].data.tolist() == [[1.0, 2.0]]
    assert sy.login(domain.url, "a@example.org", PASSWORD).me.email == "a@example.org"


def test_the_first_owner_comes_from_the_environment_once(nodes: Nodes) -> None:
    domain = nodes.start("domain", "d")
    assert nodes.login(domain).me.role == "Owner"
    domain.stop()
    domain = nodes.restart(domain, GRID_OWNER_EMAIL="thief@example.org", GRID_OWNER_PASSWORD=PASSWORD)
    with pytest.raises(Unauthenticated):
        sy.login(domain.url, "thief@example.org", PASSWORD)
    assert nodes.login(domain).me.email == OWNER


def test_the_password_of_the_owner_is_not_left_in_the_process(nodes: Nodes) -> None:
    domain = nodes.start("domain", "d")
    children = subprocess.run(
        ["pgrep", "-P", str(domain.process.pid)], capture_output=True, text=True
    ).stdout.split()
    for child in children:
        assert PASSWORD.encode() not in Path(f"/proc/{child}/environ").read_bytes()
    assert PASSWORD not in " ".join(domain.log)


def test_set_up_over_the_network_is_possible_once(nodes: Nodes, tmp_path: Path) -> None:
    domain = nodes.start("domain", "d", owner=False)
    with connect(domain.url) as client:
        assert not client.metadata.configured
    assert any("nobody owns" in line for line in domain.log)
    no_password = grid("domain", "setup", "--url", domain.url, "--email", OWNER)
    assert no_password.code == 2, "never a prompt without a terminal"
    assert "GRID_OWNER_PASSWORD" in no_password.err
    file = tmp_path / "pw"
    file.write_text(PASSWORD + "\n")
    done = grid("domain", "setup", "--url", domain.url, "--email", OWNER, "--password-file", str(file))
    assert (done.code, done.out) == (0, f"{OWNER} owns this domain now\n"), done.err
    assert nodes.login(domain).me.role == "Owner"
    again = grid("domain", "setup", "--url", domain.url, "--email", "b@x.org", GRID_OWNER_PASSWORD=PASSWORD)
    assert again.code == 5


def test_set_up_of_a_home_without_a_running_node(nodes: Nodes, tmp_path: Path) -> None:
    home = tmp_path / "d"
    done = grid("domain", "setup", "--home", str(home), "--email", OWNER, GRID_OWNER_PASSWORD=PASSWORD)
    assert done.code == 0, done.err
    again = grid("domain", "setup", "--home", str(home), "--email", OWNER, GRID_OWNER_PASSWORD=PASSWORD)
    assert again.code == 5
    domain = nodes.start("domain", "d", owner=False)
    assert nodes.login(domain).me.role == "Owner"


def test_two_nodes_do_not_share_a_home_or_a_port(nodes: Nodes) -> None:
    domain = nodes.start("domain", "d")
    second = grid("domain", "start", "--home", str(domain.home), "--port", "0")
    assert second.code == 5
    assert "another node is running" in second.err
    port = domain.url.rsplit(":", 1)[1]
    third = grid("domain", "start", "--home", str(nodes.root / "other"), "--port", port)
    assert third.code == 5
    assert f"listens on 127.0.0.1:{port} already: choose another --port" in third.err


def test_logs_go_to_standard_error_as_json_if_wanted(nodes: Nodes) -> None:
    node = nodes.start("network", "n", "--log-format", "json", owner=False)
    node.stop()
    entries = [json.loads(line) for line in node.log]
    assert any("nobody owns" in entry["message"] for entry in entries)
    assert all({"time", "level", "logger", "message"} <= set(entry) for entry in entries)


def test_ctrl_c_ends_a_node_too(nodes: Nodes) -> None:
    node = nodes.start("network", "n")
    node.process.send_signal(signal.SIGINT)
    assert node.process.wait(60) == 0


def test_a_node_refuses_settings_that_do_not_exist(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "grid.toml").write_text("prot = 1\n")
    wrong = grid("domain", "start", "--home", str(home), "--port", "0")
    assert wrong.code == 1
    assert "did you mean port" in wrong.err
    (home / "grid.toml").unlink()
    wrong = grid("domain", "start", "--home", str(home), GRID_PRT="1")
    assert "did you mean GRID_PORT" in wrong.err


def test_node_on_postgresql(nodes: Nodes, postgresql_url: str) -> None:
    domain = nodes.start("domain", "d", DATABASE_URL=postgresql_url)
    assert nodes.login(domain).me.role == "Owner"
    assert not (domain.home / "node.db").exists()
    domain.kill()
    domain = nodes.restart(domain, DATABASE_URL=postgresql_url)
    assert nodes.login(domain).me.role == "Owner"


def test_tls(nodes: Nodes, tmp_path: Path) -> None:
    cert, key = _certificate(tmp_path)
    domain = nodes.start("domain", "d", "--tls-cert", str(cert), "--tls-key", str(key))
    assert domain.url.startswith("https://")
    with sy.login(domain.url, OWNER, PASSWORD, ca_file=str(cert)) as client:
        assert client.me.email == OWNER
    with pytest.raises(GridError):
        connect(domain.url)


def _certificate(folder: Path) -> tuple[Path, Path]:
    import datetime
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    cert = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    paths = folder / "cert.pem", folder / "key.pem"
    paths[0].write_bytes(cert.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return paths


def test_help_is_quick_and_complete() -> None:
    done = subprocess.run([sys.executable, "-m", "apps.cli", "--help"], capture_output=True, text=True)
    assert done.returncode == 0
    for word in ("network", "domain", "worker", "login", "search", "doctor", "Exit codes"):
        assert word in done.stdout
    # What it imports decides how quick it is.
    program = "import sys\nfrom apps.cli import main\nsys.argv = ['grid', '--help']\n"
    program += "try: main.main()\nexcept SystemExit: pass\n"
    program += (
        "print(sorted({'torch', 'gevent', 'sqlalchemy', 'flask', 'msgspec', 'urllib3'} & set(sys.modules)))"
    )
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert loaded.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    "command",
    [
        ("network",), ("network", "start"), ("network", "setup"), ("network", "requests"),
        ("network", "accept"), ("network", "deny"), ("network", "remove"), ("network", "domains"),
        ("domain", "associate"), ("worker", "start"), ("worker", "approve"), ("login",), ("search",),
        ("dataset", "add"), ("training", "watch"), ("config", "show"), ("doctor",),
    ],
)  # fmt: skip
def test_every_command_has_help(command: tuple[str, ...]) -> None:
    from click.testing import CliRunner

    from apps.cli.main import cli

    result = CliRunner().invoke(cli, [*command, "--help"])
    assert result.exit_code == 0
    assert len(result.output.splitlines()) > 3

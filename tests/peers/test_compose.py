"""The TURN server of ``docker-compose.yml``, run from its configuration."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from grid.peers.probing import probe_turn
from tests.coturn import SECRET, Coturn, needs_coturn
from tests.peers.test_turn import own_address, turn_url

COMPOSE = Path(__file__).parents[2] / "docker-compose.yml"


@needs_coturn
def test_the_server_of_docker_compose_does_what_peers_need_and_no_more(tmp_path: Path) -> None:
    address = own_address()
    text: str = yaml.safe_load(COMPOSE.read_text())["configs"]["turn"]["content"]
    values = {"GRID_TURN_SECRET": SECRET, "GRID_TURN_ADDRESS": address}
    filled = re.sub(r"\$\{(\w+):-\}", lambda found: values[found[1]], text)
    assert "$" not in filled
    config = tmp_path / "turnserver.conf"
    config.write_text(
        f"{filled}allow-loopback-peers\n"
    )  # here it is on loopback, which it carries to nobody else
    server = Coturn.of_file(config, address, tmp_path)
    try:
        server.wait()
        assert probe_turn(turn_url(address), SECRET, 600)[0] == "ok", server.said()
        result, said = probe_turn(turn_url(address), "another secret", 600)
        assert result == "failed" and "turn_secret" in said
    finally:
        server.close()

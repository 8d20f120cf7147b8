"""The distribution and its documents are complete."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from setuptools import find_packages

ROOT = Path(__file__).resolve().parent.parent


def test_setup_cfg_lists_every_package() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    listed = set(config["options"]["packages"].split())
    found = set(find_packages(str(ROOT / "packages"))) | {
        f"apps.{name}" for name in find_packages(str(ROOT / "apps"))
    }
    assert listed == found | {"apps"}


def test_documents_name_only_files_that_exist() -> None:
    documents = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "docs/threat-model.md"]
    documents += [str(path.relative_to(ROOT)) for path in (ROOT / "docs" / "adr").glob("*.md")]
    for document in documents:
        text = (ROOT / document).read_text()
        for path in re.findall(r"`((?:tests|benchmarks|notebooks|demo|docs|packages|apps)/[\w./-]+)`", text):
            assert (ROOT / path).exists(), f"{document} names {path}"


def test_the_two_commands_open_the_readme() -> None:
    opening = (ROOT / "README.md").read_text().split("##")[0]
    assert opening.index("./grid-demo") < opening.index("./grid-test")


def test_the_hooks_and_ci_check_the_same() -> None:
    """What passes before a commit passes in CI, as far as that is no test."""
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert [repository["repo"] for repository in hooks] == ["local"], "nothing is fetched"
    entries = [hook["entry"] for hook in hooks[0]["hooks"]]
    ci = re.findall(r'^"\$venv/(bin/[\w-]+)"(.*)$', (ROOT / ".ci" / "run").read_text(), re.MULTILINE)
    assert entries == [f".venv/{tool}{arguments}" for tool, arguments in ci]
    assert all(hook["always_run"] and not hook["pass_filenames"] for hook in hooks[0]["hooks"])


def test_every_tool_of_ci_is_in_the_test_extra() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    extra = {line.partition(">")[0] for line in config["options.extras_require"]["test"].split()}
    assert {"ruff", "mypy", "import-linter", "typos", "pre-commit", "cyclonedx-bom"} <= extra


def test_the_images_install_exact_releases_by_their_hashes() -> None:
    """All that setup.cfg asks for is locked, in a release that its range allows, and each lock has a hash."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    asked = config["options"]["install_requires"] + config["options.extras_require"]["data"]
    blocks = re.split(r"^(?=[\w.-]+==)", (ROOT / "image.lock").read_text(), flags=re.MULTILINE)[1:]
    locked = {}
    for block in blocks:
        name, _, version = block.split()[0].partition("==")
        assert re.search(r"--hash=sha256:[0-9a-f]{64}\b", block), f"{name} has no hash"
        locked[name] = version
    for line in filter(None, asked.splitlines()):
        wanted = Requirement(line)
        assert wanted.specifier.contains(locked[canonicalize_name(wanted.name)]), f"{line}: see scripts/lock"
    docker = (ROOT / "Dockerfile").read_text()
    installs = re.findall(r"pip install ([^&;]*)", docker.replace("\\\n", " "))
    # Those of the lock (without torch where its index cannot be reached, or with it), and of Grid itself.
    assert len(installs) == 3 and all("--no-deps" in each for each in installs)
    assert all("--require-hashes" in each for each in installs[:2])

"""What an operator installs is whole: pinned, hashed, without addresses; container files are sound."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BIN = Path(sys.executable).parent
LOCKS = ("requirements.lock", "requirements-dev.lock")


@pytest.mark.parametrize("name", LOCKS)
def test_every_pin_has_a_version_and_a_hash_and_no_address(name: str) -> None:
    text = (ROOT / name).read_text()
    pins = re.split(r"\n(?=[a-z0-9])", text.strip())
    assert len(pins) > 30
    assert "://" not in text
    for pin in pins:
        assert re.match(r"[A-Za-z0-9._-]+(\[[a-z,]+\])?==", pin), pin.splitlines()[0]
        assert "--hash=sha256:" in pin, pin.splitlines()[0]


def test_what_runs_is_tested_with_the_same_versions() -> None:
    def versions(name: str) -> set[str]:
        return {
            line.split(" ")[0]
            for line in (ROOT / name).read_text().splitlines()
            if re.match(r"[a-z].*==", line)
        }

    assert versions("requirements.lock") <= versions("requirements-dev.lock")


def test_the_given_stack_is_named() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    named = " ".join(project["project"]["dependencies"] + project["dependency-groups"]["dev"])
    for library in ("twilio", "apscheduler", "sqlmodel", "fastapi", "pytest"):
        assert library in named
    assert "aftercare" in project["project"]["scripts"]


def test_every_direct_dependency_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    locked = (ROOT / "requirements.lock").read_text().lower()
    for requirement in project["project"]["dependencies"]:
        name = re.split(r"[\[>=<~ ;]", requirement)[0].lower()
        assert re.search(rf"^{re.escape(name)}(\[[a-z,]+\])?==", locked, re.MULTILINE), name


def test_compose_file_follows_the_schema() -> None:
    subprocess.run(
        [BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", ROOT / "docker-compose.yml"],
        check=True,
    )


def test_dockerfile_is_clean() -> None:
    subprocess.run([BIN / "hadolint", "--failure-threshold", "warning", ROOT / "Dockerfile"], check=True)


def test_no_registry_address_is_committed() -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.split("\0")
    address = re.compile(r"https?://[^ \"']*(registry\.|/simple/?|/packages/|\.whl|\.tgz)")
    read = 0
    for name in filter(None, tracked):
        path = ROOT / name
        if not path.is_file() or path.suffix in (".png", ".ico", ".woff2") or path == Path(__file__):
            continue
        read += 1
        assert not address.search(path.read_text(encoding="utf-8", errors="ignore")), name
    assert read > 40

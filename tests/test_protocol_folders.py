"""Folders of protocols: the built-in ones, a site's own beside them, and one text per version."""

from pathlib import Path

import pytest

from messages.protocol import BUILT_IN, ProtocolError, load
from messages.site import DEFAULT_SITE

OWN = (
    (BUILT_IN / "vertebroplasty.toml").read_text(encoding="utf-8").replace('"vertebroplasty"', '"injection"')
)


def test_a_folder_of_the_site_stands_beside_the_built_in_ones(tmp_path: Path) -> None:
    (tmp_path / "injection.toml").write_text(OWN, encoding="utf-8")
    assert sorted(load([tmp_path], DEFAULT_SITE)) == ["injection", "kyphoplasty", "vertebroplasty"]


def test_a_version_always_means_one_text(tmp_path: Path) -> None:
    built_in = (BUILT_IN / "kyphoplasty.toml").read_text(encoding="utf-8")
    own = tmp_path / "own.toml"
    own.write_text(built_in + "\n# our remark", encoding="utf-8")
    with pytest.raises(ProtocolError, match="own.toml:1: 'kyphoplasty' version 1 is another text already"):
        load([tmp_path], DEFAULT_SITE)
    own.write_text(built_in.replace("version = 1", "version = 2"), encoding="utf-8")
    assert load([tmp_path], DEFAULT_SITE)["kyphoplasty"].version == 2


def test_a_folder_or_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ProtocolError, match="there is no such folder"):
        load([tmp_path / "nowhere"], DEFAULT_SITE)
    (tmp_path / "latin.toml").write_bytes("título".encode("latin-1"))
    with pytest.raises(ProtocolError, match=r"latin\.toml:1: cannot be read as UTF-8"):
        load([tmp_path], DEFAULT_SITE)

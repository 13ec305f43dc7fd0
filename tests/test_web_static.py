"""What pages load and say: vendored files unchanged, nothing inline, both languages whole."""

import re
import string
import tomllib
from hashlib import sha256
from pathlib import Path

from service.runtime import Runtime
from service.web import guidance, render
from service.web.words import dictionary
from tests.web_clinic import browser_of, client_of
from tools.interface_words import codes, sentences

VENDOR = render.STATIC / "vendor"
INLINE = re.compile(r"""<script(?![^>]*\bsrc=)|\sstyle=["']|\son[a-z]+=["']|javascript:""", re.IGNORECASE)
MOST_BYTES = 200_000


def test_vendored_files_are_as_their_packages_have_them():
    manifest = tomllib.loads((VENDOR / "manifest.toml").read_text())["file"]
    listed = {entry["path"]: entry for entry in manifest}
    present = {path.name for path in VENDOR.iterdir()} - {"manifest.toml"}
    assert present == set(listed) and present
    for name, entry in listed.items():
        content = (VENDOR / name).read_bytes()
        assert sha256(content).hexdigest() == entry["sha256"], name
        assert entry["licence"] and entry["version"] and entry["name"]
    assert "://" not in (VENDOR / "manifest.toml").read_text()


def test_no_template_carries_inline_code_or_style():
    templates = sorted(render.TEMPLATES.glob("*.html"))
    assert len(templates) >= 20
    for path in templates:
        assert not INLINE.search(path.read_text()), path.name


def test_every_page_forbids_inline_code_framing_and_keeping(runtime: Runtime):
    kim = browser_of(runtime, role="admin")
    for path in (
        "/",
        "/patients",
        "/enroll",
        "/on-call",
        "/members",
        "/audit",
        "/scoreboard",
        "/me",
        "/sign-in",
    ):
        answer = kim.get(path)
        policy = answer.headers["content-security-policy"]
        assert "unsafe" not in policy and "frame-ancestors 'none'" in policy
        assert "script-src 'self'" in policy and "style-src 'self'" in policy
        assert answer.headers["cache-control"] == "no-store" or "no-store" in answer.headers["cache-control"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert not INLINE.search(answer.text)


def test_a_page_with_all_it_loads_stays_small(runtime: Runtime):
    kim = browser_of(runtime)
    page = kim.text("/")
    loaded = re.findall(r'(?:src|href)="(/static/[^"]+)"', page)
    assert len(loaded) >= 4
    sizes = [len(kim.get(path).content) for path in loaded]
    assert len(page.encode()) + sum(sizes) < MOST_BYTES


def test_static_files_are_kept_by_their_hash_and_nothing_else_is_served(runtime: Runtime):
    client = client_of(runtime)
    kept = client.get(render.static("app.css"))
    assert "immutable" in kept.headers["cache-control"] and kept.headers["content-type"].startswith(
        "text/css"
    )
    assert "immutable" not in client.get("/static/app.css").headers["cache-control"]
    assert client.get("/static/app.css", headers={"if-none-match": kept.headers["etag"]}).status_code == 304
    for path in (
        "../render.py",
        "..%2frender.py",
        "%2e%2e/pages.py",
        "/etc/passwd",
        "vendor",
        "",
        "app.css/",
    ):
        assert client.get(f"/static/{path}").status_code in (404, 307), path


def test_the_spanish_interface_is_whole_and_its_gaps_are_the_same():
    spanish, wanted = dictionary("es"), sentences() | codes()
    assert len(wanted) > 350
    assert sorted(wanted - set(spanish)) == []

    def gaps(text: str) -> set[str]:
        return {name for _, name, _, _ in string.Formatter().parse(text) if name}

    for sentence, translation in spanish.items():
        assert translation.strip() and gaps(sentence) == gaps(translation), sentence


def test_labels_that_templates_hand_to_a_macro_are_translated_too():
    """``secret("password", "Your password")`` says a sentence as much as ``t("Your password")`` does."""
    blocks = [
        block
        for path in render.TEMPLATES.glob("*.html")
        if path.name != "_icons.html"
        for block in re.findall(r"\{[{%](.*?)[}%]\}", path.read_text(encoding="utf-8"), re.DOTALL)
    ]
    said = {one for block in blocks for one in re.findall(r'"([A-Z][a-z]+ [^"]+)"', block)}
    assert {"Your present password", "Record contact"} <= said
    assert sorted(said - set(dictionary("es")) - {"Not Found"}) == []


def test_call_scripts_and_ready_texts_exist_in_both_languages_and_promise_nothing(runtime: Runtime):
    for concepts, reason in (
        (["numbness"], "red_flag"),
        (["chest_pain"], "red_flag"),
        ([], "silence"),
        ([], "x"),
    ):
        steps = guidance.call_script(concepts, reason, "en")
        assert len(steps) >= 3 and len(steps) == len(guidance.call_script(concepts, reason, "es"))
    assert guidance.call_script(["fever", "chest_pain"], "red_flag", "en")[0].startswith(
        "Is the patient able"
    )
    for answer in guidance.answer_texts(runtime.site, "es", "en"):
        assert answer.translation and "$" not in answer.text
        assert not re.search(r"\b(fine|normal|nothing to worry)\b", answer.translation, re.IGNORECASE)


def test_no_page_address_leaves_this_machine():
    for path in [*Path(render.TEMPLATES).glob("*.html"), render.STATIC / "app.js", render.STATIC / "app.css"]:
        assert not re.search(r"https?://", path.read_text()), path.name

"""Every sentence of the interface that has no translation yet: prints them as TOML for a language.

.venv/bin/python tools/interface_words.py es
"""

import json
import re
import sys
from pathlib import Path

WEB = Path(__file__).parent.parent / "service" / "web"
SAID = re.compile(r"""\bt\(\s*(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)')""")
PLACES = re.compile(r"""place\("[^"]*", "[^"]*", "([^"]*)\"""")
FIELDS = re.compile(r"""field\("[^"]*", "([^"]*)"(?:, "[a-z-]*", (?:true|false)(?:, "([^"]*)")?)?""")


def sentences() -> set[str]:
    """Literal sentences given to ``t`` in templates and code, and those in the tables of the pages."""
    found: set[str] = set()
    for path in [*WEB.glob("templates/*.html"), *WEB.glob("*.py")]:
        text = path.read_text(encoding="utf-8")
        found |= {first or second for first, second in SAID.findall(text)}
        if path.suffix == ".html":
            found |= set(PLACES.findall(text))
            found |= {word for pair in FIELDS.findall(text) for word in pair if word}
    return {sentence for sentence in found if not sentence.endswith(": ")}


def codes() -> set[str]:
    """The codes that English has words for: other languages need them too."""
    sys.path.insert(0, str(WEB.parent.parent))
    from service.web.words import dictionary

    return set(dictionary("en"))


if __name__ == "__main__":
    from_root = sys.path.insert(0, str(WEB.parent.parent))
    from service.web.words import dictionary

    known = dictionary(sys.argv[1])
    for sentence in sorted((sentences() | codes()) - set(known)):
        print(f"{json.dumps(sentence, ensure_ascii=False)} = ")

"""The shape of the code, read from the code: who may import whom, how long files are, how they are named."""

import ast
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("messages", "service", "jobs")
LONGEST_FILE = 320
LONGEST_EXCEPT = {"service/models.py": 900}
LONGEST_FUNCTION = 55
LONGEST_JOB = 200
FORBIDDEN_FILES = {"utils", "util", "helpers", "helper", "common", "core", "misc", "base", "manager"}
FORBIDDEN_CLASS_ENDS = ("Manager", "Service", "Handler", "Helper", "Util", "Utils", "Processor")
FORBIDDEN_VERBS = re.compile(r"(handle|process|manage|perform)(_|$)")
COMPOSITION = {"service.__main__", "service.commands", "service.demo", "service.simulation"}
CLOCKS = {"service.runtime", "service.demo_clock", "service.carriers.twilio", "jobs.scheduler"}
TWILIO_HOME = "service.carriers.twilio"
TICKER_HOME = "jobs.scheduler"


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def trees() -> dict[str, tuple[Path, ast.Module]]:
    """Every module of the three packages, parsed. Migrations are Alembic's."""
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            if "migrations" not in path.parts:
                found[module_of(path)] = (path, ast.parse(path.read_text(encoding="utf-8")))
    return found


def is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def imports_in(node: ast.AST, module: str, path: Path) -> Iterator[str]:
    """Full names of what is imported anywhere inside, late imports included, those for types left out."""
    for child in ast.iter_child_nodes(node):
        if is_for_types(child):
            continue
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            start = child.module or ""
            if child.level:
                package = module if path.name == "__init__.py" else module.rpartition(".")[0]
                for _ in range(child.level - 1):
                    package = package.rpartition(".")[0]
                start = f"{package}.{start}".rstrip(".")
            yield start
            yield from (f"{start}.{alias.name}" for alias in child.names)
        else:
            yield from imports_in(child, module, path)


@cache
def imported(module: str) -> frozenset[str]:
    path, tree = trees()[module]
    return frozenset(imports_in(tree, module, path))


def at_load(module: str) -> set[str]:
    """Own modules that are imported when this one is loaded."""
    path, tree = trees()[module]
    top = ast.Module(
        [node for node in tree.body if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)], []
    )
    return {name for name in imports_in(top, module, path) if name in trees()} - {module}


def roots(module: str) -> set[str]:
    return {name.split(".")[0] for name in imported(module)}


def test_every_module_was_read() -> None:
    counts = {package: sum(name.split(".")[0] == package for name in trees()) for package in PACKAGES}
    assert counts["messages"] >= 15 and counts["service"] >= 40 and counts["jobs"] >= 10, counts


def test_messages_imports_only_itself_the_standard_library_and_rapidfuzz() -> None:
    import sys

    allowed = set(sys.stdlib_module_names) | {"messages", "rapidfuzz"}
    found = {name: roots(name) - allowed for name in trees() if name.split(".")[0] == "messages"}
    assert {name: others for name, others in found.items() if others} == {}


def test_messages_has_no_clock_environment_database_or_network() -> None:
    away = {
        "os",
        "socket",
        "sqlite3",
        "urllib",
        "http",
        "subprocess",
        "threading",
        "asyncio",
        "random",
        "time",
    }
    found = {name: roots(name) & away for name in trees() if name.split(".")[0] == "messages"}
    assert {name: others for name, others in found.items() if others} == {}
    for name, (path, tree) in trees().items():
        if name.split(".")[0] == "messages":
            for node in ast.walk(tree):
                called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
                assert not called.endswith(("datetime.now", "date.today", "utcnow", ".getenv")), path


def test_service_does_not_know_jobs_except_where_the_program_is_put_together() -> None:
    knows = {name for name in trees() if name.startswith("service") and "jobs" in roots(name)}
    assert knows <= COMPOSITION


def test_only_web_and_what_serves_it_know_web() -> None:
    allowed = COMPOSITION | {"service.app", "service.serving"}
    for name in trees():
        if name.startswith("service.web") or name in allowed:
            continue
        found = {other for other in imported(name) if other.startswith("service.web")}
        assert not found, f"{name} imports {found}"


def test_jobs_do_not_know_web() -> None:
    for name in trees():
        if name.startswith("jobs"):
            assert roots(name) & set(PACKAGES) <= {"jobs", "messages", "service"}
            assert not any(other.startswith("service.web") for other in imported(name)), name


def test_twilio_and_apscheduler_have_one_home_each() -> None:
    assert {name for name in trees() if "twilio" in roots(name)} == {TWILIO_HOME}
    assert {name for name in trees() if "apscheduler" in roots(name)} == {TICKER_HOME}


def test_only_the_settings_read_the_environment() -> None:
    reads = set()
    for name, (_path, tree) in trees().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and ast.unparse(node) in ("os.environ", "os.getenv"):
                reads.add(name)
    assert reads <= {"service.settings"}


def test_the_machines_clock_is_asked_in_one_place() -> None:
    asks: dict[str, int] = {}
    for name, (_path, tree) in trees().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and re.search(
                r"(datetime\.(now|utcnow)|date\.today)$", ast.unparse(node.func)
            ):
                asks[name] = asks.get(name, 0) + 1
    allowed = {
        "service.runtime",
        "service.demo",
        "service.demo_clock",
        "service.carriers.twilio",
        "jobs.scheduler",
    }
    assert set(asks) <= allowed, asks


def test_there_are_no_circles() -> None:
    graph = {name: at_load(name) for name in trees()}
    for package in list(graph):  # importing a.b loads a first; a package that loads its parts is no circle
        graph[package] = {other for other in graph[package] if not other.startswith(f"{package}.")}
    done: set[str] = set()

    def visit(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, " -> ".join((*way[way.index(name) :], name))
        if name in done:
            return
        for other in sorted(graph[name]):
            visit(other, (*way, name))
        done.add(name)

    for name in graph:
        visit(name, ())


def test_files_are_short_and_named_for_what_they_hold() -> None:
    long = {}
    for name, (path, _tree) in trees().items():
        where = path.relative_to(ROOT).as_posix()
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines > LONGEST_EXCEPT.get(where, LONGEST_FILE):
            long[where] = lines
        assert path.stem.lower() not in FORBIDDEN_FILES, where
        assert re.fullmatch(r"[a-z0-9_]+", path.stem), name
    assert long == {}


def body_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function without its signature and docstring."""
    first = node.body[1:] if ast.get_docstring(node) else node.body
    return (node.end_lineno or 0) - first[0].lineno + 1 if first else 0


def test_classes_and_functions_are_named_for_what_they_do() -> None:
    for name, (path, tree) in trees().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                assert not node.name.endswith(FORBIDDEN_CLASS_ENDS), f"{name}.{node.name}"
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                inherited = node.name in ("handle_exit", "process_bind_param", "process_result_value")
                assert inherited or not FORBIDDEN_VERBS.match(node.name.lstrip("_")), f"{name}.{node.name}"
                assert body_lines(node) <= LONGEST_FUNCTION, f"{path.name}: {node.name} is too long"


def test_every_module_says_what_it_is_for() -> None:
    silent = [
        name for name, (path, tree) in trees().items() if path.stat().st_size and not ast.get_docstring(tree)
    ]
    assert silent == []


def test_every_job_is_one_short_file_with_run() -> None:
    jobs = [name for name in trees() if name.startswith("jobs.") and name != TICKER_HOME]
    assert len(jobs) >= 10
    for name in jobs:
        path, tree = trees()[name]
        runs = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "run"]
        assert len(runs) == 1, name
        assert [argument.arg for argument in runs[0].args.args] == ["runtime", "now"], name
        assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST_JOB, name


@pytest.mark.parametrize("library", ["twilio", "apscheduler", "sqlmodel", "fastapi", "pytest"])
def test_the_project_names_its_stack(library: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    listed = [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]
    assert any(re.match(rf"{library}\b", line) for line in listed)


def test_tests_are_flat_and_named() -> None:
    assert not list((ROOT / "tests").rglob("__init__.py"))
    deep = [path for path in (ROOT / "tests").rglob("test_*.py") if path.parent != ROOT / "tests"]
    assert deep == []


PATIENTS_TABLES = {
    "Patient", "Enrollment", "Escalation", "EscalationEvent", "PlanItem", "Reply", "StoredAssessment",
    "OutboundMessage", "LabelledCase", "BreakGlass",
}  # fmt: skip
QUERIES = ("select", "get", "get_one", "exists", "update", "delete")
# These work on a row that their caller has found with a sight.
GIVEN_WHAT_WAS_SEEN = {
    ("escalation_page", "_assessments"), ("live", "_texts"), ("live", "_course"),
    ("patient_facts", "course_texts"), ("queue_rows", "_select"), ("queue_rows", "marks_of"),
    ("talk", "conversation"), ("talk", "plan_lines"), ("talk", "pain_scores"), ("talk", "flag_times"),
    ("trends", "readings"),
}  # fmt: skip


def reads_patients(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether a function makes a query about patients itself."""
    for call in ast.walk(node):
        if isinstance(call, ast.Call):
            called = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
            named = {part.id for given in call.args for part in ast.walk(given) if isinstance(part, ast.Name)}
            if (
                called in ("select", "get", "get_one", "exists", "update", "delete")
                and named & PATIENTS_TABLES
            ):
                return True
    return False


def uses_a_sight(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether it has a sight to put into the query, or found the row through the desk, which has one."""
    for part in ast.walk(node):
        if isinstance(part, ast.Attribute) and part.attr == "sight":
            return True
        if isinstance(part, ast.Name | ast.arg) and "sight" in (
            getattr(part, "id", getattr(part, "arg", "")),
        ):
            return True
        if isinstance(part, ast.Call) and isinstance(part.func, ast.Attribute):
            of = part.func.value
            if isinstance(of, ast.Name) and of.id == "desk" and part.func.attr in FOUND_BY_THE_DESK:
                return True
    return False


FOUND_BY_THE_DESK = ("patient", "escalation", "enrollment")


def test_the_web_reads_patients_only_with_a_sight() -> None:
    reading, blind = 0, set()
    for name, (path, tree) in trees().items():
        if not name.startswith("service.web."):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and reads_patients(node):
                reading += 1
                if not uses_a_sight(node):
                    blind.add((path.stem, node.name))
    assert blind == GIVEN_WHAT_WAS_SEEN
    assert reading >= 20

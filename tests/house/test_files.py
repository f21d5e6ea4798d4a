"""What may stand in a file of this repository."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.house

ROOT = Path(__file__).parents[2]
CODE = (".py", ".sql", ".html", ".txt", ".js", ".sh")
TEXT = (*CODE, ".md", ".toml", ".yaml", ".yml", ".css", ".json", ".cfg", ".ini", ".svg", "")
SOURCES = ("audit", "accounts", "provisioning", "governance", "local", "demo", "bench")
LONGEST = 400
# Files that may be longer, each with its reason.
MAY_BE_LONG = {
    "THIRD_PARTY_LICENSES.md": "written by a command",
    "requirements.txt": "written by a command",
    "requirements-dev.txt": "written by a command",
    "requirements-browser.txt": "written by a command",
}
# With a class of one letter in each word, so that this file keeps its own rules.
UNFINISHED = "TOD[O]|FIXM[E]|XX[X]|HAC[K]"
FORBIDDEN = {
    "a path of somebody's machine": r"(?<![\w.~-])/(?:w[o]rk|r[o]ot|h[o]me/[a-z]+|U[s]ers/[A-Z]\w+)/",
    "the host of a package registry": r"py[p]i\.org|python[h]osted\.org|registry\.npm[j]s|--index[-]url",
    "the name of a writing machine": r"\b(?i:clau[d]e|anthropi[c]|chatgp[t]|opena[i]|copilo[t])\b",
}


def files() -> list[Path]:
    """Everything that is or would be committed."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode == 0:
        found = [ROOT / name for name in listed.stdout.splitlines()]
    else:  # an unpacked archive
        hidden = {".venv", ".rollcall", ".git", "__pycache__", "node_modules"}
        found = [p for p in ROOT.rglob("*") if not hidden & set(p.relative_to(ROOT).parts)]
    return [path for path in found if path.is_file() and not path.is_symlink()]


def texts(*, suffixes: tuple[str, ...] = TEXT) -> list[tuple[str, str]]:
    return [
        (str(path.relative_to(ROOT)), path.read_text(encoding="utf-8"))
        for path in files()
        if path.suffix in suffixes and "__pycache__" not in path.parts
    ]


def python_sources() -> list[tuple[str, str]]:
    return [(name, text) for name, text in texts(suffixes=(".py",)) if name.startswith(SOURCES)]


def test_there_is_something_to_look_at():
    assert len(texts()) > 100
    assert len(python_sources()) > 60


def test_no_file_is_longer_than_one_can_keep_in_mind(record_property):
    lengths = {
        name: text.count("\n")
        for name, text in texts(suffixes=CODE)
        if not name.startswith("tests/") and "/migrations/" not in name and name not in MAY_BE_LONG
    }
    # Past 300, a module asks which room it really wants to be: kept with the results, where a reader finds it.
    record_property("past 300 lines", sorted(name for name, length in lengths.items() if length > 300))
    assert {n: length for n, length in lengths.items() if length > LONGEST} == {}


def test_nothing_is_left_for_later_in_a_comment():
    found = [
        f"{name}:{number}: {line.strip()}"
        for name, text in texts()
        for number, line in enumerate(text.splitlines(), 1)
        if re.search(rf"\b(?:{UNFINISHED})\b", line)
    ]
    assert found == []


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_file_holds(what):
    pattern = re.compile(FORBIDDEN[what])
    found = [
        f"{name}:{number}: {line.strip()[:120]}"
        for name, text in texts()
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]
    assert found == []


def test_every_package_says_its_floor_and_the_question_it_answers():
    silent = [
        name
        for name, text in python_sources()
        if name.endswith("__init__.py")
        and "/migrations/" not in name
        and not (ast.get_docstring(ast.parse(text)) or "")
    ]
    assert silent == []


def test_every_module_and_every_public_name_says_what_it_is_for():
    silent = []
    for name, text in python_sources():
        if "/migrations/" in name or name.endswith("/apps.py"):  # Django's own wiring
            continue
        tree = ast.parse(text)
        if not ast.get_docstring(tree):
            silent.append(name)
        for node in tree.body:
            is_named = isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            if is_named and not node.name.startswith("_") and not ast.get_docstring(node):
                silent.append(f"{name}: {node.name}")
    assert silent == []


def test_every_test_is_a_sentence_and_no_two_of_a_file_have_one_name():
    wrong = []
    for name, text in texts(suffixes=(".py",)):
        if not name.startswith("tests/") or not Path(name).name.startswith("test_"):
            continue
        named = [n.name for n in ast.parse(text).body if isinstance(n, ast.FunctionDef) and n.name.startswith("test_")]
        wrong += [f"{name}: {n}" for n in named if n.count("_") < 3]
        wrong += [f"{name}: {n} twice" for n in {n for n in named if named.count(n) > 1}]
    assert wrong == []


def test_the_tests_stand_where_the_code_stands():
    """Each test of a floor is in a directory of that floor, without `__init__.py`."""
    assert [str(p.relative_to(ROOT)) for p in files() if p.name == "__init__.py" and "tests" in p.parts[-4:-1]] == []

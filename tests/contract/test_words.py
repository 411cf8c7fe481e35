"""The glossary's words are the only ones: what they replaced is in no name, docstring, comment or document any more.

The changelog tells of the past, SQL migrations are what installations have run, and golden files are the outside contract.
"""

import re
from pathlib import Path

import pytest

from tests.support.records import ROOT

FOLDERS = ("console", "deploy", "docs", "services", "shared", "tests")
ENDINGS = {".py", ".md", ".yml", ".yaml", ".toml", ".env"}
LEFT_OUT = {ROOT / "CHANGELOG.md", ROOT / "docs" / "glossary.md", Path(__file__)}

REPLACED = {
    "dead": r"\b(?:bury|buried|buries|burial|set aside|graveyard)\b",
    "redrive": r"\b(?:revive[sd]?|revival|forget_death)\b",
    "dead letter": r"\b(?:fit_letter|to_letter)\b",
    "circuit breaker": r"\b(?:Brake|admit_death)\b",
    "problems, errors": r'(?<!")\bcomplain(?:s|t|ts|ed)?\b',
    "validate, evaluate": r"\bjudge[sd]?\b",
    "error_text": r"\b_?in_words\b",
    "undecodable": r"\b(?:unreadable_record|read_parent)\b",
    "RunStore": r"\b(?:FrozenRuns|parse_frozen|Archive)\b",
    "RateLimiter": r"\b(?:Turnstile|Politeness|Inflater|Exchange)\b",
    "cursor pagination": r"\b(?:BeyondChain|take_over)\b",
    "RowBuffer, rewrite_lineage": r"\b(?:RowStore|restamp|disarm)\b",
    "backing off": r"\bresting\b",
    "DecidingRecord": r"\b(?:Decider|given_up|passed_on|imbalances?|left_behind)\b",
    "names of people": r'\b[Ss]omebody\b|(?<![`"])\b[Nn]obody\b',
    "a number": r"\b[Ss]o many\b",
    "its component": r"\bof ours\b",
    "what a test makes": r"\b(?:ghosts|laboratory)\b",
    "orphans": r"\b(?:leftovers|Detour)\b",
}
"""By the word to use instead."""


def sources() -> list[Path]:
    found = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.suffix in ENDINGS]
    kept = [
        path
        for path in [*ROOT.glob("*.md"), *found]
        if not {"__pycache__", "golden", "data"} & set(path.parts)
    ]
    return sorted(set(kept) - LEFT_OUT)


SHORTEST_HELP = 8
HELP = " ".join(
    " ".join(path.read_text(encoding="utf-8").split())
    for path in (Path(__file__).parent / "golden/help").iterdir()
)


def is_help(line: str) -> bool:
    """Whether the line is a text of `--help`, which is part of the outside contract."""
    quoted = [text for text in re.findall(r'"([^"{]*)["{]', line) if len(text) >= SHORTEST_HELP]
    return any(" ".join(text.split()) in HELP for text in [*quoted, line.strip().strip('"')])


@pytest.mark.parametrize("word", REPLACED)
def test_a_replaced_word_is_nowhere(word: str) -> None:
    pattern = re.compile(REPLACED[word])
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
        for path in sources()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if pattern.search(line) and not is_help(line)
    ]
    assert not found, f"write {word}:\n" + "\n".join(found)

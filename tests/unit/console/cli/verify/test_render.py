"""The findings as text for people."""

from rich.console import Console

from console.cli.verify.render import SHOWN, render
from console.verify.findings import Findings


def shown(findings: Findings) -> list[str]:
    console = Console(width=200, color_system=None)
    with console.capture() as capture:
        console.print(render(findings), highlight=False, soft_wrap=True)
    return [line.strip() for line in capture.get().splitlines() if line.startswith("I") and ": " in line]


def test_findings_with_the_same_message_are_one_line_with_their_number() -> None:
    findings = Findings()
    findings.add("I1", "posts.jsonl", "it has 1 record, run r crawled 1,500 of posts")
    for number in range(1_500):
        findings.add("I1", f"posts id={number}", "it is not in the lake")
    findings.add("I1", "posts id=7", "it is not in PostgreSQL")

    assert shown(findings) == [
        "I1  posts.jsonl: it has 1 record, run r crawled 1,500 of posts",
        "I1  posts id=0 and 1,499 more: it is not in the lake",
        "I1  posts id=7: it is not in PostgreSQL",
    ]


def test_one_invariant_s_findings_are_not_folded_into_another_s() -> None:
    findings = Findings()
    for invariant in ("I1", "I3"):
        findings.add(invariant, "a", "it is gone")

    assert shown(findings) == ["I1  a: it is gone", "I3  a: it is gone"]


def test_how_many_are_not_shown_counts_each_of_them() -> None:
    findings = Findings()
    for number in range(SHOWN + 5):
        for subject in ("a", "b"):
            findings.add("I1", subject, f"it is wrong in the way {number}")
    console = Console(width=200, color_system=None)
    with console.capture() as capture:
        console.print(render(findings))

    assert "I1  and 10 more" in capture.get()

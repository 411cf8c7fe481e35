"""What could not be checked is reported once for each reason, however many datasets or runs it concerns."""

from console.verify.findings import Findings


def test_many_datasets_are_one_note_that_names_the_first() -> None:
    findings = Findings()
    for number in range(97):
        findings.note("no source was given", f"d{number}")
    assert findings.notes == ["no source was given: d0, d1, d2, d3, d4 and 92 more"]


def test_a_subject_is_named_once() -> None:
    findings = Findings()
    for _ in range(3):
        findings.note("swept", "first")
    assert findings.notes == ["swept: first"]


def test_each_reason_has_a_note() -> None:
    findings = Findings()
    findings.note("swept", "first")
    findings.note("no file", "posts")
    assert findings.notes == ["swept: first", "no file: posts"]


def test_a_note_is_not_a_violation() -> None:
    findings = Findings()
    findings.note("swept", "first")
    assert findings.holds
    assert findings.as_dict()["notes"] == ["swept: first"]

"""The YAML of a dataset file: what is read, what is refused in which line, and that no text costs more than its bytes."""

import contextlib

import pytest

from shared.datasets.document import MAX_ALIASES, MAX_BYTES, MAX_DEPTH, DocumentError, read_document


def refused(text: str | bytes) -> tuple[int, str]:
    with pytest.raises(DocumentError) as caught:
        read_document(text if isinstance(text, bytes) else text.encode())
    return caught.value.line, caught.value.reason


def test_values_know_where_they_were_written() -> None:
    value, mark = read_document(b"a: 1\nb:\n  - {c: no}\n  - x\n")
    assert value == {"a": 1, "b": [{"c": False}, "x"]}
    assert mark.at(("b", 0, "c"))[0] == 3
    written = mark.at(("b", 0, "c"))[1]
    assert written is not None
    assert written.text == "no"
    assert mark.at(("b", 1))[0] == 4
    assert mark.at(("b", 7, "d")) == (2, None)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, "`a` is written twice, in lines 1 and 3"),
        ("s:\n  a: 1\n  b: 2\n  a: 3\n", 4, "`a` is written twice, in lines 2 and 4"),
        ("c:\n- {n: 1, t: 2,\n   n: 3}\n", 3, "`n` is written twice, in lines 2 and 3"),
        ("c: [{n: 1, n: 1}]\n", 1, "`n` is written twice, in line 1"),
        ('a: 1\n"a": 2\n', 2, "`a` is written twice"),
        ("a: {<<: {b: 1}, b: 2, b: 3}\n", 1, "`b` is written twice"),
    ],
)
def test_a_field_that_is_written_twice_is_refused_with_both_lines(text: str, line: int, words: str) -> None:
    assert refused(text)[0] == line
    assert words in refused(text)[1]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("", 1, "the file is empty"),
        ("# nothing yet\n\n", 1, "the file is empty"),
        ("hello\n", 1, "a dataset file is a mapping"),
        ("- name: x\n", 1, "begins with a list"),
        ("a: 1\n\tb: 2\n", 2, "a tab stands where blanks belong"),
        ("a:\n  - b\n\t- c\n", 3, "a tab stands where blanks belong"),
        ("a: @odata\n", 1, "a value cannot begin with @: put it in quotes"),
        ("a: `x`\n", 1, "a value cannot begin with `"),
        ("a: %x\n", 1, "a value cannot begin with %"),
        ("a: b: c\n", 1, "a colon stands where none can be"),
        ("a: [1, 2\nb: 3\n", 1, "a [ is not closed"),
        ("a: {b: 1\n", 1, "a { is not closed"),
        ("a: 'x\n", 2, "a quote that was opened is not closed"),
        ('a: "user\\.name"\n', 1, "single quotes"),
        ("a: *b\n", 1, "*b refers to nothing"),
        ("a: &b [*b]\n", 1, "*b refers to nothing"),
        ("a: 1\n---\nb: 2\n", 2, "a second document"),
        ("a: !!python/object/apply:os.system [id]\n", 1, "the tag !!python"),
        ("a: !mine x\n", 1, "the tag !mine"),
        ("a: !!binary aGk=\n", 1, "the tag !!binary"),
        ("yes: 1\n", 1, "YAML reads the name yes as true"),
        ("404: x\n", 1, "YAML reads the name 404 as the number 404"),
        ("? [a]\n: b\n", 1, "a name is expected before the colon"),
        ("a: 2026-13-45\n", 1, "put it in quotes"),
        ("<<: 5\n", 1, "<< takes a mapping"),
        ("a: \x07\n", 1, "control character"),
        ("a: 1\nb: \x00\n", 2, "control character"),
        ("name:x\nb: 1\n", 2, "leave a blank after the colon"),
        ("%YAML 3.0\n---\na: 1\n", 1, "leave the line with % away"),
        (b"a: 1\nb: \xff\n", 2, "not UTF-8"),
        ("a: 1\n".encode("utf-16"), 1, "not UTF-8"),
    ],
)
def test_what_is_not_a_document_is_refused_with_its_line(text: str | bytes, line: int, words: str) -> None:
    assert refused(text)[0] == line
    assert words in refused(text)[1]


@pytest.mark.parametrize(
    "text", ["\ufeffa: 1\n", "a: 1\r\n", "--- # one\na: 1\n...\n", "{a: 1}", "%YAML 1.2\n---\na: 1\n"]
)
def test_what_editors_leave_in_a_file_does_not_matter(text: str) -> None:
    assert read_document(text.encode())[0] == {"a": 1}


def test_parts_may_be_shared_and_what_is_written_out_counts() -> None:
    text = "x: &x {a: 1, b: 1}\ny: &y {b: 2, c: 2}\nz:\n  <<: [*x, *y]\n  a: 0\n"
    value, mark = read_document(text.encode())
    assert value["z"] == {"a": 0, "b": 1, "c": 2}
    assert mark.at(("z", "c"))[0] == 2


@pytest.mark.parametrize(
    "text",
    [
        b"[" * MAX_BYTES,
        b"a: " + b"{a: " * 100_000,
        b"- " * 400_000,
        b"".join(b" " * depth + b"a:\n" for depth in range(1400)),
        b"a: [" + b"[" * MAX_DEPTH,
    ],
)
def test_a_document_that_nests_too_deep_ends_no_process(text: bytes) -> None:
    assert "levels deep" in refused(text)[1]


def test_references_to_references_cost_no_memory() -> None:
    bomb = "a: &a [x, x, x]\n" + "".join(
        f"b{n}: &b{n} [{', '.join([f'*b{n - 1}' if n else '*a'] * 9)}]\n" for n in range(60)
    )
    value, _ = read_document(bomb.encode())
    assert len(value["b59"]) == 9
    assert "references" in refused("a: &a x\nb: [" + "*a, " * (MAX_ALIASES + 1) + "]\n")[1]


def test_a_file_that_is_too_large_is_not_read() -> None:
    assert "bytes" in refused(b"#" * (MAX_BYTES + 1))[1]


@pytest.mark.parametrize(
    "number", ["9" * 100_000, "0x" + "f" * 100_000, "1:" * 50_000 + "1", "1" * 400 + ".0e+300"]
)
def test_a_monstrous_number_costs_nothing(number: str) -> None:
    with contextlib.suppress(DocumentError):
        read_document(f"a: {number}\n".encode())


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("c:\n- {n: a}\n- {n: b, from: a: b}\n", 3, "a colon stands inside a value: put the value in quotes"),
        ("c: {a: 1,\n b: x: y}\n", 2, "a colon stands inside a value"),
        ("c:\n- {n: a, t: b\n- {n: c}\nk: 1\n", 2, "a { is not closed, or a comma is missing"),
        ("c: {n: a\n# why\n\nkey: [id]\n", 1, "a { is not closed"),
        ("c: {a: 1,\n  b: 2\n  d: 3}\n", 2, "a comma is missing"),
        ("- {n: 1, from: @x}\n", 1, "as in '@x'"),
        ("k: [@x, y]\n", 1, "as in '@x'"),
        ("k: @x}y\n", 1, "as in '@x}y'"),
    ],
)
def test_the_cause_is_reported_at_the_line_that_has_it(text: str, line: int, words: str) -> None:
    with pytest.raises(DocumentError) as caught:
        read_document(text.encode())
    assert caught.value.line == line
    assert words in caught.value.reason

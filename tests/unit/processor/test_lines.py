from hypothesis import given, settings
from hypothesis import strategies as st

from services.processor.domain.lines import HEAD_BYTES, Chunk, LongLine, cut_lines


def lines_of(blocks: list[bytes], max_line_bytes: int = 10) -> list[bytes | int]:
    """Each line, or the length of one that is too long."""
    found: list[bytes | int] = []
    for piece in cut_lines(blocks, max_line_bytes):
        if isinstance(piece, Chunk):
            assert piece.first_line == len(found)
            assert piece.data.endswith(b"\n")
            assert piece.lines == piece.data.count(b"\n") > 0
            found.extend(piece.data.split(b"\n")[:-1])
        else:
            assert piece.line == len(found)
            found.append(piece.length)
    return found


@settings(deadline=None)
@given(st.lists(st.binary(max_size=30).map(lambda data: data.replace(b"a", b"\n"))), st.integers(0, 12))
def test_lines_are_the_same_wherever_the_blocks_end(blocks: list[bytes], more_bytes: int) -> None:
    max_line_bytes = max(map(len, blocks), default=0) + more_bytes
    whole = b"".join(blocks)
    lines = whole.split(b"\n")
    if not lines[-1]:
        lines.pop()
    expected = [line if len(line) <= max_line_bytes else len(line) for line in lines]
    assert lines_of(blocks, max_line_bytes) == expected


def test_a_last_line_without_a_newline_is_a_line() -> None:
    assert lines_of([b"a\nb"]) == [b"a", b"b"]
    assert lines_of([b"a\nb\n"]) == [b"a", b"b"]


def test_no_blocks_give_no_lines() -> None:
    assert lines_of([]) == []
    assert lines_of([b""]) == []


def test_of_a_line_that_is_too_long_only_the_beginning_is_stored() -> None:
    blocks = [b"x" * HEAD_BYTES, b"y" * HEAD_BYTES, b"z" * HEAD_BYTES, b"\nnext\n"]
    long, after = cut_lines(blocks, max_line_bytes=100)
    assert isinstance(long, LongLine)
    assert long.head == b"x" * HEAD_BYTES
    assert long.length == 3 * HEAD_BYTES
    assert isinstance(after, Chunk)
    assert after.data == b"next\n"

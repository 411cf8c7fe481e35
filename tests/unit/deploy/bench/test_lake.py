from deploy.bench.lake import CASES, measure


def test_each_case_writes_every_row_beside_the_bare_writer() -> None:
    found = measure(rows=200, repeat=1)
    assert [line["case"] for line in found] == [case.name for case in CASES]
    assert [line["files"] > 1 for line in found] == [False, False, False, True]
    assert all(line["bytes"] > 0 and line["bare_bytes"] > 0 for line in found)

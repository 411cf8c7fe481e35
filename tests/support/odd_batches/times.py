"""Days, moments, times of day and lengths of time: formats, bounds of the calendar, clocks that are changed."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

from tests.support.odd_batches.batch import OddBatch, no_range, no_type, of_texts, of_values

_DAY = date(2026, 3, 4)
_MOST_S = 9_223_372_036_854


def _at(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type,misc]  # numbers of a date and time


def _in_format(form: str, *good: str, bad: Sequence[str] = ()) -> OddBatch:
    refused = dict.fromkeys([*bad, "2026-3-4x", ""], no_type(f"in the format {form}"))
    return of_texts(
        f"days in the format {form}", "date", {**dict.fromkeys(good, _DAY), **refused}, format=form
    )


def _moments(form: str, moment: datetime, *good: str, bad: Sequence[str] = ()) -> OddBatch:
    written: dict[str, Any] = {
        **dict.fromkeys(good, moment),
        **dict.fromkeys(bad, no_type(f"in the format {form}")),
    }
    return of_texts(f"moments in the format {form}", "timestamp", written, format=form)


def _local(name: str, zone: str, written: dict[str, Any]) -> OddBatch:
    return of_texts(f"{name} in {zone}", "timestamp", written, zone=zone)


TIMES = [
    _in_format("%Y-%m-%d", "2026-03-04", "2026-3-4", "2026-03-4", bad=("04-03-2026", "26-03-04")),
    _in_format("%d.%m.%Y", "04.03.2026", "4.3.2026", bad=("2026-03-04", "04.03.26", "04.13.2026", "32.03.2026")),
    _in_format("%m/%d/%Y", "03/04/2026", "3/4/2026", bad=("13/04/2026", "03-04-2026", "3/4/26")),
    _in_format("%d/%m/%Y", "04/03/2026", "4/3/2026", bad=("04/13/2026",)),
    _in_format("%d/%m/%y", "04/03/26", bad=("04/03/2026",)),
    _in_format("%Y/%m/%d", "2026/03/04", "2026/3/4"),
    _in_format("%Y%m%d", "20260304", bad=("202634", "2026034", "2026111")),
    _in_format("%d%m%y", "040326", bad=("40326", "11126")),
    _in_format("%d.%m%Y", "04.032026", "4.032026", bad=("4.32026",)),
    _in_format("%d %b %Y", "04 Mar 2026", "4 mar 2026", "4 MAR 2026", bad=("4 M\u00e4r 2026", "4 March 2026", "4 Xyz 2026")),
    _in_format("%d-%b-%y", "04-Mar-26", "4-MAR-26"),
    _in_format("%b %d, %Y", "Mar 04, 2026", "MAR 4, 2026", bad=("Mar 4 2026",)),
    _in_format("%Y.%m.%d.", "2026.03.04.", "2026.3.4."),
    _in_format("%Y\u5e74%m\u6708%d\u65e5", "2026\u5e7403\u670804\u65e5", "2026\u5e743\u67084\u65e5",
        bad=("2026\u5e743\u67084",)),
    _in_format("%d%%%m%%%Y", "04%03%2026"),
    of_texts(
        "years of two digits turn at 69", "date",
        {"01.01.68": date(2068, 1, 1), "01.01.69": date(1969, 1, 1), "01.01.99": date(1999, 1, 1),
        "01.01.00": date(2000, 1, 1),
         "29.02.00": date(2000, 2, 29)},
        format="%d.%m.%y",
    ),
    of_texts(
        "days in a format that are not in the calendar", "date",
        {"29.02.2024": date(2024, 2, 29), "29.02.2026": no_type(), "29.02.1900": no_type(),
        "31.04.2026": no_type(), "00.01.2026": no_type(),
         "01.00.2026": no_type(), "01.01.0000": no_range(), "01.01.0001": date(1, 1, 1),
         "31.12.9999": date(9999, 12, 31), "01.01.10000": no_type()},
        format="%d.%m.%Y",
    ),
    of_texts(
        "days without a format", "date",
        {"2026-03-04": _DAY, "2026-3-4": no_type(), "20260304": no_type(), "2026-063": no_type(),
        "2026-W10-3": no_type(), "04.03.2026": no_type(),
         "2026-03-04T00:00:00": no_type(), "2026-03-04 ": no_type(), " 2026-03-04": no_type(), "": no_type(),
         "\uff12026-03-04": no_type(),
         "2026\u201003\u201004": no_type(), "today": no_type(), "0000-00-00": no_type(),
         "1900-02-29": no_type(), "2000-02-29": date(2000, 2, 29)},
    ),
    of_texts(
        "days at the bounds of the calendar and one beyond", "date",
        {"0001-01-01": date(1, 1, 1), "9999-12-31": date(9999, 12, 31),
        "0000-12-31": no_range("beyond the range"), "10000-01-01": no_range(),
         "-0001-01-01": no_range(), "99999-01-01": no_range(), "1582-10-10": date(1582, 10, 10)},
    ),
    of_texts(
        "days without end", "date",
        {"infinity": no_type(), "-infinity": no_type(), "Infinity": no_type(), "inf": no_type(),
        "NaT": no_type(), "null": no_type(), "2026-03-04": _DAY},
    ),
    of_texts(
        "moments without end", "timestamp",
        {"infinity": no_type(), "-infinity": no_type(), "Infinity": no_type(), "epoch": no_type(),
        "now": no_type(), "NaT": no_type()},
    ),
    of_values(
        "days and moments without end are null where the column says so", "timestamp",
        {'"infinity"': None, '"-infinity"': None, '"0000-00-00 00:00:00"': None,
        '"9999-12-31 00:00:00"': _at(9999, 12, 31)},
        nulls=["infinity", "-infinity", "0000-00-00 00:00:00"],
    ),
    of_values(
        "epochs where moments are", "timestamp",
        {"0": no_type("a number"), "1795946400": no_type(), "1795946400000": no_type(), "1.5": no_type(),
        '"1795946400"': no_type(), "true": no_type()},
    ),
    of_texts(
        "moments at the bounds of the calendar and one beyond", "timestamp",
        {"0001-01-01T00:00:00Z": _at(1, 1, 1), "9999-12-31T23:59:59.999999Z": _at(9999, 12, 31, 23, 59, 59,
        999999),
         "9999-12-31T23:59:59.9999999Z": _at(9999, 12, 31, 23, 59, 59, 999999),
         "0001-01-01T00:00:00+00:01": no_range(),
         "9999-12-31T23:59:59-00:01": no_range(), "10000-01-01T00:00:00Z": no_range(),
         "0000-12-31T23:59:59Z": no_range(),
         "0000-12-31T23:59:59-01:00": no_range(), "9999-12-31T24:00:00Z": no_range(),
         "-2026-01-01T00:00:00Z": no_range()},
    ),
    of_texts(
        "moments of the 64 bits of nanoseconds and beyond", "timestamp",
        {"1677-09-21T00:12:43.145224Z": _at(1677, 9, 21, 0, 12, 43, 145224), "1677-09-21T00:12:43Z": _at(1677,
        9, 21, 0, 12, 43),
         "2262-04-11T23:47:16.854775Z": _at(2262, 4, 11, 23, 47, 16, 854775),
         "2262-04-11T23:47:17Z": _at(2262, 4, 11, 23, 47, 17),
         "1969-12-31T23:59:59.999999Z": _at(1969, 12, 31, 23, 59, 59, 999999),
         "2038-01-19T03:14:08Z": _at(2038, 1, 19, 3, 14, 8)},
    ),
    of_texts(
        "fractions of a second in any length", "timestamp",
        {"2026-03-04T05:06:07.1Z": _at(2026, 3, 4, 5, 6, 7, 100000), "2026-03-04T05:06:07.000001Z": _at(2026,
        3, 4, 5, 6, 7, 1),
         "2026-03-04T05:06:07.000000999Z": _at(2026, 3, 4, 5, 6, 7), "2026-03-04T05:06:07.Z": no_type(),
         "2026-03-04T05:06:07,5Z": no_type(),
         "2026-03-04T05:06:07.1234567890Z": no_type(), "1969-12-31T23:59:59.0000009Z": _at(1969, 12, 31, 23,
         59, 59)},
    ),
    of_texts(
        "offsets in all spellings", "timestamp",
        {"2026-03-04T05:06:07+00:00": _at(2026, 3, 4, 5, 6, 7), "2026-03-04T05:06:07-00:00": _at(2026, 3, 4,
        5, 6, 7),
         "2026-03-04T05:06:07+05:45": _at(2026, 3, 3, 23, 21, 7), "2026-03-04T05:06:07+0545": _at(2026, 3, 3,
         23, 21, 7),
         "2026-03-04T05:06:07-03": _at(2026, 3, 4, 8, 6, 7), "2026-03-04T05:06:07+14:00": _at(2026, 3, 3, 15,
         6, 7), "2026-03-04t05:06:07z": _at(2026, 3, 4, 5, 6, 7),
         "2026-03-04T05:06:07 +01:00": no_type(), "2026-03-04T05:06:07 UTC": no_type(),
         "2026-03-04T05:06:07CET": no_type(),
         "2026-03-04T05:06:07[Europe/Berlin]": no_type(), "2026-03-04T05:06:07+24:00": no_type(),
         "2026-03-04T05:06:07\u221203:00": no_type()},
    ),
    of_texts(
        "hours, minutes and seconds beyond their clock", "timestamp",
        {"2026-03-04T24:00:00Z": _at(2026, 3, 5), "2026-03-04T24:00:01Z": no_type(),
        "2026-03-04T25:00:00Z": no_type(), "2026-03-04T23:60:00Z": no_type(),
         "2016-12-31T23:59:60Z": _at(2017, 1, 1), "2026-03-04T23:59:61Z": no_type(),
         "2026-03-04T5:06:07Z": no_type(), "2026-03-04T": no_type(), "2026-03-04T05": no_type()},
    ),
    _moments("%Y-%m-%d %H:%M:%S.%f", _at(2026, 3, 4, 5, 6, 7, 500000), "2026-03-04 05:06:07.5",
        "2026-3-4 5:6:7.500000", "2026-03-04 05:06:07.500000999", bad=("2026-03-04T05:06:07.5",
        "2026-03-04 05:06:07", "2026-03-04 24:00:00.0", "2026-03-04 05:06:60.5")),
    _moments("%d/%b/%Y:%H:%M:%S %z", _at(2026, 3, 4, 4, 6, 7), "04/Mar/2026:05:06:07 +0100",
        "4/MAR/2026:04:06:07 Z", "03/mar/2026:23:06:07 -05:00", bad=("04/Mar/2026:05:06:07",
        "04/Mar/2026:05:06:07 CET")),
    _moments("%m/%d/%Y %I:%M %p", _at(2026, 3, 4), "03/04/2026 12:00 AM", "3/4/2026 12:00 am",
        bad=("03/04/2026 00:00 AM", "03/04/2026 13:00 PM", "03/04/2026 12:00", "03/04/2026 12:00 A.M.")),
    _moments("%d.%m.%Y", _at(2026, 3, 4), "04.03.2026", "4.3.2026", bad=("04.03.2026 00:00", "04.03.26")),
    _moments("%Y%m%dT%H%M%SZ", _at(2026, 3, 4, 5, 6, 7), "20260304T050607Z", bad=("20260304T050607",
        "2026-03-04T05:06:07Z")),
    of_texts(
        "moments in a format of a zone", "timestamp",
        {"04.07.2026 12:00": _at(2026, 7, 4, 10), "04.01.2026 12:00": _at(2026, 1, 4, 11),
        "29.03.2026 02:30": no_range("no time of Europe/Berlin"),
         "25.10.2026 02:30": _at(2026, 10, 25, 0, 30), "2026-07-04T12:00": no_type()},
        format="%d.%m.%Y %H:%M", zone="Europe/Berlin",
    ),
    _local(
        "the hour that is not there", "Europe/Berlin",
        {"2026-03-29T01:59:59.999999": _at(2026, 3, 29, 0, 59, 59, 999999),
        "2026-03-29T02:00:00": no_range("no time of Europe/Berlin"),
         "2026-03-29T02:59:59": no_range(), "2026-03-29T03:00:00": _at(2026, 3, 29, 1),
         "2026-03-29T02:30:00Z": _at(2026, 3, 29, 2, 30),
         "2026-03-29T02:30:00+01:00": _at(2026, 3, 29, 1, 30)},
    ),
    _local(
        "the hour that is there twice", "Europe/Berlin",
        {"2026-10-25T01:59:59": _at(2026, 10, 24, 23, 59, 59), "2026-10-25T02:00:00": _at(2026, 10, 25),
        "2026-10-25T02:59:59": _at(2026, 10, 25, 0, 59, 59),
         "2026-10-25T03:00:00": _at(2026, 10, 25, 2), "2026-10-25T02:30:00+01:00": _at(2026, 10, 25, 1, 30)},
    ),
    _local(
        "clocks that are changed", "America/New_York",
        {"2026-03-08T02:30": no_range(), "2026-03-08T03:00": _at(2026, 3, 8, 7), "2026-11-01T01:30": _at(2026,
        11, 1, 5, 30), "2026-11-01T02:00": _at(2026, 11, 1, 7)},
    ),
    _local(
        "clocks that are changed by half an hour", "Australia/Lord_Howe",
        {"2026-10-04T02:15": no_range(), "2026-10-04T02:30": _at(2026, 10, 3, 15, 30),
        "2026-04-05T01:45": _at(2026, 4, 4, 14, 45), "2026-07-01T00:00": _at(2026, 6, 30, 13, 30)},
    ),
    _local("a day that was left out", "Pacific/Apia", {"2011-12-29T12:00": _at(2011, 12, 29, 22),
        "2011-12-30T12:00": no_range(), "2011-12-31T12:00": _at(2011, 12, 30, 22)}),
    _local("midnights that are not there", "America/Sao_Paulo", {"2018-11-04": no_range(),
        "2018-11-04T01:00": _at(2018, 11, 4, 3), "2018-11-05": _at(2018, 11, 5, 2), "2019-11-03": _at(2019, 11, 3,
        3)}),
    _local("offsets of quarters of an hour", "Asia/Kathmandu", {"2026-03-04T05:45": _at(2026, 3, 4),
        "1985-06-01T05:30": _at(1985, 6, 1)}),
    _local(
        "the bounds of the calendar", "Asia/Tokyo",
        {"0001-01-01T00:00": no_range(), "9999-12-31T23:59:59": _at(9999, 12, 31, 14, 59, 59),
        "0001-01-01T00:00Z": _at(1, 1, 1), "10000-01-01": no_range()},
    ),
    _local("the end of the calendar", "America/Los_Angeles", {"9999-12-31T15:59:59": _at(9999, 12, 31, 23, 59,
        59), "9999-12-31T16:00:00": no_range(), "0001-01-02": _at(1, 1, 2, 7, 52, 58)}),
    of_texts(
        "times of day", "time",
        {"00:00": "00:00:00.000000", "23:59:59.999999": "23:59:59.999999",
        "23:59:59.9999999": "23:59:59.999999", "08:30:00.5": "08:30:00.500000",
         "24:00": no_type(), "24:00:00": no_type(), "23:59:60": no_type(), "8:30": no_type(),
         "08.30": no_type(), "08:30 AM": no_type(), "0830": no_type(),
         "08:30Z": no_type(), "08:30+01:00": no_type(), "": no_type(), "08": no_type(), "T08:30": no_type(),
         "-08:30": no_type()},
    ),
    of_texts(
        "times of day in a format of twelve hours", "time",
        {"12:00 AM": "00:00:00.000000", "12:00 pm": "12:00:00.000000", "1:05 PM": "13:05:00.000000",
        "11:59 pM": "23:59:00.000000", "13:00 PM": no_type(),
         "0:30 AM": no_type(), "12:00": no_type(), "12:60 AM": no_type()},
        format="%I:%M %p",
    ),
    of_texts(
        "times of day in a format without colons", "time", {"0830": "08:30:00.000000",
        "2359": "23:59:00.000000", "2400": no_type(), "08:30": no_type(), "830": no_type(), "123": no_type()},
        format="%H%M",
    ),
    of_values(
        "times of day that are numbers", "time", {"830": no_type(), "8.5": no_type(), "0": no_type(),
        "null": None, '"08:30"': "08:30:00.000000"},
    ),
    of_values(
        "lengths of time as numbers of seconds", "duration",
        {"0": 0, "90": 90_000_000, "0.5": 500_000, "-1.25": -1_250_000, "1e3": 1_000_000_000, "0.0000009": 0,
        "-0.0000009": 0, "0.0000000001": no_type(),
         '"90"': 90_000_000, '"-0.5"': -500_000, "1e400": no_range(), "-0.0": 0},
    ),
    of_texts(
        "lengths of time as texts", "duration",
        {"PT0S": 0, "P1D": 86_400_000_000, "P1W": 604_800_000_000, "PT1H30M": 5_400_000_000,
        "-P1DT2H": -93_600_000_000, "+PT1S": 1_000_000,
         "PT0.000001S": 1, "PT0,5S": 500_000, "PT36H": 129_600_000_000, "P1Y": no_type("such as PT1H30M"),
         "P1M": no_type(), "P": no_type(), "PT": no_type(),
         "P1DT": no_type(), "PT1.5H": no_type(), "1:30:00": no_type(), "1h30m": no_type(), "pt1h": no_type(),
         "P-1D": no_type(), "PT1M1H": no_type(), "": no_type()},
    ),
    of_values(
        "lengths of time at their bounds and one beyond", "duration",
        {f"{_MOST_S}.775806": 2**63 - 2, f"-{_MOST_S}.775806": -(2**63 - 2),
        f"{_MOST_S}.775807": no_range("beyond duration"), f"-{_MOST_S}.775808": no_range(),
         f'"PT{_MOST_S}.775806S"': 2**63 - 2, f'"PT{_MOST_S}.775807S"': no_range(),
         '"P106751991D"': 106751991 * 86_400_000_000, '"P106751992D"': no_range(),
         '"P9999999999999999999D"': no_range()},
    ),
]  # fmt: skip

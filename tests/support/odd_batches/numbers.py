"""Numbers at and beyond the bounds of their types, and numbers that are written as something else."""

from decimal import Decimal
from typing import Any

from tests.support.odd_batches.batch import OddBatch, Refused, no_range, no_type, of_texts, of_values

_NO_JSON = Refused("decode", "not JSON")
_NINES = "9" * 38
_DOUBLE = 1.7976931348623157e308
_SINGLE = 3.4028234663852886e38


def _bounds(bits: int) -> OddBatch:
    least, most = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    written: dict[str, Any] = {
        str(least): least,
        str(most): most,
        f"{most}.0": most,
        f"{least}e0": least,
        str(least - 1): no_range(f"x: {least - 1} is beyond int{bits}"),
        str(most + 1): no_range(f"x: {most + 1} is beyond int{bits}"),
        f"{most + 1}.0": no_range(),
        str(2**64): no_range(),
        "1" * 400: no_range(),
    }
    return of_values(f"int{bits} at its bounds and one beyond", f"int{bits}", written)


NUMBERS = [
    *map(_bounds, (8, 16, 32, 64)),
    of_values(
        "whole numbers that are written as floats", "int64",
        {"1.0": 1, "1e3": 1000, "12.50e1": 125, "9007199254740993.0": 9007199254740993, "100e-2": 1,
        "-0.0": 0,
         "0e999": 0},
    ),
    of_values(
        "fractions in a whole column", "int64",
        {"1.5": no_type("not a whole number"), "1e-1": no_type(), "0.0000000001": no_type(), "2.0": 2},
    ),
    of_values(
        "fractions in a whole column that rounds half to even", "int64",
        {"0.5": 0, "1.5": 2, "2.5": 2, "-0.5": 0, "-1.5": -2, "1e-400": 0,
        "9223372036854775807.5": no_range()},
        inexact="round",
    ),
    of_values(
        "a whole column that rounds up to its bound and beyond", "int8",
        {"127.4": 127, "127.5": no_range(), "-128.5": -128, "-128.6": no_range()}, inexact="round",
    ),
    of_values(
        "texts in a whole column that takes numbers only", "int64",
        {'"1"': no_type("a text where int64"), '""': no_type(), '"null"': no_type(), "1": 1},
    ),
    of_texts(
        "texts in a whole column that takes them", "int64",
        {"1": 1, "-1": -1, "+1": 1, "1.0": 1, "1e2": 100, "": no_type(), " 1": no_type(), "1 ": no_type(),
         "0x10": no_type(), "1_000": no_type(), "1,000": no_type(), "\u0661": no_type(), "\uff11": no_type(),
         "--1": no_type(), "1e": no_type(), "9223372036854775807": 2**63 - 1,
         "9223372036854775808": no_range()},
        from_text=True,
    ),
    of_texts(
        "leading zeros of texts in a whole column", "int64",
        {"007": 7, "-007": -7, "000": 0, "0000000000000000000000001": 1, "00.0": 0}, from_text=True,
    ),
    of_texts("leading zeros in a text column", "string", {"007": "007", "01067": "01067", "0": "0",
        "00": "00"}),
    of_values(
        "leading zeros of numbers are no JSON", "int64",
        {"007": _NO_JSON, "-01": _NO_JSON, "00": _NO_JSON, "0": 0},
    ),
    of_values(
        "numbers as other languages write them are no JSON", "float64",
        {"+1": _NO_JSON, ".5": _NO_JSON, "5.": _NO_JSON, "0x1F": _NO_JSON, "1_000": _NO_JSON, "1e": _NO_JSON,
         "1,5": _NO_JSON, "0b1": _NO_JSON, "1f": _NO_JSON, "--1": _NO_JSON},
    ),
    of_values(
        "numbers that are none are no JSON", "float64",
        {"NaN": _NO_JSON, "Infinity": _NO_JSON, "-Infinity": _NO_JSON, "nan": _NO_JSON, "inf": _NO_JSON,
         "-NaN": _NO_JSON, "1": 1.0},
    ),
    of_texts(
        "numbers that are none as texts in a float column", "float64",
        {"NaN": no_type(), "nan": no_type(), "Infinity": no_type(), "-Infinity": no_type(), "inf": no_type(),
         "1.5": 1.5},
        from_text=True,
    ),
    of_texts(
        "numbers that are none as null markers of a float column", "float64",
        {"NaN": None, "Infinity": no_type(), "nan": no_type()}, nulls=["NaN"],
    ),
    of_texts(
        "numbers that are none in a decimal column", "decimal(9,2)",
        {"NaN": no_type(), "sNaN": no_type(), "Infinity": no_type(), "-inf": no_type(),
        "1.5": Decimal("1.50")},
    ),
    of_texts(
        "numbers that are none in a text column stay texts", "string",
        {"NaN": "NaN", "Infinity": "Infinity", "null": "null", "None": "None", "true": "true"},
    ),
    of_values(
        "float64 at its bounds and one beyond", "float64",
        {"1.7976931348623157e308": _DOUBLE, "-1.7976931348623157e308": -_DOUBLE,
        "1.7976931348623159e308": no_range(),
         "1e309": no_range(), "1e400": no_range("x: 1e400 is beyond float64"), "-1e400": no_range(),
         "1e999999999": no_range(), "9" * 400: no_range()},
    ),
    of_values(
        "float64 next to zero", "float64",
        {"5e-324": 5e-324, "2.2250738585072014e-308": 2.2250738585072014e-308, "1e-400": 0.0, "-1e-400": -0.0,
         "0.0": 0.0, "-0.0": -0.0, "-0": -0.0, "0e5": 0.0, "1e-999999999": 0.0},
    ),
    of_values(
        "integers that no double is are the nearest double", "float64",
        {"9007199254740992": 2.0**53, "9007199254740993": 2.0**53, "9007199254740995": 2.0**53 + 4,
         "18446744073709551616": 2.0**64, "123456789012345678901234567890": 1.2345678901234568e29,
         "-9223372036854775808": -(2.0**63)},
    ),
    of_values(
        "integers that no double is are refused where the column says so", "float64",
        {"9007199254740992": 2.0**53, "9007199254740993": no_range("not exactly a float64"), "0.1": 0.1,
        "1e22": 1e22,
         "1e23": no_range(), "9007199254740993.0": no_range()},
        inexact="refuse",
    ),
    of_values(
        "doubles of many digits", "float64",
        {"0.1": 0.1, "0.10000000000000000555": 0.1, "0." + "3" * 400: 1 / 3, "1" + "0" * 300: 1e300,
         "3.141592653589793238462643383279": 3.141592653589793, "1.00000000000000011102230246251565": 1.0,
         "1.00000000000000011102230246251566": 1.0000000000000002},
    ),
    of_values(
        "float32 at its bounds and one beyond", "float32",
        {"3.4028234663852886e38": _SINGLE, "-3.4028234663852886e38": -_SINGLE, "3.4028235e38": _SINGLE,
         "3.4028236e38": no_range("beyond float32"), "1e39": no_range(), "1e400": no_range(), "1e-46": 0.0,
         "1.401298464324817e-45": 1.401298464324817e-45, "-0.0": -0.0},
    ),
    of_values(
        "float32 of values that only a double has", "float32",
        {"0.1": 0.10000000149011612, "16777217": 16777216.0, "16777219": 16777220.0, "0.5": 0.5},
    ),
    of_values(
        "decimals at their bounds and one beyond", "decimal(5,2)",
        {"999.99": Decimal("999.99"), "-999.99": Decimal("-999.99"), "1000": no_range("beyond decimal(5,2)"),
         "999.990": Decimal("999.99"), "999.991": no_type("more than 2 digits"), "1e3": no_range(),
         "99999e-2": Decimal("999.99"), "1e400": no_range(), "1e-400": no_type(), "0e-400": Decimal("0.00"),
         "-0.0": Decimal("0.00")},
    ),
    of_values(
        "decimals of powers of ten that no table has", "decimal(5,2)",
        {"1e-77": no_type("more than 2 digits"), "1e-99": no_type(), "1e-9999999": no_type(),
         "1e-999999999": no_type(), "0e-999999999": Decimal("0.00"), "-1e-0099999999": no_type(),
         "1e-2147483648": no_type(), "0.00000000000000000000000000000000000001e-9": no_type(),
         '"1e-999999999"': no_type(), '"1\\u0065-999999999"': no_type(), '"\\u0031e-999999999"': no_type(),
         '"1e\\u002d999999999"': no_type(), "1e999999999": no_range(), "150e-2": Decimal("1.50")},
    ),
    of_values(
        "decimals of powers of ten that no table has, rounded", "decimal(5,2)",
        {"1e-77": Decimal("0.00"), "1e-999999999": Decimal("0.00"), '"-1e-999999999"': Decimal("0.00"),
         "5e-3": Decimal("0.00")},
        inexact="round",
    ),
    of_texts(
        "decimals with a comma of powers of ten that no table has", "decimal(5,2)",
        {"1,0e-999999999": no_type(), "0,0e-999999999": Decimal("0.00"), "150,0e-2": Decimal("1.50")},
        decimal_comma=True,
    ),
    of_values(
        "lengths of time of powers of ten that no table has", "duration",
        {"1e-77": no_type("more than 9 digits"), "1e-999999999": no_type(), '"1e-999999999"': no_type(), "1e-9": 0},
    ),
    of_values(
        "lists of decimals of powers of ten that no table has", "list<decimal(5,2)>",
        {"[1, 1e-999999999]": no_type("item 2"), '["1e-99"]': no_type("item 1"), "[1.5]": [Decimal("1.50")]},
    ),
    of_values(
        "decimals that overflow 128 bits where the point is moved", "decimal(38,38)",
        {"7": no_range("7 is beyond decimal(38,38)"), "-7": no_range(), "3.50": no_range(), '"7"': no_range(),
         "2147483648": no_range(), "18446744073709551616": no_range(), "0.5": Decimal("0.5" + "0" * 37)},
    ),
    of_values(
        "decimals of ten digits behind the point that overflow 128 bits", "decimal(38,10)",
        {"9" * 28: Decimal("9" * 28 + "." + "0" * 10), "1" + "0" * 28: no_range(), "9" * 30: no_range(),
         "9" * 34: no_range(), "9" * 38: no_range(), "12345678901234567890123456789012345678": no_range()},
    ),
    of_values(
        "decimals of many digits that round half to even", "decimal(20,2)",
        {"42949672.945": Decimal("42949672.94"), "42949672.955": Decimal("42949672.96"),
         "-42949672.955": Decimal("-42949672.96"), "92233720368547758.075": Decimal("92233720368547758.08"),
         "184467440737095516.155": Decimal("184467440737095516.16")},
        inexact="round",
    ),
    of_texts(
        "decimals as texts of many digits", "decimal(9,2)",
        {"9" * 39: no_range(), "9" * 76: no_range(), "9" * 77: no_range(), "9" * 400: no_range(),
         "0" * 400 + "1,5": Decimal("1.50")},
        decimal_comma=True,
    ),
    of_values(
        "decimals of 38 digits", "decimal(38,0)",
        {_NINES: Decimal(_NINES), f"-{_NINES}": Decimal(f"-{_NINES}"), "1" + "0" * 38: no_range(),
         "1e37": Decimal("1" + "0" * 37), "1e38": no_range(), "9" * 400: no_range()},
    ),
    of_values(
        "decimals of 38 digits behind the point", "decimal(38,38)",
        {f"0.{_NINES}": Decimal(f"0.{_NINES}"), f"0.{_NINES}9": no_type(), "1": no_range(),
        "0": Decimal("0E-38"),
         "1e-38": Decimal("1E-38"), "1e-39": no_type()},
    ),
    of_values(
        "decimals never were floats", "decimal(20,18)",
        {"0.1": Decimal("0.100000000000000000"), "0.300000000000000004": Decimal("0.300000000000000004"),
         "1.005": Decimal("1.005000000000000000")},
    ),
    of_values(
        "decimals that round half to even", "decimal(5,2)",
        {"1.005": Decimal("1.00"), "1.015": Decimal("1.02"), "-1.005": Decimal("-1.00"),
        "-1.015": Decimal("-1.02"),
         "999.994": Decimal("999.99"), "999.995": no_range(), "1e-400": Decimal("0.00"),
         "-0.001": Decimal("0.00")},
        inexact="round",
    ),
    of_texts(
        "decimals as texts with a point", "decimal(9,2)",
        {"1.5": Decimal("1.50"), "1,5": no_type("where a text such as 12.50"), "1.234,5": no_type(),
        "1,234.5": no_type(),
         "1 234.5": no_type(), "1'234.5": no_type(), "1\u00a0234": no_type(), "$1.5": no_type(),
         "1.5 EUR": no_type(),
         "1.5%": no_type(), "(1.5)": no_type(), "1.5-": no_type(), "": no_type(), "-": no_type(),
         ".": no_type(),
         "+1.5": Decimal("1.50"), "-.5": Decimal("-0.50"), "1.": Decimal("1.00"), "001.50": Decimal("1.50"),
         "1.5e1": Decimal("15.00"), "\u22121.5": no_type()},
    ),
    of_texts(
        "decimals as texts with a comma", "decimal(9,2)",
        {"1,5": Decimal("1.50"), "1.5": no_type("where a text such as 12,50"), "1.234,5": no_type(),
        "-1,5": Decimal("-1.50"),
         "1": Decimal("1.00"), ",5": Decimal("0.50"), "1,5e1": Decimal("15.00"), "1,": Decimal("1.00"),
         "1,,5": no_type(),
         "1,234,5": no_type(), ",": no_type()},
        decimal_comma=True,
    ),
    of_values(
        "a column of commas takes numbers of JSON as they are", "decimal(9,2)",
        {"1.5": Decimal("1.50"), '"1,5"': Decimal("1.50"), "2": Decimal("2.00"), '"2"': Decimal("2.00"),
         '"1.5"': no_type()},
        decimal_comma=True,
    ),
    of_texts(
        "floats as texts with a comma", "float64",
        {"1,5": 1.5, "-0,0": -0.0, "1,5e3": 1500.0, "1.5": no_type("such as 12,5"), "1e400": no_range()},
        decimal_comma=True,
    ),
    of_texts(
        "floats as texts with a comma, without the option", "float64",
        {"1,5": no_type("such as 12.5"), "1.5": 1.5, "1e400": no_range(), "1e-400": 0.0,
        "9" * 400: no_range()},
        from_text=True,
    ),
    of_texts(
        "whole numbers as texts with a comma", "int32",
        {"1": 1, "1,0": 1, "1,5": no_type(), "1,000": 1, "1.000": no_type()}, decimal_comma=True,
    ),
    of_values(
        "numbers in a text column", "string",
        {"1": no_type("a number where string"), "1.5": no_type(), "true": no_type(), '"1"': "1",
        "null": None},
    ),
    of_values(
        "booleans where numbers are", "int64",
        {"true": no_type("a boolean where int64"), "false": no_type(), "1": 1},
    ),
    of_values(
        "numbers where booleans are", "boolean",
        {"true": True, "false": False, "0": no_type(), "1": no_type(), '"true"': no_type(), "null": None},
    ),
    of_values(
        "mixed types in a text column", "string",
        {'"a"': "a", "1": no_type(), "null": None, "[]": no_type("an array"), "{}": no_type("an object"),
         "true": no_type("a boolean"), '"1"': "1"},
    ),
    of_values(
        "mixed types in a float column", "float64",
        {"1": 1.0, "1.5": 1.5, '"1.5"': no_type(), "true": no_type(), "[1]": no_type(), '{"a":1}': no_type(),
         "null": None},
    ),
    of_values(
        "numbers and texts of numbers in one column", "int64",
        {"1": 1, '"2"': 2, "3.0": 3, '"4.0"': 4, "null": None, '"x"': no_type(), "true": no_type()},
        from_text=True,
    ),
    of_values(
        "numbers and texts of numbers in one decimal column", "decimal(9,2)",
        {"1": Decimal("1.00"), '"2"': Decimal("2.00"), "3.50": Decimal("3.50"), '"4.5"': Decimal("4.50"),
        '"x"': no_type()},
    ),
]  # fmt: skip

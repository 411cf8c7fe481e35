"""Why a setting cannot be used, for the operator who sets it. No value is ever in a message: it may be a secret."""

import re
from typing import Any

_MESSAGES = {
    "missing": "is not set",
    "greater_than_equal": "must be at least {ge:,}",
    "greater_than": "must be more than {gt:,}",
    "less_than_equal": "must be at most {le:,}",
    "less_than": "must be less than {lt:,}",
    "string_too_short": "must have at least {min_length:,} characters",
    "string_too_long": "must have at most {max_length:,} characters",
    "int_parsing": "a whole number is expected",
    "int_parsing_size": "a whole number is expected",
    "int_from_float": "a whole number is expected",
    "int_type": "a whole number is expected",
    "float_parsing": "a number is expected",
    "float_type": "a number is expected",
    "finite_number": "a number is expected",
    "bool_parsing": "true or false is expected",
    "bool_type": "true or false is expected",
}
"""By the library's name of the error."""

_CHOICE = re.compile("'([^']*)'")


def reason(item: Any) -> str:
    """The sentence for one of the library's errors."""
    kind, context = item["type"], item.get("ctx", {})
    if kind == "value_error":
        return str(context["error"])
    if kind == "literal_error":
        return f"one of {', '.join(_CHOICE.findall(context['expected']))} is expected"
    return _MESSAGES.get(kind, "is not what is expected").format(**context)

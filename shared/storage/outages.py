"""Why the object store did not do what it was asked, in a sentence: the driver adds the whole tree of its errors. Pure."""

import re

CREDENTIALS = "ONPOINT_S3_CREDENTIALS, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"

_DUMP = "\n\nDebug source:"
_PREAMBLE = re.compile(
    r".*?Error performing [A-Z]+ (?P<url>\S+) in \S+?(?:, after .*?retry_timeout: \S+)? +- ", re.DOTALL
)
_ANSWER = re.compile(r"status code: (?P<status>[0-9]{3} [A-Za-z -]+)")
_CODE = re.compile(r"<Code>([A-Za-z0-9]{1,60})</Code>")
_SERVER = re.compile(r"https?://[^/\s]+")
_REFUSED = ("401", "403")


def error_text(error: Exception, bucket: str) -> str:
    """What the store did instead, and which setting to look at."""
    text, _, dump = str(error).partition(_DUMP)
    preamble = _PREAMBLE.match(text)
    server = _SERVER.match(preamble["url"]) if preamble else None
    at = f" at {server[0].rpartition('@')[2] if '@' in server[0] else server[0]}" if server else ""
    if "kind: Connect" in dump:
        return f"the object store does not answer{at}"
    if "kind: Timeout" in dump:
        return f"the object store{at} did not answer in time"
    rest = text[preamble.end() :] if preamble else text
    answer, code = _ANSWER.search(rest), _CODE.search(rest)
    if code and code[1] == "NoSuchBucket":
        return f"the object store{at} has no bucket {bucket}"
    if answer is None:
        return " ".join(rest.split())
    status = f"{answer['status'].strip()}{f', {code[1]}' if code else ''}"
    if answer["status"].startswith(_REFUSED):
        return f"the object store{at} refused the credentials ({status}): see {CREDENTIALS}"
    return f"the object store{at} answered {status}"


def is_bucket_missing(error: Exception) -> bool:
    """A missing object is not an outage; a missing bucket is one."""
    return "<Code>NoSuchBucket</Code>" in str(error)

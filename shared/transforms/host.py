"""A process that runs steps: it forks one child for each, and says what became of it.

It has imported what a step needs, so that a step begins at once. It runs no code of a step itself, has no secret and no
open file of the process that started it, and, where the system allows it, no network. It ends with that process.
"""

import contextlib
import ctypes
import errno
import gc
import json
import os
import resource
import select
import signal
import time
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

MAX_REPORT_BYTES = 8_192
MAX_REASON_CHARS = 1_500
MAX_OPEN_FILES = 256

_SYSTEM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EMFILE, errno.ENFILE})
_FRAMES = {"polars": "polars", "arrow": "pyarrow", "pandas": "pandas"}
_OWN = ("shared.transforms.steps", "shared.transforms.python_code", "pyarrow")

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 1, 36, 38
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_LIBC = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    control = os.fdopen(os.dup(0), "rb", buffering=0)
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    _point_at_nothing()
    _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    _LIBC.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _LIBC.unshare(_CLONE_NEWUSER | _CLONE_NEWNET)
    while line := control.readline():
        job = json.loads(line)
        answers.write(json.dumps(_serve(job, control.fileno())).encode() + b"\n")


def _point_at_nothing() -> None:
    with open(os.devnull, "r+b", buffering=0) as nothing:  # noqa: PTH123 - a device
        for number in (0, 1, 2):
            os.dup2(nothing.fileno(), number)


def _serve(job: Mapping[str, Any], control: int) -> dict[str, Any]:
    """Forks a child for the job and waits for it; nothing that it started stays."""
    try:
        for name in (*_OWN, _FRAMES[job.get("frame") or "arrow"]):
            import_module(name)
        if job["kind"] == "sql":
            import_module("shared.transforms.steps").prepare_sql(job["memory_mib"] * 2**20)
        gc.freeze()
    except ImportError as error:
        return {"reason": f"{error.name or 'a library'} is not installed here"}
    reader, writer = os.pipe()
    try:
        child = os.fork()
    except OSError as error:
        os.close(reader)
        os.close(writer)
        return {"system": f"no process could be started: {error.strerror}"}
    if child == 0:
        _be_child(job, writer, keep={writer})
    os.close(writer)
    in_time = _wait(child, control, job["timeout_s"])
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    _end_descendants()
    report = _read(reader)
    if not in_time:
        return {"reason": f"it took longer than {job['limit_s']:g} s", "what": "time"}
    return report or {"reason": _ending(status, job), "what": "crash"}


def _wait(child: int, control: int, timeout_s: float) -> bool:
    """False: the time is over. Ends the host if its owner is gone."""
    handle = os.pidfd_open(child)
    try:
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        poll.register(control, select.POLLHUP)
        for number, _ in poll.poll(max(0, timeout_s) * 1000):
            if number == handle:
                return True
            os.kill(child, signal.SIGKILL)
            os._exit(0)
        return False
    finally:
        os.close(handle)


def _end_descendants() -> None:
    """What left its group came to this process when its parent ended."""
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    with contextlib.suppress(OSError):
        while left := children.read_text(encoding="ascii").split():
            for process in left:
                os.kill(int(process), signal.SIGKILL)
                os.waitpid(int(process), 0)


def _read(reader: int) -> dict[str, Any]:
    with os.fdopen(reader, "rb") as source:
        os.set_blocking(reader, False)
        text = source.read(MAX_REPORT_BYTES) or b""
    with contextlib.suppress(ValueError):
        found = json.loads(text)
        if isinstance(found, dict):
            return found
    return {}


def _ending(status: int, job: Mapping[str, Any]) -> str:
    if os.WIFSIGNALED(status):
        name = signal.Signals(os.WTERMSIG(status)).name
        hint = f" (it may use {job['memory_mib']} MiB)" if name in {"SIGKILL", "SIGABRT"} else ""
        return f"its process was ended by {name}{hint}"
    return f"its process ended itself with code {os.WEXITSTATUS(status)}"


def _be_child(job: Mapping[str, Any], writer: int, keep: set[int]) -> NoReturn:
    code = 1
    gc.disable()
    try:
        os.setsid()
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
        _close_all_but(keep)
        os.chdir(job["folder"])
        os.environ["TMPDIR"] = job["folder"]
        _limit(job["memory_mib"] * 2**20, Path(job["source"]).stat().st_size)
        report = _report(job)
        os.write(writer, json.dumps(report).encode()[:MAX_REPORT_BYTES])
        code = 0
    finally:
        os._exit(code)


def _close_all_but(keep: set[int]) -> None:
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - numbers, not paths
        number = int(name)
        if number > 2 and number not in keep:  # noqa: PLR2004 - the standard streams
            with contextlib.suppress(OSError):
                os.close(number)


def _limit(memory_bytes: int, mapped_bytes: int) -> None:
    """Beyond what the process has already; what it reads and writes is mapped and counts for its addresses alone."""
    pages = [int(number) for number in Path("/proc/self/statm").read_text(encoding="ascii").split()]
    page = resource.getpagesize()
    size, data = pages[0] * page, pages[5] * page
    for name, value in (
        (resource.RLIMIT_DATA, data + memory_bytes),
        (resource.RLIMIT_AS, size + 2 * memory_bytes + mapped_bytes),
        (resource.RLIMIT_FSIZE, memory_bytes),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, MAX_OPEN_FILES),
    ):
        resource.setrlimit(name, (value, value))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)


def _report(job: Mapping[str, Any]) -> dict[str, Any]:
    steps = import_module("shared.transforms.steps")
    source, target = Path(job["source"]), Path(job["target"])
    memory_bytes = job["memory_mib"] * 2**20
    began = time.monotonic()
    try:
        match job["kind"]:
            case "sql":
                steps.run_sql(job["sql"], source, target, job["names"], memory_bytes)
            case "explode":
                steps.run_explode(job["column"], source, target, job["names"])
            case "load":
                import_module("shared.transforms.python_code").load(job)
            case _:
                gc.enable()
                function = import_module("shared.transforms.python_code").load(job)
                steps.run_python(function, job["frame"], source, target, job["names"])
    except steps.Refusal as refusal:
        return {"reason": str(refusal)[:MAX_REASON_CHARS], "what": "refused"}
    except MemoryError:
        return _out_of_memory(job)
    except BaseException as error:  # noqa: BLE001 - whatever a step raises costs its batch alone
        return _raised(error, job)
    return {"done": True, "took_s": round(time.monotonic() - began, 6)}


def _out_of_memory(job: Mapping[str, Any]) -> dict[str, Any]:
    return {"reason": f"it needs more than the {job['memory_mib']} MiB that it may use", "what": "memory"}


def _raised(error: BaseException, job: Mapping[str, Any]) -> dict[str, Any]:
    kind = type(error).__name__
    if isinstance(error, OSError) and error.errno in _SYSTEM:
        return {"system": f"the scratch folder: {error}"[:MAX_REASON_CHARS]}
    if isinstance(error, OSError) and error.errno == errno.EFBIG:
        return {"reason": f"its result is above {job['memory_mib']} MiB", "what": "size"}
    if kind in {"OutOfMemoryException", "ArrowMemoryError"} or "bad_alloc" in str(error):
        return _out_of_memory(job)
    text = str(error).strip()
    if job["kind"] == "sql":
        text = text.partition("\n\n")[0]
        return {"reason": text[:MAX_REASON_CHARS] or kind, "what": "raised"}
    where = _line_of(error, job)
    said = f"{kind}: {text}" if text else kind
    return {"reason": f"it raised {said}{where}"[:MAX_REASON_CHARS], "what": "raised"}


def _line_of(error: BaseException, job: Mapping[str, Any]) -> str:
    """The last line of the function's own module on the way to where it was raised."""
    place, trace = "", error.__traceback__
    name = str(job.get("module", "")).rpartition(".")[2]
    while trace is not None:
        if Path(trace.tb_frame.f_code.co_filename).stem == name:
            place = f" (line {trace.tb_lineno} of {job['module']})"
        trace = trace.tb_next
    return place


if __name__ == "__main__":
    main()

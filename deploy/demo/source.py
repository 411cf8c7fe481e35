"""A source to try OnPoint on: made-up records in the shape of both built-in APIs, at any size, from this machine.

JSONPlaceholder:  /posts /comments /albums /photos /todos /users, with `_page`, `_limit`, `X-Total-Count` and `Link`;
                  /posts/7 gives one record
Hacker News:      /v0/topstories.json and /v0/item/<id>.json

The same record always reads the same, so runs can be compared.
"""

import argparse
import asyncio
import json
import signal
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from textwrap import dedent

import uvloop
from aiohttp import web
from yarl import URL

DEFAULT_ROWS = {
    "posts": 100,
    "comments": 500,
    "albums": 100,
    "photos": 5000,
    "todos": 200,
    "users": 10,
    "stories": 500,
}
"""What the public sites have."""

MAX_PAGE_ROWS = 10_000
"""Of one page, also where the request names no limit."""

FIRST_STORY_ID = 40_000_000
FIRST_STORY_TIME_S = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp())

VOCABULARY = (
    "lake river stone cloud harbour signal lantern meadow copper ledger compass thicket orbit quarry willow anchor "
    "pepper saffron glacier beacon canvas drift ember fjord gravel hollow island juniper kettle lattice marble nectar"
)
WORDS = VOCABULARY.split()
TEXTS = 97
"""Different long texts, a prime: neighbours differ, and nothing is made anew per record."""


def _text(seed: int, words: int) -> str:
    return " ".join(WORDS[(seed * 7 + place * (3 + seed % 11)) % len(WORDS)] for place in range(words))


_TITLES = [_text(seed, 6) for seed in range(TEXTS)]
_BODIES = ["\\n".join(_text(seed * 5 + line, 13) for line in range(4)) for seed in range(TEXTS)]

Render = Callable[[int], str]


def _post(n: int) -> str:
    return (
        f'{{"userId":{(n - 1) // 10 % 10 + 1},"id":{n},"title":"{_TITLES[n % TEXTS]} {n}",'
        f'"body":"{_BODIES[n % TEXTS]}"}}'
    )


def _comment(n: int) -> str:
    return (
        f'{{"postId":{(n - 1) // 5 + 1},"id":{n},"name":"{_TITLES[n % TEXTS]}",'
        f'"email":"{WORDS[n % len(WORDS)]}.{n}@example.org","body":"{_BODIES[n * 3 % TEXTS]}"}}'
    )


def _album(n: int) -> str:
    return f'{{"userId":{(n - 1) // 10 % 10 + 1},"id":{n},"title":"{_TITLES[n % TEXTS]}"}}'


def _photo(n: int) -> str:
    colour = f"{n * 2654435761 % 2**24:06x}"
    return (
        f'{{"albumId":{(n - 1) // 50 + 1},"id":{n},"title":"{_TITLES[n % TEXTS]}",'
        f'"url":"https://photos.example.org/600/{colour}","thumbnailUrl":"https://photos.example.org/150/{colour}"}}'
    )


def _todo(n: int) -> str:
    done = "true" if n % 3 else "false"
    return f'{{"userId":{(n - 1) // 20 % 10 + 1},"id":{n},"title":"{_TITLES[n % TEXTS]}","completed":{done}}}'


def _user(n: int) -> str:
    first, last = WORDS[n % len(WORDS)].title(), WORDS[n * 5 % len(WORDS)].title()
    user = {
        "id": n,
        "name": f"{first} {last}",
        "username": f"{first}{n}",
        "email": f"{first.lower()}.{n}@example.org",
        "address": {
            "street": f"{last} Road",
            "suite": f"Apt. {n % 900 + 100}",
            "city": f"{first}ville",
            "zipcode": f"{n * 7919 % 100_000:05d}",
            "geo": {
                "lat": f"{n * 37 % 180 - 90}.{n % 10_000:04d}",
                "lng": f"{n * 61 % 360 - 180}.{n % 10_000:04d}",
            },
        },
        "phone": f"1-770-{n % 1000:03d}-{n * 31 % 10_000:04d}",
        "website": f"{last.lower()}{n}.example.org",
        "company": {
            "name": f"{last} and Sons",
            "catchPhrase": _TITLES[n % TEXTS],
            "bs": _TITLES[n * 2 % TEXTS],
        },
    }
    return json.dumps(user, separators=(",", ":"))


def story(n: int) -> str:
    return (
        f'{{"by":"{WORDS[n % len(WORDS)]}","descendants":{n * 13 % 400},"id":{FIRST_STORY_ID + n},'
        f'"score":{n * 29 % 900 + 1},"time":{FIRST_STORY_TIME_S + n * 60},"title":"{_TITLES[n % TEXTS]}","type":"story","url":"https://example.org/{n}"}}'
    )


RENDERERS: dict[str, Render] = {
    "posts": _post,
    "comments": _comment,
    "albums": _album,
    "photos": _photo,
    "todos": _todo,
    "users": _user,
}


class DemoSource:
    """Answers from a record's number alone: nothing is stored, so memory does not grow with `rows`."""

    def __init__(self, rows: dict[str, int]) -> None:
        self._rows = rows

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/", self._index)
        app.router.add_get("/v0/topstories.json", self._top_stories)
        app.router.add_get(r"/v0/item/{id:\d{1,18}}.json", self._item)
        for name in RENDERERS:
            app.router.add_get(f"/{name}", self._page)
            app.router.add_get(f"/{name}/{{id:\\d{{1,18}}}}", self._record)
        return app

    async def _index(self, _: web.Request) -> web.Response:
        return web.json_response(self._rows)

    async def _top_stories(self, _: web.Request) -> web.Response:
        return web.json_response([FIRST_STORY_ID + n for n in range(1, self._rows["stories"] + 1)])

    async def _item(self, request: web.Request) -> web.Response:
        n = int(request.match_info["id"]) - FIRST_STORY_ID
        return _json(story(n) if 1 <= n <= self._rows["stories"] else "null")

    async def _record(self, request: web.Request) -> web.Response:
        name, n = request.path.split("/")[1], int(request.match_info["id"])
        if not 1 <= n <= self._rows[name]:
            return web.json_response({}, status=404)
        return _json(RENDERERS[name](n))

    async def _page(self, request: web.Request) -> web.Response:
        name = request.path[1:]
        total = self._rows[name]
        try:
            page = max(1, int(request.query.get("_page", "1")))
            size = min(MAX_PAGE_ROWS, max(1, int(request.query.get("_limit", str(MAX_PAGE_ROWS)))))
        except ValueError:
            return web.json_response({"error": "_page and _limit are integers"}, status=400)
        first, last = (page - 1) * size, min(page * size, total)
        render = RENDERERS[name]
        headers = {"X-Total-Count": str(total)}
        if links := _links(request.url, page, max(1, -(-total // size))):
            headers["Link"] = links
        return _json("[" + ",".join([render(n + 1) for n in range(first, last)]) + "]", headers)


def _json(text: str, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(body=text.encode(), content_type="application/json", charset="utf-8", headers=headers)


def _links(url: URL, page: int, pages: int) -> str:
    places = {"first": 1, "prev": page - 1, "next": page + 1, "last": pages}
    named = {name: place for name, place in places.items() if 1 <= place <= pages}
    return ", ".join(
        f'<{url.update_query({"_page": str(place)})}>; rel="{name}"' for name, place in named.items()
    )


def rows_of(posts: int, *, everything: bool) -> dict[str, int]:
    """Records per collection: `--rows` is the number of posts, or of each collection."""
    return dict.fromkeys(DEFAULT_ROWS, posts) if everything else {**DEFAULT_ROWS, "posts": posts}


async def serve(host: str, port: int, rows: dict[str, int], port_file: Path | None) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    runner = web.AppRunner(DemoSource(rows).app(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    port = runner.addresses[0][1]
    if port_file is not None:
        part = port_file.with_name(port_file.name + ".part")
        part.write_text(f"{port}\n", encoding="utf-8")
        part.replace(port_file)
    shown = f"[{host}]" if ":" in host else host
    print(f"demo source: http://{shown}:{port}", flush=True)  # noqa: T201 - a command line
    await stop.wait()
    await runner.cleanup()


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m deploy.demo.source",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=dedent("""\
            examples:
              python -m deploy.demo.source                          as many records as the public sites, on a free port
              python -m deploy.demo.source --rows 1000000 --port 9100
              python -m deploy.demo.source --rows 50000 --all       50,000 records of everything

            Point the crawler at it, and allow it to:
              ONPOINT_SOURCE_JSONPLACEHOLDER_URL=http://127.0.0.1:9100 ONPOINT_SOURCE_HACKERNEWS_URL=http://127.0.0.1:9100
              ONPOINT_CRAWL_ALLOW_HOSTS=127.0.0.1:9100
              ONPOINT_SOURCE_JSONPLACEHOLDER_REQUESTS_PER_SECOND=0 ONPOINT_SOURCE_JSONPLACEHOLDER_PAGE_SIZE=1000
            """),
    )
    parser.add_argument(
        "--rows",
        type=_count,
        default=DEFAULT_ROWS["posts"],
        help="posts, about 500 bytes each (default: 100)",
    )
    parser.add_argument(
        "--all", action="store_true", help="that many of every collection; the others are small otherwise"
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen at (default: 127.0.0.1, this machine only)"
    )
    parser.add_argument("--port", type=int, default=0, help="0, the default, takes a free one")
    parser.add_argument("--port-file", type=Path, help="write the port to this file once the server is ready")
    options = parser.parse_args()
    try:
        uvloop.run(
            serve(
                options.host, options.port, rows_of(options.rows, everything=options.all), options.port_file
            )
        )
    except OSError as error:
        parser.exit(1, f"cannot listen at {options.host}:{options.port}: {error.strerror or error}\n")


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of records")
    return int(text)


if __name__ == "__main__":
    main()

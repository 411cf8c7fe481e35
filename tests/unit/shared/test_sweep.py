"""The sweep over two buckets in memory, with runs of every state."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.events import ids
from shared.events.decode import encode
from shared.events.models import Artifact, BatchManifest, CrawlRequest
from shared.events.topology import Stage
from shared.storage import keys
from shared.storage.object_store import ObjectStore, open_memory
from shared.sweep import sweep as sweep_module
from shared.sweep.ports import Upload
from shared.sweep.rules import Limits, Run, SweepReport, hour_of
from shared.sweep.sweep import Removal, Sweep

WRITTEN = datetime.now(UTC)
"""Objects in memory are written about now; the sweep is told how late it is."""
DAY = timedelta(days=1, hours=1)
WEEK_AND_MORE = timedelta(days=8)


@dataclass
class FakeRuns:
    """The ledger, as a sweep sees it."""

    known: dict[str, Run] = field(default_factory=dict)
    named: dict[str, set[str]] = field(default_factory=dict)
    made: set[str] = field(default_factory=set)
    """By compactions."""
    listed_at: dict[str, datetime] = field(default_factory=dict)
    """Of replaced files: when every listing named what they became."""

    async def runs(self, run_ids: Collection[str]) -> Mapping[str, Run]:
        return {run_id: self.known[run_id] for run_id in run_ids if run_id in self.known}

    async def runs_of_hours(self, hours: Collection[datetime]) -> Sequence[Run]:
        return [run for run in self.known.values() if hour_of(run.requested_at) in hours]

    async def files(self, run_ids: Collection[str]) -> frozenset[str]:
        return frozenset(uri for run_id in run_ids for uri in self.named.get(run_id, ()))

    async def compacted(self, uris: Collection[str]) -> frozenset[str]:
        return frozenset(self.made & set(uris))

    async def replaced(self, uris: Collection[str], before: datetime) -> frozenset[str]:
        return frozenset(uri for uri in uris if uri in self.listed_at and self.listed_at[uri] <= before)


@dataclass
class OpenUploads:
    uploads: list[Upload]

    async def open_before(self, moment: datetime) -> AsyncIterator[Upload]:
        for upload in list(self.uploads):
            if upload.begun_at <= moment:
                yield upload

    async def abort(self, upload: Upload) -> None:
        self.uploads.remove(upload)


@dataclass
class World:
    staging: ObjectStore = field(default_factory=lambda: open_memory("staging"))
    lake: ObjectStore = field(default_factory=lambda: open_memory("lake"))
    runs: FakeRuns = field(default_factory=FakeRuns)
    uploads: OpenUploads = field(default_factory=lambda: OpenUploads([]))
    removals: list[Removal] = field(default_factory=list)

    async def sweep(self, later: timedelta, *, dry_run: bool = False) -> SweepReport:
        self.removals = []
        return await Sweep(
            self.staging,
            self.lake,
            self.runs,
            self.uploads,
            limits=Limits(),
            dry_run=dry_run,
            now=WRITTEN + later,
            on_removal=self.removals.append,
        ).run()

    def run(self, run_id: str, *, ended: bool, dead: Collection[str] = ()) -> str:
        self.runs.known[run_id] = Run(run_id, WRITTEN, WRITTEN if ended else None, frozenset(dead))
        return run_id

    async def artifact(
        self,
        run_id: str,
        *,
        stage: Stage = "processor",
        number: int = 0,
        manifest: bool = True,
        ledger: bool = True,
    ) -> str:
        """An artifact of a batch, named by its manifest and by the ledger, or not."""
        key = keys.artifact_key(run_id, "posts", stage, ids.derive(run_id, stage, number) * 2, "parquet")
        await self.staging.put(key, b"12345")
        if manifest:
            await self.commit(run_id, stage, number, self.staging.uri(key))
        if ledger:
            self.runs.named.setdefault(run_id, set()).add(self.staging.uri(key))
        return key

    async def commit(self, run_id: str, stage: Stage, number: int, uri: str) -> None:
        batch_id = ids.batch_id(run_id, "posts", number)
        found = BatchManifest(
            run_id=run_id,
            dataset="posts",
            batch_id=batch_id,
            sequence=number,
            stage=stage,
            requested_at=WRITTEN,
            artifacts=(Artifact(uri=uri, format="parquet", rows=1, bytes=5, sha256="0" * 64),),
            produced_at=WRITTEN,
            code_version="test",
        )
        await self.staging.put(keys.manifest_key(run_id, "posts", stage, batch_id), encode(found))

    async def request(self, run_id: str) -> None:
        request = CrawlRequest(run_id=run_id, datasets=("posts",), requested_at=WRITTEN)
        await self.staging.put(keys.request_key(run_id), encode(request))
        await self.staging.put(keys.plan_key(run_id, "posts"), b"{}")
        await self.staging.put(keys.dataset_key(run_id, "posts"), b"{}")
        await self.staging.put(keys.cancel_key(run_id), b"{}")

    async def lake_object(self, number: int = 0, dataset: str = "posts") -> str:
        key = keys.lake_key(dataset, WRITTEN, ids.derive("object", number))
        await self.lake.put(key, b"123")
        return key

    async def export(self, run_id: str, number: int = 0) -> str:
        key = keys.export_key(run_id, "posts", "csv", f"{number:06d}", "csv.gz")
        await self.lake.put(key, b"12")
        return key

    async def list_run(
        self, run_id: str, *, objects: Sequence[str] = (), exports: Sequence[str] = ()
    ) -> None:
        files = {
            "objects": [{"uri": self.lake.uri(key)} for key in objects],
            "exports": [{"uri": self.lake.uri(key)} for key in exports],
        }
        listing = {"run_id": run_id, "superseded_by": None, "datasets": {"posts": files}}
        await self.lake.put(keys.listing_key(run_id), orjson.dumps(listing))


async def left(store: ObjectStore) -> set[str]:
    return {info.key async for info in store.list("")}


@pytest.fixture
def world() -> World:
    return World()


async def test_artifacts_of_ended_runs_go_after_their_ttl_and_everything_else_stays(world: World) -> None:
    ended, going_on = world.run("ended", ended=True), world.run("open", ended=False)
    old = [await world.artifact(ended, stage=stage) for stage in ("crawler", "processor")]
    for run_id in (ended, going_on):
        await world.request(run_id)
    await world.artifact(going_on)
    before = await left(world.staging)
    assert (await world.sweep(timedelta(days=6))).total.count == 0
    report = await world.sweep(WEEK_AND_MORE)
    assert before - await left(world.staging) == set(old)
    assert (report.removed["artifacts"].count, report.removed["artifacts"].bytes) == (2, 10)
    assert {removal.uri for removal in world.removals} == {world.staging.uri(key) for key in old}
    assert (await world.sweep(WEEK_AND_MORE)).total.count == 0


async def test_an_orphaned_artifact_of_an_ended_run_goes_after_a_day_and_what_its_manifest_names_stays(
    world: World,
) -> None:
    ended = world.run("ended", ended=True)
    await world.artifact(ended, number=0)
    unheard = await world.artifact(ended, number=1, ledger=False)
    orphan = await world.artifact(ended, number=2, manifest=False, ledger=False)
    assert (await world.sweep(timedelta(hours=23))).total.count == 0
    report = await world.sweep(DAY)
    assert [removal.uri for removal in world.removals] == [world.staging.uri(orphan)]
    assert (report.removed["losers"].count, report.removed["losers"].bytes) == (1, 5)
    assert unheard in await left(world.staging), "the ledger could not read it; its manifest counts"


async def test_nothing_of_a_run_that_goes_on_goes_however_old_it_is(world: World) -> None:
    going_on = world.run("open", ended=False)
    await world.artifact(going_on, manifest=False, ledger=False)
    await world.lake_object()
    await world.export(going_on)
    assert (await world.sweep(timedelta(days=400))).total.count == 0


async def test_a_run_that_the_ledger_does_not_know_yet_goes_on(world: World) -> None:
    await world.request("new")
    await world.artifact("new", manifest=False, ledger=False)
    await world.export("new")
    await world.lake_object()
    assert (await world.sweep(timedelta(days=400))).total.count == 0


async def test_an_artifact_of_a_run_without_any_record_of_it_stays(world: World) -> None:
    await world.artifact("unknown", manifest=False, ledger=False)
    await world.staging.put(keys.request_key("damaged"), b"{")
    await world.artifact("damaged", manifest=False, ledger=False)
    report = await world.sweep(timedelta(days=400))
    assert report.total.count == 0
    assert "damaged" in report.problems[0]


async def test_orphans_in_the_lake_go_and_what_anything_names_stays(world: World) -> None:
    ended = world.run("ended", ended=True)
    by_ledger, by_listing, orphan = [await world.lake_object(number) for number in range(3)]
    exports = [await world.export(ended, number) for number in range(4)]
    stranger = await world.export("unknown", 0)
    world.runs.named[ended] = {world.lake.uri(by_ledger), world.lake.uri(exports[0])}
    await world.list_run("older", objects=[by_listing], exports=[exports[1]])
    await world.commit(ended, "converter", 0, world.lake.uri(exports[2]))
    assert (await world.sweep(timedelta(hours=23))).total.count == 0
    report = await world.sweep(DAY)
    assert {removal.uri for removal in world.removals} == {
        world.lake.uri(key) for key in (orphan, exports[3], stranger)
    }
    assert report.as_dict() | {"complaints": []} == {
        "dry_run": False,
        "artifacts": {"count": 0, "bytes": 0},
        "losers": {"count": 0, "bytes": 0},
        "uploads": {"count": 0, "bytes": 0},
        "lake_objects": {"count": 1, "bytes": 3},
        "replaced": {"count": 0, "bytes": 0},
        "exports": {"count": 2, "bytes": 4},
        "total": {"count": 3, "bytes": 7},
        "complaints": [],
    }


async def test_an_object_stays_as_long_as_a_dead_batch_of_its_hour_can_be_replayed(world: World) -> None:
    world.run("ended", ended=True, dead=["posts"])
    await world.lake_object()
    await world.lake_object(dataset="users")
    assert (await world.sweep(DAY)).removed["lake_objects"].count == 1
    assert (await world.sweep(WEEK_AND_MORE)).removed["lake_objects"].count == 1


async def test_other_things_in_the_buckets_are_left_alone(world: World) -> None:
    for key in ("notes.txt", "cdc/posts/2026/11/23/06/0.parquet", "posts/mine.parquet", "exports/readme"):
        await world.lake.put(key, b"x")
    for key in ("notes.txt", "runs/readme", "runs/a/b", "runs/-/x/crawler/y.bin"):
        await world.staging.put(key, b"x")
    assert (await world.sweep(timedelta(days=400))).total.count == 0


@pytest.mark.parametrize("text", [b"{", b"[]", b'{"datasets": {"posts": {}}}'])
async def test_a_listing_that_cannot_be_read_may_name_anything(world: World, text: bytes) -> None:
    await world.lake_object()
    await world.export("unknown")
    await world.lake.put(keys.listing_key("damaged"), text)
    report = await world.sweep(timedelta(days=400))
    assert report.total.count == 0
    assert all("_runs/damaged.json cannot be read" in problem for problem in report.problems)
    assert len(report.problems) == 2


async def test_a_manifest_that_cannot_be_read_may_name_anything(world: World) -> None:
    ended = world.run("ended", ended=True)
    await world.artifact(ended, manifest=False, ledger=False)
    await world.staging.put(keys.manifest_key(ended, "posts", "processor", "0" * 32), b"{")
    report = await world.sweep(DAY)
    assert report.total.count == 0
    assert "cannot be read" in report.problems[0]


async def test_uploads_that_were_left_open_for_a_day_are_aborted(world: World) -> None:
    stale = Upload("lake", "posts/a", "1", WRITTEN, 100)
    fresh = Upload("lake", "posts/b", "2", WRITTEN + timedelta(hours=2), 100)
    world.uploads.uploads = [stale, fresh]
    report = await world.sweep(DAY, dry_run=True)
    assert (report.removed["uploads"].count, len(world.uploads.uploads)) == (1, 2)
    assert (await world.sweep(DAY)).removed["uploads"].bytes == 100
    assert world.uploads.uploads == [fresh]


async def test_a_dry_run_tells_the_same_and_touches_nothing(world: World) -> None:
    ended = world.run("ended", ended=True)
    await world.artifact(ended)
    await world.artifact(ended, number=1, manifest=False, ledger=False)
    await world.lake_object()
    await world.export("unknown")
    before = await left(world.staging) | await left(world.lake)
    dry = await world.sweep(timedelta(days=2), dry_run=True)
    told = list(world.removals)
    assert await left(world.staging) | await left(world.lake) == before
    wet = await world.sweep(timedelta(days=2))
    assert wet.as_dict() == dry.as_dict() | {"dry_run": False}
    assert world.removals == told


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["open", "ended", "unknown"]), st.booleans(), st.booleans()), max_size=12
    ),
    st.integers(1, 4),
    st.sampled_from([timedelta(0), DAY, WEEK_AND_MORE]),
)
async def test_whatever_is_there_only_what_may_go_goes_at_any_page_size(
    artifacts: list[tuple[str, bool, bool]], page: int, later: timedelta
) -> None:
    world = World()
    world.run("open", ended=False)
    world.run("ended", ended=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweep_module, "PAGE", page)
        due = set()
        for number, (run_id, manifest, ledger) in enumerate(artifacts):
            key = await world.artifact(run_id, number=number, manifest=manifest, ledger=ledger)
            is_orphan = not manifest and not ledger and later >= DAY
            if run_id == "ended" and (later >= WEEK_AND_MORE or is_orphan):
                due.add(key)
        before = await left(world.staging)
        await world.sweep(later)
        assert before - await left(world.staging) == due


async def test_a_combined_file_stays_while_its_manifest_a_result_or_a_listing_names_it() -> None:
    world = World()
    run_id = world.run("over", ended=True)

    def key(name: str, file_format: str = "csv") -> str:
        stem, _, extension = name.partition(".")
        return keys.combined_key(run_id, "posts", file_format, stem, extension)

    for name in ("told.csv", "ledger.csv", "listed.csv", "older.csv"):
        await world.lake.put(key(name), b"12345")
    await world.lake.put(key("manifest.json"), orjson.dumps({"files": [{"name": "told.csv"}]}))
    await world.lake.put(key("alone.csv", "json"), b"12345")
    world.runs.named[run_id] = {world.lake.uri(key("ledger.csv"))}
    entry = {"objects": [], "exports": [], "combined": [{"uri": world.lake.uri(key("listed.csv"))}]}
    await world.lake.put(keys.listing_key(run_id), orjson.dumps({"datasets": {"posts": entry}}))
    assert (await world.sweep(timedelta(hours=1))).total.count == 0
    await world.sweep(DAY)
    gone = {removal.uri for removal in world.removals}
    assert gone == {world.lake.uri(key("older.csv")), world.lake.uri(key("alone.csv", "json"))}


async def test_a_manifest_that_cannot_be_read_keeps_the_files_beside_it() -> None:
    world = World()
    run_id = world.run("over", ended=True)
    for name, data in (("manifest", b"{"), ("posts-0001-x", b"12345")):
        await world.lake.put(keys.combined_key(run_id, "posts", "csv", name, "json"), data)
    report = await world.sweep(DAY)
    assert (report.total.count, len(report.problems)) == (0, 1)


async def test_a_replaced_object_goes_a_grace_time_after_every_listing_names_the_new_one(
    world: World,
) -> None:
    run = "ended"
    old, named, made = await world.lake_object(1), await world.lake_object(2), await world.lake_object(3)
    await world.list_run(run, objects=[made, named])
    for key in (old, named):
        world.runs.listed_at[world.lake.uri(key)] = WRITTEN
    assert (await world.sweep(timedelta(hours=23))).total.count == 0
    report = await world.sweep(DAY)
    assert {removal.uri for removal in world.removals} == {world.lake.uri(old)}
    assert report.removed["replaced"].count == 1


@pytest.mark.parametrize(
    "folder", ["posts", "posts/part_country=DE", "posts/year=2026/month=01/day=01/hour=00"]
)
async def test_an_object_that_a_compaction_put_stays_if_one_names_it_and_else_goes(
    world: World, folder: str
) -> None:
    made, abandoned = (keys.compacted_key(folder, f"c-{number:032}") for number in (1, 2))
    for key in (made, abandoned):
        await world.lake.put(key, b"123")
    world.runs.made.add(world.lake.uri(made))
    assert (await world.sweep(timedelta(hours=23))).total.count == 0
    await world.sweep(timedelta(days=400))
    assert {removal.uri for removal in world.removals} == {world.lake.uri(abandoned)}


async def test_what_the_listing_of_a_dataset_names_stays(world: World) -> None:
    named = await world.lake_object(1)
    listing = {"objects": [{"uri": world.lake.uri(named)}]}
    await world.lake.put("_datasets/posts.json", orjson.dumps(listing))
    assert (await world.sweep(timedelta(days=400))).total.count == 0

"""SQLAlchemy behind the `History` port: events and flow in one SQLite file.

Exactly-once effect: rows and the log offsets after them are one transaction, and rows are upserted by their
deterministic ids, so that a process killed anywhere repeats work and changes nothing.

One thread writes (WAL: readers never wait for it), a few read. A query that takes too long is broken off. The
statements are plain enough for PostgreSQL; only `open_store` and `_UPSERTS` know the dialect.
"""

import asyncio
import base64
import binascii
import contextlib
import logging
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from pipeline.core.feed import Seen
from pipeline.core.model import Camera, CameraId, Crossing, Event, Flow, Group, GroupId, OfTrack, Scene, Way
from pipeline.core.registry import Registry
from pipeline.errors import Fatal, GantryError, Poison, Retry
from pipeline.ports import Changes, Count, CountQuery, EventPage, EventQuery, FlowPage, FlowQuery

log = logging.getLogger("gantry.serve")

SCHEMA_VERSION = 2
APPLICATION_ID = 0x67616E74  # "gant" in the header of the file: nobody else's database is ever written to

BUSY_MS = 5_000
LONGEST_READ_S = 10.0
READERS = 4
MOST_WAITING = 64  # reads; one more is told to come again
PRUNE_ROWS = 5_000  # of one transaction, so that writing never waits long for pruning

T = TypeVar("T")

_tables = sa.MetaData()

_events = sa.Table(
    "events",
    _tables,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("type", sa.Text, nullable=False),
    sa.Column("camera", sa.Text, nullable=False),
    sa.Column("line", sa.Text),
    sa.Column("direction", sa.Text),
    sa.Column("class", sa.Text),
    sa.Column("captured_ms", sa.BigInteger, nullable=False),
    sa.Column("revision", sa.BigInteger, nullable=False),
    sa.Column("stored_ms", sa.BigInteger, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("zone", sa.Text),
    sa.Column("origin", sa.Text),
    sa.Column("destination", sa.Text),
    sa.Column("valid", sa.Integer, nullable=False, server_default="1"),  # 0: crossed while the camera was not well
    sa.Index("events_by_time", "captured_ms", "id"),
    sa.Index("events_by_camera", "camera", "captured_ms", "id"),
    sa.Index("events_by_age", "stored_ms"),
)
_flow = sa.Table(
    "flow",
    _tables,
    sa.Column("place", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("window_ms", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("start_ms", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("revision", sa.BigInteger, nullable=False),
    sa.Column("stored_ms", sa.BigInteger, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Index("flow_by_time", "start_ms", "place", "kind", "window_ms"),
    sa.Index("flow_by_age", "stored_ms"),
)
_latest = sa.Table(
    "latest_flow",
    _tables,
    sa.Column("place", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("window_ms", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("start_ms", sa.BigInteger, nullable=False),
    sa.Column("revision", sa.BigInteger, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
)
_offsets = sa.Table(
    "offsets",
    _tables,
    sa.Column("log", sa.Text, primary_key=True),
    sa.Column("topic", sa.Text, primary_key=True),
    sa.Column("partition", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("next", sa.BigInteger, nullable=False),
)


def _registry_table(name: str) -> sa.Table:
    return sa.Table(name, _tables, sa.Column("id", sa.Text, primary_key=True), sa.Column("body", sa.LargeBinary))


_cameras, _groups, _scenes = (_registry_table(name) for name in ("cameras", "groups", "scenes"))
_seen = sa.Table(
    "seen",
    _tables,
    sa.Column("camera", sa.Text, primary_key=True),
    sa.Column("body", sa.LargeBinary, nullable=False),
)

_EVENT_ORDER = (_events.c.captured_ms, _events.c.id)
_FLOW_ORDER = (_flow.c.start_ms, _flow.c.place, _flow.c.kind, _flow.c.window_ms)

_decode_event = msgspec.json.Decoder(Event).decode
_decode_flow = msgspec.json.Decoder(Flow).decode
_encode = msgspec.json.Encoder().encode


@contextlib.asynccontextmanager
async def open_store(path: str | Path, *, busy_ms: int = BUSY_MS) -> AsyncIterator["Store"]:
    """The history in the file of that path, made with its folder where it is missing.

    Raises:
        Fatal: it cannot be opened or written, is no database, or is somebody else's.
    """
    if "://" in str(path):
        raise Fatal(
            f"serve.database is a path of a SQLite file; a URL ({str(path).partition('://')[0]}://...) is not understood yet"
        )
    store = await asyncio.to_thread(Store, Path(path), busy_ms=busy_ms)
    try:
        yield store
    finally:
        await asyncio.to_thread(store.close)


class Store:
    """The history in one file. Made by `open_store`."""

    def __init__(self, path: Path, *, busy_ms: int = BUSY_MS) -> None:
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise Fatal(
                f"the folder of the history file {path} cannot be made: {exc.strerror}; set serve.database"
            ) from exc
        self._writing = _engine(path, busy_ms, size=1, read_only=False)
        self._reading = _engine(path, busy_ms, size=READERS, read_only=True)
        try:
            with self._our_words():
                _prepare(self._writing, path)
        except Retry as exc:  # at start nobody waits: what is wrong with the file now is for a person
            self.close()
            raise Fatal(f"{exc}; free the file, or set serve.database to one that can be written") from exc
        except GantryError:
            self.close()
            raise
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="history-write")
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="history-read")
        self._waiting = 0

    def close(self) -> None:
        """Finish what is being written, and close the file."""
        for pool in (getattr(self, "_writer", None), getattr(self, "_readers", None)):
            if pool is not None:
                pool.shutdown(wait=True, cancel_futures=True)
        self._writing.dispose()
        self._reading.dispose()

    # --- writing

    async def write(self, changes: Changes) -> None:
        """Store rows and offsets in one transaction; of equal ids the greater revision stays."""
        await self._write(lambda connection: _write(connection, changes))

    async def keep_registry(self, registry: Registry) -> None:
        """Replace the cameras, groups and scenes."""

        def work(connection: sa.Connection) -> None:
            kept: list[tuple[sa.Table, Mapping[Any, Any]]] = [
                (_cameras, registry.cameras),
                (_groups, registry.groups),
                (_scenes, registry.scenes),
            ]
            for table, values in kept:
                connection.execute(sa.delete(table))
                if rows := [{"id": key, "body": _encode(value)} for key, value in values.items()]:
                    connection.execute(sa.insert(table), rows)

        await self._write(work)

    async def keep_seen(self, seen: dict[str, Seen]) -> None:
        """Remember when these cameras were seen."""
        if not seen:
            return
        statement = _upsert(_seen, set_=("body",))
        rows = [{"camera": camera, "body": _encode(value)} for camera, value in seen.items()]
        await self._write(lambda connection: connection.execute(statement, rows) and None)

    async def prune(self, before_ms: int) -> int:
        """Delete rows stored before, in small transactions."""
        deleted = 0
        rowid: sa.ColumnClause[int] = sa.literal_column("rowid")
        for table in (_events, _flow):
            old = sa.select(rowid).select_from(table).where(table.c.stored_ms < before_ms).limit(PRUNE_ROWS)
            statement = sa.delete(table).where(rowid.in_(old))

            def work(connection: sa.Connection, statement: sa.Delete = statement) -> int:
                return int(connection.execute(statement).rowcount)

            while count := await self._write(work):
                deleted += count
        return deleted

    # --- reading

    async def offsets(self, log: str) -> dict[str, dict[int, int]]:
        """Where to read on in this log."""
        statement = sa.select(_offsets.c.topic, _offsets.c.partition, _offsets.c.next).where(_offsets.c.log == log)
        out: dict[str, dict[int, int]] = {}
        for topic, partition, offset in await self._read(statement):
            out.setdefault(topic, {})[partition] = offset
        return out

    async def registry(self) -> Registry:
        """The cameras, groups and scenes as last kept."""

        async def all_of(table: sa.Table, kind: type[T]) -> dict[str, T]:
            rows = await self._read(sa.select(table.c.id, table.c.body))
            with self._our_words():
                return {key: msgspec.json.decode(body, type=kind) for key, body in rows}

        return Registry(
            cameras={CameraId(key): camera for key, camera in (await all_of(_cameras, Camera)).items()},
            groups={GroupId(key): group for key, group in (await all_of(_groups, Group)).items()},
            scenes={CameraId(key): scene for key, scene in (await all_of(_scenes, Scene)).items()},
        )

    async def seen(self) -> dict[str, Seen]:
        """When each camera was seen, as last kept."""
        rows = await self._read(sa.select(_seen.c.camera, _seen.c.body))
        with self._our_words():
            return {camera: msgspec.json.decode(body, type=Seen) for camera, body in rows}

    async def latest_flows(self) -> list[Flow]:
        """The latest window of each place and length."""
        rows = await self._read(sa.select(_latest.c.body))
        with self._our_words():
            return [_decode_flow(body) for (body,) in rows]

    async def knows(self, place: str) -> bool:
        """Whether there is any row of this camera or group."""
        statement = sa.union_all(
            sa.select(sa.literal(1)).where(sa.exists().where(_events.c.camera == place)),
            sa.select(sa.literal(1)).where(sa.exists().where(_flow.c.place == place)),
        )
        return bool(await self._read(statement))

    async def events(self, query: EventQuery) -> EventPage:
        """One page of events, by capture time and id."""
        c = _events.c
        where: list[sa.ColumnElement[bool]] = []
        if query.cameras is not None:
            where.append(c.camera.in_(query.cameras))
        if query.types is not None:
            where.append(c.type.in_(query.types))
        for column, wanted in (
            (c.line, query.line),
            (c.direction, query.direction),
            (c["class"], query.label),
            (c.zone, query.zone),
            (c.origin, query.origin),
            (c.destination, query.destination),
        ):
            if wanted is not None:
                where.append(column == str(wanted))
        rows, after = await self._page(_EVENT_ORDER, where, query, "e")
        with self._our_words():
            return EventPage(items=[_decode_event(body) for body in rows], next=after)

    async def counts(self, query: CountQuery) -> list[Count]:
        """The valid crossings that are kept, counted, by camera, line, direction and class."""
        c = _events.c
        key = (c.camera, c.line, c.direction, c["class"])
        where = [c.type == "crossing", c.valid == 1]
        if query.cameras is not None:
            where.append(c.camera.in_(query.cameras))
        if query.from_ms is not None:
            where.append(c.captured_ms >= query.from_ms)
        if query.to_ms is not None:
            where.append(c.captured_ms < query.to_ms)
        statement = sa.select(*key, sa.func.count()).where(*where).group_by(*key).order_by(*key)
        return [
            Count(camera=camera, line=line, direction=Way(way), label=label, count=count)
            for camera, line, way, label, count in await self._read(statement)
        ]

    async def flows(self, query: FlowQuery) -> FlowPage:
        """One page of windows, by start, place and length."""
        c = _flow.c
        where: list[sa.ColumnElement[bool]] = []
        if query.cameras is not None or query.groups is not None:
            where.append(
                sa.or_(
                    sa.and_(c.kind == "camera", c.place.in_(query.cameras or ())),
                    sa.and_(c.kind == "group", c.place.in_(query.groups or ())),
                )
            )
        if query.window_ms is not None:
            where.append(c.window_ms == query.window_ms)
        rows, after = await self._page(_FLOW_ORDER, where, query, "f")
        with self._our_words():
            return FlowPage(items=[_decode_flow(body) for body in rows], next=after)

    async def _page(
        self,
        order: Sequence[sa.Column[Any]],
        where: list[sa.ColumnElement[bool]],
        query: EventQuery | FlowQuery,
        mark: str,
    ) -> tuple[list[bytes], str | None]:
        """Bodies of one page in this order, and the cursor of the next.

        A page begins after the last key of the page before (never after a number of rows), so rows that
        arrive in between neither repeat nor push out others.
        """
        mark += "-" if query.newest_first else "+"
        if query.from_ms is not None:
            where.append(order[0] >= query.from_ms)
        if query.to_ms is not None:
            where.append(order[0] < query.to_ms)
        if query.after is not None:
            key = sa.tuple_(
                *(sa.literal(k, c.type) for k, c in zip(_read_cursor(query.after, mark, order), order, strict=True))
            )
            where.append(sa.tuple_(*order) < key if query.newest_first else sa.tuple_(*order) > key)
        statement = (
            sa.select(order[0].table.c.body, *order)
            .where(*where)
            .order_by(*(c.desc() if query.newest_first else c.asc() for c in order))
            .limit(query.limit + 1)
        )
        rows = await self._read(statement)
        more = len(rows) > query.limit
        rows = rows[: query.limit]
        return [row[0] for row in rows], _write_cursor(mark, rows[-1][1:]) if more else None

    # --- threads and errors

    async def _write(self, work: Callable[[sa.Connection], T]) -> T:
        def run() -> T:
            with self._our_words(), self._writing.begin() as connection:
                return work(connection)

        return await asyncio.get_running_loop().run_in_executor(self._writer, run)

    async def _read(self, statement: sa.Select[Any] | sa.CompoundSelect[Any]) -> list[Any]:
        def run() -> list[Any]:
            with self._our_words(), self._reading.connect() as connection:
                driver = connection.connection.driver_connection
                give_up = time.monotonic() + LONGEST_READ_S
                driver.set_progress_handler(lambda: time.monotonic() > give_up, 2_000)  # type: ignore[union-attr]
                return list(connection.execute(statement).all())

        if self._waiting >= MOST_WAITING:
            raise Retry("the history is busy with other questions: ask again in some seconds")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._readers, run)
        finally:
            self._waiting -= 1

    @contextlib.contextmanager
    def _our_words(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as exc:
            raise _translated(exc.orig, self._path) from exc
        except sqlite3.Error as exc:  # from the file's own settings, where SQLAlchemy does not look
            raise _translated(exc, self._path) from exc
        except (SQLAlchemyError, msgspec.MsgspecError) as exc:
            raise Fatal(f"the history file {self._path} cannot be used: {type(exc).__name__}") from exc


def _translated(exc: BaseException | None, path: Path) -> GantryError:
    name = str(getattr(exc, "sqlite_errorname", ""))
    text = str(exc)
    if name.startswith("SQLITE_INTERRUPT"):
        return Retry(f"the question took longer than {LONGEST_READ_S:.0f} s: ask for less, by camera or by time")
    if name.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT")):
        return Fatal(
            f"the history file {path} is damaged or no database ({text}): move it away; what the topics still keep is read again"
        )
    if isinstance(exc, sqlite3.OperationalError):  # busy, full, read-only, no permission, input/output
        return Retry(f"the history file {path} cannot be used now: {text}")
    return Fatal(f"the history file {path} refused a row: {text}")


# --- the file -----------------------------------------------------------------------------------


def _engine(path: Path, busy_ms: int, *, size: int, read_only: bool) -> sa.Engine:
    url = sa.URL.create("sqlite+pysqlite", database=str(path.absolute()))
    engine = sa.create_engine(
        url,
        poolclass=sa.QueuePool,
        pool_size=size,
        max_overflow=0,
        connect_args={"check_same_thread": False, "timeout": busy_ms / 1000},
    )

    def connected(connection: sqlite3.Connection, _: Any) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves, see below
        for pragma in ("synchronous=NORMAL", "foreign_keys=ON", f"query_only={'ON' if read_only else 'OFF'}"):
            connection.execute(f"PRAGMA {pragma}")

    def begin(connection: sa.Connection) -> None:
        # A writer takes its lock at once: a transaction that reads first and writes later can fail half way.
        connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")

    sa.event.listen(engine, "connect", connected)
    sa.event.listen(engine, "begin", begin)
    return engine


def _prepare(engine: sa.Engine, path: Path) -> None:
    """Make the tables, or see that they are ours and of our version."""
    with contextlib.closing(engine.raw_connection()) as raw, contextlib.closing(raw.cursor()) as cursor:
        found = {}
        for name in ("application_id", "user_version"):
            cursor.execute(f"PRAGMA {name}")
            [found[name]] = cursor.fetchone() or [0]
        cursor.execute("SELECT count(*) FROM sqlite_master")
        [tables] = cursor.fetchone() or [0]
        if found["application_id"] != APPLICATION_ID and tables:
            raise Fatal(f"{path} is the database of another program: set serve.database to another file")
        if found["user_version"] > SCHEMA_VERSION:
            raise Fatal(f"the history file {path} was made by a newer gantry: upgrade this one, or use another file")
        cursor.execute("PRAGMA journal_mode=WAL")
    with engine.begin() as connection:  # one transaction: a file killed here is an empty file
        if tables and found["user_version"] == 1:  # which knew only crossings, and none that are not valid
            for column in ("zone", "origin", "destination"):
                connection.exec_driver_sql(f"ALTER TABLE events ADD COLUMN {column} TEXT")
            connection.exec_driver_sql("ALTER TABLE events ADD COLUMN valid INTEGER DEFAULT '1' NOT NULL")
        _tables.create_all(connection)
        connection.exec_driver_sql(f"PRAGMA application_id={APPLICATION_ID}")
        connection.exec_driver_sql(f"PRAGMA user_version={SCHEMA_VERSION}")


# --- statements ---------------------------------------------------------------------------------


def _upsert(table: sa.Table, *, set_: Sequence[str], newer: Callable[[Any, Any], Any] | None = None) -> Any:
    """An insert that replaces the row of the same key where `newer(new, old)` says so."""
    statement = sqlite.insert(table)
    new = statement.excluded
    return statement.on_conflict_do_update(
        index_elements=list(table.primary_key.columns),
        set_={name: new[name] for name in set_},
        where=newer(new, table.c) if newer else None,
    )


def _all_but_key(table: sa.Table) -> list[str]:
    return [c.name for c in table.columns if not c.primary_key]


_UPSERT_EVENT = _upsert(_events, set_=_all_but_key(_events), newer=lambda new, old: new.revision > old.revision)
_UPSERT_FLOW = _upsert(_flow, set_=_all_but_key(_flow), newer=lambda new, old: new.revision > old.revision)
_UPSERT_LATEST = _upsert(
    _latest,
    set_=_all_but_key(_latest),
    newer=lambda new, old: sa.or_(
        new.start_ms > old.start_ms, sa.and_(new.start_ms == old.start_ms, new.revision > old.revision)
    ),
)
_UPSERT_OFFSET = _upsert(_offsets, set_=["next"])


def _write(connection: sa.Connection, changes: Changes) -> None:
    if changes.events:
        connection.execute(_UPSERT_EVENT, [_event_row(event, changes.at_ms) for event in changes.events])
    if changes.flows:
        rows = [_flow_row(flow, changes.at_ms) for flow in changes.flows]
        connection.execute(_UPSERT_FLOW, rows)
        connection.execute(_UPSERT_LATEST, [{k: v for k, v in row.items() if k != "stored_ms"} for row in rows])
    offsets = [
        {"log": changes.log, "topic": topic, "partition": partition, "next": offset}
        for topic, of_topic in changes.offsets.items()
        for partition, offset in of_topic.items()
    ]
    if offsets:
        connection.execute(_UPSERT_OFFSET, offsets)


def _event_row(event: Event, at_ms: int) -> dict[str, Any]:
    crossing = event if isinstance(event, Crossing) else None
    return {
        "id": event.id,
        "type": str(type(event).__struct_config__.tag),
        "camera": event.camera,
        "line": getattr(event, "line", None),
        "direction": event.direction.value if isinstance(event, Crossing) else None,
        "class": event.label if isinstance(event, OfTrack) else None,
        "zone": getattr(event, "zone", None),
        "origin": getattr(event, "origin", None),
        "destination": getattr(event, "destination", None),
        "captured_ms": event.captured_ms,
        "revision": event.revision,
        "stored_ms": at_ms,
        "body": _encode(event),
        "valid": int(crossing is None or crossing.valid),
    }


def _flow_row(flow: Flow, at_ms: int) -> dict[str, Any]:
    return {
        "place": flow.place,
        "kind": flow.kind,
        "window_ms": flow.window_ms,
        "start_ms": flow.start_ms,
        "revision": flow.revision,
        "stored_ms": at_ms,
        "body": _encode(flow),
    }


# --- cursors ------------------------------------------------------------------------------------


def _write_cursor(mark: str, key: Sequence[Any]) -> str:
    return base64.urlsafe_b64encode(_encode([mark, *key])).rstrip(b"=").decode()


def _read_cursor(text: str, mark: str, order: Sequence[sa.Column[Any]]) -> list[Any]:
    """The key a page ended with.

    Raises:
        Poison: the cursor was not made by `_write_cursor` for this order.
    """
    kinds = [int if isinstance(c.type, sa.BigInteger) else str for c in order]
    try:
        raw = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
        given, *key = msgspec.json.decode(raw, type=list[str | int])
        fits = given == mark and len(key) == len(kinds) and all(type(k) is t for k, t in zip(key, kinds, strict=True))
        if fits and all(abs(k) < 2**63 for k in key if isinstance(k, int)):
            return key
    except (ValueError, binascii.Error, msgspec.MsgspecError):
        pass
    raise Poison("the cursor is not `next` of a page of the same kind and order: begin without it")


__all__ = ["Store", "open_store"]

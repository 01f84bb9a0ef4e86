"""What the processes of one installation can be told: frozen values, one section for each process.

Units are in the names. The description of a field says why its default is what it is; the published JSON
Schema (`pipeline/wire/schemas/installation.schema.json`) carries it into editors. A field marked SECRET holds a
reference (`${env:NAME}`, `${file:/path}`), never the secret itself.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from pipeline.core.model import ID_PATTERN
from pipeline.core.scene import ScenePolicy
from pipeline.wire.topics import Sizes

SECRET = {"secret": True}
"""Marks a field whose value must be a reference to a secret."""

SERVER_PATTERN = r"^[^\s/@]+:[0-9]{1,5}$"

URL_PATTERN = r"^https?://[^\s/@?#]+(/[^\s?#]*)?$"
ORIGIN_PATTERN = r"^https?://[^\s/@*]+$"

WINDOW_MS = 30_000
"""The windows that track writes and aggregate sums up."""

Positive = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(ge=1)]
Port = Annotated[int, Meta(ge=1, le=65535)]
Text = Annotated[str, Meta(min_length=1)]


def windows_mistake(windows_s: list[int]) -> str:
    """What is wrong with the lengths of windows: each is made of the shortest and must fit into the longest."""
    shortest, longest = min(windows_s), max(windows_s)
    if odd := [window for window in windows_s if window % shortest or longest % window]:
        return f"must be multiples of the shortest ({shortest}) and divide the longest ({longest}), got {odd[0]}"
    return ""


class KafkaSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to reach Kafka, and how wide the topics are."""

    servers: Annotated[
        list[Annotated[str, Meta(pattern=SERVER_PATTERN)]],
        Meta(min_length=1, description="host:port of some brokers; the others are learned from them"),
    ] = msgspec.field(default_factory=lambda: ["localhost:9092"])
    prefix: Annotated[
        str, Meta(pattern=r"^[A-Za-z0-9._-]{0,100}$", description="put before every topic and consumer group")
    ] = "traffic."
    sizes: Annotated[
        Sizes, Meta(description="partitions and retention; fixed once the topics are made, so leave room to grow")
    ] = Sizes()
    security: Annotated[
        Literal["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"],
        Meta(description="plaintext only where nobody else shares the network"),
    ] = "plaintext"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    username: Text | None = None
    password: Annotated[
        str | None,
        Meta(
            description="a reference: ${env:NAME} or ${file:/path}",
            extra=SECRET,
            extra_json_schema={"pattern": r"^\$\{(env|file):[^}]+\}$"},
        ),
    ] = None
    ca_file: Annotated[Text | None, Meta(description="PEM; the broker's authority, none: the system's own")] = None
    cert_file: Annotated[Text | None, Meta(description="PEM; our certificate, where the broker asks for one")] = None
    key_file: Annotated[Text | None, Meta(description="PEM; the key of cert_file")] = None


class CaptureSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How patient capture is with cameras, and how much may wait for the broker."""

    instance: Annotated[
        Text | None, Meta(description="a name that survives a restart, so that cameras need not move; unique")
    ] = None
    connect_timeout_s: Annotated[Positive, Meta(description="RTSP cameras behind slow links need several seconds")] = (
        10.0
    )
    stall_s: Annotated[Positive, Meta(description="no picture for so long: the connection is made anew")] = 10.0
    backoff_first_s: Annotated[Positive, Meta(description="the wait after the first failure; it doubles")] = 1.0
    backoff_most_s: Annotated[
        Positive, Meta(description="the longest wait: a camera that is back is seen within it")
    ] = 60.0
    tick_s: Annotated[Positive, Meta(description="a silent camera tells the time this often")] = 1.0
    keyframe_s: Annotated[
        Positive, Meta(description="opened and scene are repeated this often; well below the frames' retention")
    ] = 20.0
    jpeg_quality: Annotated[
        int,
        Meta(ge=30, le=100, description="more keeps small vehicles sharper, less saves network and disk"),
    ] = 85
    buffer_mib: Annotated[
        Count,
        Meta(description="pictures that wait while the broker is away; 256 holds 4 cameras at 15 fps for over 30 s"),
    ] = 256


class DetectSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which model sees, on what, and how old a picture may get."""

    model: Annotated[
        Text, Meta(description="a name in the models folder, a folder made by `gantry models export`, or weights (.pt)")
    ] = "yolov8n"
    backend: Annotated[Literal["auto", "openvino", "torch"], Meta(description="auto: what the model file asks for")] = (
        "auto"
    )
    device: Annotated[Text, Meta(description="auto, cpu, cuda:0, ...")] = "auto"
    precision: Annotated[
        Literal["auto", "f32"],
        Meta(description="f32: the same boxes on every machine; auto: what is fastest on this one"),
    ] = "auto"
    score: Annotated[
        float,
        Meta(ge=0, le=1, description="boxes less sure are dropped; track makes use of unsure ones, so keep it low"),
    ] = 0.1
    iou: Annotated[float, Meta(ge=0, le=1, description="two boxes of a class that overlap more are one")] = 0.7
    batch: Annotated[Count, Meta(description="pictures handed to the model at once")] = 8
    batches: Annotated[Count, Meta(description="model calls under way: one is inferred while the next is decoded")] = 2
    waiting: Annotated[Count, Meta(description="pictures fetched and not yet acknowledged; bounds memory")] = 64
    commit_ms: Annotated[Count, Meta(description="how often progress is stored; a crash repeats this much")] = 1000
    threads: Annotated[Count | None, Meta(description="CPU threads of the model; none: as many as there are cores")] = (
        None
    )
    ordinal: Annotated[
        Annotated[int, Meta(ge=0)] | None,
        Meta(
            description="which detector this is, from 0; unique. none: the -N of its pod in Kubernetes, else it has no lasting name"
        ),
    ] = None


class TrackSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What track believes, and how often it keeps its state."""

    instance: Annotated[
        Text | None, Meta(description="a name that survives a restart; unique. none: one is made up")
    ] = None
    beliefs: Annotated[ScenePolicy, Meta(description="the core's own rules; a change changes counts")] = ScenePolicy()
    snapshot_ms: Annotated[
        Count, Meta(description="how often changed memories are stored; a crash replays this much")
    ] = 1000
    snapshot_records: Annotated[
        Count, Meta(description="and after so many records of its shard, so that a silent camera holds nothing up")
    ] = 2000

    def __post_init__(self) -> None:
        """Refuse windows that aggregate would not take up."""
        if self.beliefs.windows.window_ms != WINDOW_MS:
            raise ValueError(
                f"beliefs.windows.window_ms must be {WINDOW_MS}: longer windows are made of these by aggregate"
                f" (aggregate.windows_s), got {self.beliefs.windows.window_ms}"
            )


class AggregateSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Longer windows and groups of cameras."""

    instance: Annotated[Text | None, Meta(description="a name that survives a restart; unique")] = None
    windows_s: Annotated[
        list[Annotated[int, Meta(ge=60, multiple_of=30)]],
        Meta(
            min_length=1,
            description="lengths of the windows; multiples of the 30 s that track counts",
            extra={"check": windows_mistake},
        ),
    ] = msgspec.field(default_factory=lambda: [60, 300])
    grace_s: Annotated[
        Positive, Meta(description="a group's window waits this long for its slowest member, and is revised later")
    ] = 30.0


class ServeSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The API and the history it answers from."""

    host: Annotated[Text, Meta(description="127.0.0.1: this machine only; 0.0.0.0: everyone who can reach it")] = (
        "127.0.0.1"
    )
    port: Port = 8080
    database: Annotated[Text, Meta(description="the SQLite file of the history; it is made if need be")] = "gantry.db"
    origins: Annotated[
        list[Annotated[str, Meta(pattern=ORIGIN_PATTERN)]] | None,
        Meta(
            description="pages elsewhere that browsers may let read the API, like https://traffic.example; none: the dashboard as this machine calls it"
        ),
    ] = None
    truth: Annotated[
        dict[Annotated[str, Meta(pattern=ID_PATTERN)], Text],
        Meta(
            description="of simulated cameras, by id: the truth.json that `gantry simulate truth` wrote, to show beside the counts"
        ),
    ] = msgspec.field(default_factory=dict)
    clients: Annotated[Count, Meta(description="live streams served at once; bounds memory")] = 200
    retention_days: Annotated[
        Count | None,
        Meta(description="rows of the history are deleted so many days after they were stored; none: never"),
    ] = None


class DashboardSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The page to look at."""

    host: Annotated[Text, Meta(description="127.0.0.1: this machine only; 0.0.0.0: everyone who can reach it")] = (
        "127.0.0.1"
    )
    port: Port = 8081
    serve: Annotated[
        Annotated[str, Meta(pattern=URL_PATTERN)] | None,
        Meta(
            description="serve's address as browsers reach it, like https://traffic.example/api; none: the page's own host, at serve.port"
        ),
    ] = None

    def origins(self) -> list[str]:
        """How browsers on this machine call the page."""
        names = {"127.0.0.1", "localhost", "[::1]", f"[{self.host}]" if ":" in self.host else self.host}
        return [f"http://{name}:{self.port}" for name in sorted(names - {"0.0.0.0", "[::]"})]  # noqa: S104 - not bound


class MetricsSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The Prometheus page of each process."""

    host: Annotated[Text, Meta(description="127.0.0.1: this machine only; in a container: 0.0.0.0")] = "127.0.0.1"
    port: Annotated[
        Port | None, Meta(description="none: no page; `gantry up` gives the processes this one and the five above it")
    ] = None


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every process's settings, whole. A stage gets its own policy made of these, never the whole."""

    kafka: KafkaSettings = KafkaSettings()
    capture: CaptureSettings = CaptureSettings()
    detect: DetectSettings = DetectSettings()
    track: TrackSettings = TrackSettings()
    aggregate: AggregateSettings = AggregateSettings()
    serve: ServeSettings = ServeSettings()
    dashboard: DashboardSettings = DashboardSettings()
    metrics: MetricsSettings = MetricsSettings()


def to_plain(settings: Settings) -> dict[str, Any]:
    """The settings as plain values, as they would be written in a file."""
    plain: dict[str, Any] = msgspec.to_builtins(settings)
    return plain

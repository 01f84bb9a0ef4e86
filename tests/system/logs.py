"""What lies in the topics of an installation under test."""

import asyncio
from collections import defaultdict
from itertools import pairwise

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from pipeline.core.model import Detections, Frame, Gap, Occurrence, Opened
from pipeline.core.scene import Memory
from pipeline.wire.codec import decode_event, decode_record
from tests.core.road import run


class Log:
    """A topic as far as it was read; `read` adds what came since, so that looking often costs little."""

    def __init__(self, house, topic):
        self.house, self.name = house, house.topics.name(topic)
        self.partitions = range(house.topics.specs[topic].partitions)
        self.next = dict.fromkeys(self.partitions, 0)
        self.records = {p: [] for p in self.partitions}

    def read(self):
        """Every record (aiokafka's ConsumerRecord), partition by partition."""
        asyncio.run(self._read())
        return [record for p in self.partitions for record in self.records[p]]

    async def _read(self):
        consumer = AIOKafkaConsumer(bootstrap_servers=self.house.servers, enable_auto_commit=False)
        await consumer.start()
        try:
            tps = [TopicPartition(self.name, p) for p in self.partitions]
            consumer.assign(tps)
            begins, ends = await consumer.beginning_offsets(tps), await consumer.end_offsets(tps)
            for tp in tps:
                consumer.seek(tp, max(self.next[tp.partition], begins[tp]))
            while any([await consumer.position(tp) < ends[tp] for tp in tps]):
                for tp, got in (await consumer.getmany(timeout_ms=1000)).items():
                    self.records[tp.partition] += got
            self.next = {tp.partition: await consumer.position(tp) for tp in tps}
        finally:
            await consumer.stop()


def lag(house):
    """How many records detect and track have not taken yet."""

    async def left():
        admin = AIOKafkaAdminClient(bootstrap_servers=house.servers)
        consumer = AIOKafkaConsumer(bootstrap_servers=house.servers, enable_auto_commit=False)
        await admin.start()
        await consumer.start()
        try:
            behind = 0
            for topic, group in (("frames", "detect"), ("detections", "track")):
                name, partitions = house.topics.name(topic), house.topics.specs[topic].partitions
                ends = await consumer.end_offsets([TopicPartition(name, p) for p in range(partitions)])
                offsets = await admin.list_consumer_group_offsets(house.prefix + group)
                behind += sum(end - max(0, offsets[tp].offset if tp in offsets else 0) for tp, end in ends.items())
            return behind
        finally:
            await consumer.stop()
            await admin.close()

    return asyncio.run(left())


def camera_logs(log):
    """Each camera's records, in the order of their partition, repeats left out."""
    found = defaultdict(dict)
    for message in log.read():
        record = decode_record(message.headers, message.value)
        found[record.header.camera].setdefault(record.header.order, record)
    return {camera: list(by_order.values()) for camera, by_order in found.items()}


def raw_logs(log):
    """Each camera's records as they lie in the topic, repeats and all."""
    found = defaultdict(list)
    for message in log.read():
        record = decode_record(message.headers, message.value)
        found[record.header.camera].append(record)
    return dict(found)


def faults(log, period_ms):
    """What is wrong with one camera's log: records out of order, holes in seq, stretches that nothing explains."""
    out = []
    for before, after in pairwise(r.header for r in log):
        if after.order < before.order:
            out.append(f"{after.order} came after {before.order}")
        elif after.epoch == before.epoch and after.seq != before.seq + 1:
            out.append(f"after seq {before.seq} of epoch {before.epoch} comes {after.seq}")
        elif after.epoch != before.epoch and after.seq != 0:
            out.append(f"epoch {after.epoch} begins with seq {after.seq}")
    seen_ms = None
    for record in log:
        match record.body:
            case Gap():
                out.append(f"a gap: {record.body}")
            case Opened() if record.body.restarts:
                seen_ms = None
            case Detections() | Frame():
                at = record.header.captured_ms
                if seen_ms is not None and at - seen_ms > 1.6 * period_ms:
                    out.append(f"nothing between {seen_ms} and {at}")
                seen_ms = at
    return out


def events(log):
    """Every event of the topic by id, in its last revision; a repeat must say the same."""
    found = {}
    for message in log.read():
        event = decode_event(message.headers, message.value)
        known = found.setdefault(event.id, event)
        if event.revision > known.revision:
            found[event.id] = event
        assert event == known or event.revision != known.revision, "two records of one id say different things"
    return found


def replayed(logs):
    """The events that the core makes of the cameras' logs, by id."""
    return {
        o.id: o
        for camera, log in logs.items()
        for o in run(log, Memory(camera=camera))[0]
        if isinstance(o, Occurrence)
    }  # fmt: skip

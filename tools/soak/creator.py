"""Makes the streams of a soak, and puts their events into the queue."""

import datetime
import json
import random
import threading
import time
import uuid

from emulators.client import Refused
from emulators.procs import ROOT, Failed
from soak.record import Json, Record, stream_of
from soak.world import World


class Creator:
    """Creates the streams, and puts their events into the queue as they are due."""

    def __init__(self, world: World, record: Record, over: threading.Event):
        self.world, self.record, self.over = world, record, over

    def create(self) -> None:
        """Creates all of them, one after the other."""
        world, shape = self.world, self.world.shape
        dice = random.Random(f"{world.seed}/events")
        due: list[tuple[float, str]] = []
        repeated = set(dice.sample(list(world.streams), len(world.streams) // 5))
        for index, (name, kind) in enumerate(world.streams.items()):
            tags = {"pci": {"data-class": "pci"}, "team": {"team": "blue"}}.get(kind, {"note": "none"})
            self.create_one(name, tags)
            now = time.monotonic()
            event = self.event(name)
            self.record.events[event["id"]] = name
            if kind == "other":
                self.encrypt(name, "alias/soak/somebodys")
            if kind == "own":
                delay = dice.uniform(0, 6)
                threading.Timer(delay, self.encrypt, (name, "alias/soak/default")).start()
            due.append((now + dice.uniform(0, 1.5), json.dumps(event)))
            if name in repeated:
                due.append((now + dice.uniform(0, shape.late), json.dumps(event)))
            if index < shape.malformed:
                due.append((now, '{"detail-type": "AWS API Call via CloudTrail", "source"'))
            until = now + shape.pause
            while not self.over.is_set() and time.monotonic() < until:
                due = self.send_due(due)
                time.sleep(0.05)
        while due and not self.over.wait(0.1):
            due = self.send_due(due)

    def create_one(self, name: str, tags: dict[str, str]) -> None:
        """Creates one, as soon as the limit lets it."""
        for _ in range(600):
            try:
                self.world.aws("kinesis", "CreateStream", StreamName=name, ShardCount=1, Tags=tags)
                return
            except Refused as refused:
                if "LimitExceeded" not in str(refused):  # Five at once may be CREATING, here as on AWS.
                    raise
                time.sleep(0.05)
        raise Failed(f"{name} could not be created")

    def encrypt(self, name: str, alias: str) -> None:
        """The stream's creator starts encryption, by alias; it may meet the function doing the same."""
        for _ in range(100):
            try:
                self.world.aws("kinesis", "StartStreamEncryption", StreamName=name, EncryptionType="KMS", KeyId=alias)
                return
            except Refused as refused:
                if "ResourceInUse" not in str(refused):
                    raise
                time.sleep(0.05)

    def send_due(self, due: list[tuple[float, str]]) -> list[tuple[float, str]]:
        """Sends what is due; the rest."""
        now = time.monotonic()
        for at, body in due:
            if at <= now:
                self.world.aws("sqs", "SendMessage", QueueUrl=self.world.queue, MessageBody=body)
                self.record.messages_in += 1
                self.record.put[stream_of(body)] += 1
        return [one for one in due if one[0] > now]

    def event(self, name: str) -> Json:
        """What EventBridge would bring of this stream's creation."""
        aws = self.world.aws
        event: Json = json.loads((ROOT / "events/kinesis-create-stream-provisioned.json").read_text())
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        bits = random.Random(f"{self.world.seed}/{name}").getrandbits(128)
        event |= {"id": str(uuid.UUID(int=bits, version=4)), "time": now, "account": aws.account, "region": aws.region}
        event["detail"] |= {"eventTime": now, "awsRegion": aws.region, "recipientAccountId": aws.account}
        event["detail"]["requestParameters"] = {"streamName": name, "shardCount": 1}
        return event

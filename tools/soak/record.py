"""What a soak notes down while it runs."""

import collections
import datetime
import json
from collections.abc import Iterable
from typing import Any

EVIDENCE = '{"schema":"streamseal.evidence/v1"'
OPEN = ("unfinished", "settling")  # Reasons of runs that a later one goes on with.
Json = dict[str, Any]


class Record:
    """Evidence, invocations, messages and kills. Written to by several threads, each of which only appends."""

    def __init__(self) -> None:
        self.evidence: list[tuple[str, Json]] = []  # With whose it is.
        self.lines: list[str] = []
        self.torn = 0
        self.invocations: list[Json] = []
        self.kills: collections.Counter[str] = collections.Counter()
        self.broken: list[str] = []  # Why the soak itself failed.
        self.events: dict[str, str] = {}  # Event id to stream.
        self.messages_in = 0
        self.put: collections.Counter[str | None] = collections.Counter()  # Messages, by stream.
        self.deleted: collections.Counter[str | None] = collections.Counter()
        self.calm_at = float("inf")

    def read(self, pipe: Iterable[bytes], actor: str) -> None:
        """Takes the evidence out of what an instance writes."""
        for raw in pipe:
            line = raw.decode(errors="replace").rstrip("\n")
            at = line.find(EVIDENCE)
            if at >= 0:
                try:
                    document, _ = json.JSONDecoder().raw_decode(line, at)
                    self.evidence.append((actor, document))
                    continue
                except ValueError:
                    self.torn += 1  # It was killed while it wrote; its message comes again.
            self.lines.append(f"{actor} {line}")

    def final(self) -> dict[str, list[Json]]:
        """The evidence of each event that is not about a run to be continued, by event id."""
        found: dict[str, list[Json]] = collections.defaultdict(list)
        for _, document in list(self.evidence):
            cause = document["cause"]
            for event in [cause["event_id"], *cause.get("also", [])]:
                if document["reason"] not in OPEN and event in self.events:
                    found[event].append(document)
        return found

    def last(self, name: str) -> Json | None:
        """The last word on a stream."""
        every = [document for _, document in list(self.evidence)]
        about = [one for one in every if one["stream"]["name"] == name and one["reason"] not in OPEN]
        return max(about, key=lambda one: one["run"]["finished_at"], default=None)


def stream_of(body: str) -> str | None:
    """Which stream a message is about; `None` where it cannot be read."""
    try:
        value = json.loads(body)
        arn = value.get("stream_arn")
        return str(arn.rpartition("/")[2] if arn else value["detail"]["requestParameters"]["streamName"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def instant(text: str) -> float:
    """An RFC 3339 time in seconds."""
    # Python 3.10 reads no fraction of other than 3 or 6 digits.
    seconds, _, fraction = text.removesuffix("Z").partition(".")
    return datetime.datetime.fromisoformat(f"{seconds}+00:00").timestamp() + float(f"0.{fraction or 0}")

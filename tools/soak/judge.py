"""What a soak has to come to: each stream, each event, each proof, each Start; and the table of it."""

import collections
import json
import pathlib

from soak.record import OPEN, Json, Record, instant
from soak.shape import KINDS
from soak.world import World

# Compliance, reason, and why nothing was done, of what is left alone.
LEFT_ALONE = {
    "exempt": ("NOT_APPLICABLE", "exempt", None),
    "key-unusable": ("NON_COMPLIANT", "key-unusable", None),
    "unmatched": ("NON_COMPLIANT", "unmatched", None),
    "quota": ("NON_COMPLIANT", "not-encrypted", "quota"),
}
MADE = ("proven", "observed")


class Judge:
    """Compares what the function says with the streams themselves, and with what was on the wire."""

    def __init__(self, world: World, record: Record):
        self.world, self.record = world, record

    def wrong(self, name: str) -> str | None:
        """What is wrong with how a stream ended, if anything."""
        wanted, document = KINDS[self.world.streams[name]], self.record.last(name)
        if document is None:
            return "no evidence"
        said = (document["compliance"], document["reason"], document["remediation"]["withheld"])
        expected = LEFT_ALONE.get(wanted, ("COMPLIANT", "right-key", None))
        if said != expected:
            return f"the evidence ends with {said} ({document['annotation']}), not {expected}"
        keys, stream = self.world.keys, self.world.aws.describe(name)
        key = stream.get("KeyId")
        is_on = keys.get(key, key) if stream["EncryptionType"] == "KMS" else None
        if (stream["StreamStatus"], is_on) != ("ACTIVE", keys.get(wanted)):
            return f"the stream is {stream['StreamStatus']} on {is_on}"
        if wanted in keys and document["proof"]["state"] not in MADE:
            return f"COMPLIANT with the proof {document['proof']['state']}"
        return None

    def proven(self) -> int:
        """Of how many streams the last word is a proof."""
        last = map(self.record.last, self.world.streams)
        return sum(1 for document in last if document and document["proof"]["state"] in MADE)

    def judge(self) -> list[str]:
        """Everything that does not hold, in words; prints the table."""
        world, record = self.world, self.record
        final, calls = record.final(), world.control("GET", "calls")
        failures: list[str] = []
        starts = [c for c in calls if c["call"] == "kinesis:StartStreamEncryption"]
        dead = sum(world.aws.waiting(world.dead))
        # Without its evidence an event is lost, unless a message that can still lead to it is in the queue.
        sent = collections.Counter(c["stream"] for c in calls if c["call"] == "sqs:SendMessage" and c["applied"])
        missing = {name for event, name in record.events.items() if event not in final}
        lost = [name for name in missing if record.put[name] + sent[name] <= record.deleted[name]]
        late = "not finished in time, still in the queue"
        failures += [f"{name}: {'lost' if name in lost else late}" for name in sorted(missing)]
        failures += [f"{name}: {why}" for name in world.streams if name not in missing and (why := self.wrong(name))]
        if dead != world.shape.malformed:
            failures.append(f"{dead} messages in the dead-letter queue, {world.shape.malformed} expected")
        probes = self.proofs(failures)
        self.starts(starts, failures)
        alien = {c["call"] for c in calls if not c["call"].split(":")[1].startswith(("Describe", "List", "Get"))}
        alien -= {"kinesis:StartStreamEncryption", "kinesis:PutRecord", "sqs:SendMessage"}
        failures += [f"{call} was called" for call in sorted(alien)]
        self.table(final, dead, probes, starts)
        self.table_of_calls(calls)
        print(f"\n  lost: {len(lost)}", flush=True)
        return failures

    def proofs(self, failures: list[str]) -> dict[str, int]:
        """Compares every claimed proof with the stream; the number of probes in each stream."""
        streams, aws = self.world.streams, self.world.aws
        records = {name: {(r["ShardId"], r["SequenceNumber"]): r for r in aws.records(name)} for name in streams}
        for _, document in self.record.evidence:
            proof, name = document["proof"], document["stream"]["name"]
            made = proof["state"] in MADE
            if document["compliance"] == "COMPLIANT" and not made:
                failures.append(f"{name}: COMPLIANT with the proof {proof['state']}")
            if not made:
                continue
            record = records[name].get((proof["shard_id"], proof["sequence_number"]))
            if (record or {}).get("EncryptionType") != "KMS" or proof["encryption_type"] != "KMS":
                stored = record["EncryptionType"] if record else "absent"
                claim = f"the proof {proof['sequence_number']}, reported as {proof['encryption_type']}"
                failures.append(f"{name}: {claim}, is {stored} in the stream")
        for name, found in records.items():
            if any(record["PartitionKey"] != "streamseal-probe" for record in found.values()):
                failures.append(f"{name}: a record that is no probe")
        return {name: len(found) for name, found in records.items()}

    def starts(self, starts: list[Json], failures: list[str]) -> None:
        """At most one Start a run: by what each instance was given, and by what each run says of itself."""
        self.starts_by_invocation(starts, failures)
        for actor, document in self.record.evidence:
            window = [instant(document["run"][end]) for end in ("started_at", "finished_at")]
            name = document["stream"]["name"]
            ours = [s for s in starts if s["by"] == actor and s["stream"] == name]
            seen = [s for s in ours if window[0] - 0.002 <= s["at"] <= window[1]]
            reported = [call for call in document["calls"] if call["call"] == "kinesis:StartStreamEncryption"]
            if len(seen) > 1 or len(reported) != len(seen):
                run = document["run"]["id"]
                failures.append(f"{name}: run {run} reports {len(reported)} Starts, {len(seen)} were on the wire")
        for start in starts:
            kind = self.world.streams[start["stream"]]
            if kind in ("scratch", "locked", "stray") or (kind == "spent" and start["applied"]):
                failures.append(f"{start['stream']}: a Start ({start['code'] or 'accepted'})")

    def starts_by_invocation(self, starts: list[Json], failures: list[str]) -> None:
        """Every Start belongs to an invocation that had a message about its stream."""
        invocations = self.record.invocations
        given: dict[int, collections.Counter[str]] = {
            id(one): collections.Counter(one["streams"]) for one in invocations
        }
        for start in starts:
            before = [one for one in invocations if one["actor"] == start["by"] and one["from"] <= start["at"]]
            before.sort(key=lambda one: float(one["from"]))
            # What a function sent just before it was killed is read by the layer when it gets round to it, which may be
            # after the end.
            answered = [one for one in before[-1:] if start["at"] <= one["to"]]
            broken_off = [one for one in before[-2:] if one["ended"] != "answered" and start["at"] <= one["to"] + 5]
            rooms = (given[id(one)] for one in answered + broken_off[::-1])
            room = next((room for room in rooms if room[start["stream"]]), None)
            if room is None:
                whose = f"a Start beyond those of its runs, or outside of any invocation ({start['by']})"
                failures.append(f"{start['stream']}: {whose}")
            else:
                room[start["stream"]] -= 1

    def table(self, final: dict[str, list[Json]], dead: int, probes: dict[str, int], starts: list[Json]) -> None:
        """Prints what happened."""
        world, record = self.world, self.record
        documents = [document for _, document in record.evidence]
        unfinished = sum(document["reason"] in OPEN for document in documents)
        finals = sum(len(found) for found in final.values())
        sealed = [name for name, kind in world.streams.items() if KINDS[kind] in world.keys]
        others = [name for name in world.streams if name not in sealed]
        proven = sum(1 for name in sealed if not self.wrong(name))
        left = sum(1 for name in others if not self.wrong(name))
        redelivered = sum(count > 1 for one in record.invocations for count in one["receives"])
        ended = collections.Counter(one["ended"] for one in record.invocations)
        sent = world.control("GET", "counters").get("sqs:SendMessage", {"applied": 0})["applied"]
        accepted = collections.Counter(start["stream"] for start in starts if start["applied"])
        again = record.messages_in - len(record.events) - world.shape.malformed
        many = sum(count > 1 for count in probes.values())
        most = max(accepted.values(), default=0)
        torn = f"{unfinished} of runs that went on later, {record.torn} torn by a kill"
        rows: list[tuple[str, object]] = [
            ("events in", f"{len(record.events)} of new streams, and {again} of them again"),
            ("malformed in", world.shape.malformed),
            ("evidence out", f"{len(documents)}: {finals} of runs that ended, {torn}"),
            ("streams proven", f"{proven} of {len(sealed)}"),
            ("left as they were", f"{left} of {len(others)}, as the policy says"),
            ("duplicates", f"{finals - len(final)} runs more than events; {redelivered} messages received again"),
            ("probes", f"{sum(probes.values())} records; more than one in {many} streams"),
            ("Start requests", f"{len(starts)}, {sum(accepted.values())} accepted, at most {most} a stream"),
            ("invocations", ", ".join(f"{count} {how}" for how, count in ended.most_common())),
            ("killed in flight", ", ".join(f"{count} x {what}" for what, count in record.kills.items()) or "none"),
            ("handed over", f"{sent} work messages; still in the queue: {sum(world.aws.waiting(world.queue))}"),
            ("DLQ", dead),
        ]
        print()
        for label, value in rows:
            print(f"  {label:<18} {value}")

    def table_of_calls(self, calls: list[Json]) -> None:
        """Prints how often each operation was called, and how often it failed."""
        print(f"\n  {'calls':<32} {'all':>6} {'most/s':>7} {'in the storm':>13} {'failed':>7}")
        for name, counter in self.world.control("GET", "counters").items():
            stormy = [c["injected"] for c in calls if c["call"] == name and c["at"] < self.record.calm_at]
            failed = sum(any(kind.startswith(("error", "drop", "limit")) for kind in kinds) for kinds in stormy)
            share = f"{failed / len(stormy):.0%}" if stormy else ""
            counted = f"{counter['calls']:>6} {counter['most_a_second']:>7}"
            print(f"  {name:<32} {counted} {len(stormy):>13} {share:>7}")

    def keep(self, folder: pathlib.Path) -> None:
        """Writes everything to a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        files = {
            "evidence": [{"actor": actor, **document} for actor, document in self.record.evidence],
            "calls": self.world.control("GET", "calls"),
            "invocations": self.record.invocations,
        }
        for name, lines in files.items():
            (folder / f"{name}.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
        (folder / "function.log").write_text("\n".join(self.record.lines))

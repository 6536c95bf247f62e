"""A test-only HTTP layer between the real SDK clients and the emulators, that makes calls fail the way AWS does.

    tools fault --kinesis URL --aws URL [--config FILE] [--account ID] [--region NAME]

Prints one line of JSON, {"url": ..}, and lives until its stdin closes. That one loopback port is every service's endpoint
(AWS_ENDPOINT_URL): calls of Kinesis go on to --kinesis, all others to --aws. With no configuration it only corrects what AWS was seen to
answer otherwise than the emulator of Kinesis does (tests/observed):

    EncryptionType is absent where a record is not encrypted (PutRecord, PutRecords, GetRecords); the text NONE is in descriptions alone
    while a stream is UPDATING its old setting is shown
    creation times are whole seconds
    Stop on a stream that is not encrypted is refused, and so is a page token that is none

It is a Python program and not part of the package's Rust, since both the Rust tests and the tools script it, it must start
at once, and the standard library is enough for it: nothing is built and the function depends on nothing more.

Control, on the same port:

    PUT  /_fault/config    replaces the configuration; 400 with words if it is not one
    GET  /_fault/config    the configuration
    GET  /_fault/calls     every call, oldest first; ?call=GLOB&stream=GLOB&by=GLOB&since=N to choose. `resources` are the ARNs that
                           AWS would authorise it on, as far as the call (of an alias: its answer) names any
    GET  /_fault/counters  by operation: calls, applied, injected (by kind), the most calls in one second
    POST /_fault/reset     forgets calls, counters, recorded events and what it knows of streams; keeps the configuration
    POST /_fault/uses      a record of CloudTrail that LookupEvents shows from now on: what Kinesis asks KMS for a user of a stream, which no
                           emulator does
    POST /_fault/clock     {advance_ms: N} stops the clock of limits, hold, lag, quota and trail, and moves it on; delays stay real

Configuration, all of it optional; a number of milliseconds may be a range [least, most]:

    seed: 1                        the dice: the nth call of an operation on a stream meets the same fault in every run
    rules:                         in order; the first that drops or answers ends it, delays add up
      - op: "kinesis:Put*"         glob or list of globs, `service:Operation` or `Operation`; "*" unless given
        stream: "orders-*"         glob; calls without a stream match only "*"
        by: "AKIDOTHER*"           glob of the caller's access key id
        p: 0.2                     probability; 1 unless given
        next: 3                    only the next 3 that it would hit
        delay_ms: [10, 50]         and then, or instead:
        drop: before | after       the connection is closed before the call took effect, or after it (the answer is lost)
        error: KMSThrottlingException       with `status`, `message`, and `after: true` where the call takes effect all the same
        one_of: [{drop: before}, ..]        one of these by chance
    limits:                        account-wide, calls a second of each operation that the glob matches, a second's worth at once
      "kinesis:Describe*": 20      or {per_second: 20, error: ThrottlingException, message: ..}
    hold:                          the first that matches; setting calls are refused meanwhile (ResourceInUseException)
      - { stream: "*", creating_ms: 2000, updating_ms: [500, 900] }
    lag: { encryption_ms: 5000, describe_ms: 1000 }
                                   PutRecord leaves EncryptionType out until so long after ACTIVE; describes are so old after a change
    start_quota: 25                accepted Starts per stream's name and 24 hours, whether the stream was deleted and made anew or not
    key_states: true               Start, PutRecord and GetRecords fail as the state of the key in the KMS emulator says
    trail: { lag_ms: 0, role: ARN, roles: { AKID: ARN } }
                                   CloudTrail LookupEvents from the changes it saw; whose they were by access key id. With a range each
                                   event has a lag of its own, so that they come out of order and with gaps
    list_streams_page: 100         ListStreams in pages of at most so many, with NextToken
    list_streams_summaries: true   ListStreams with StreamSummaries beside the names
    aged:                          the first that matches; describes and summaries say that the stream was created so much earlier
      - { stream: "old-*", by_s: 7200 }
    tagging: true                  GetResources of the tagging API, of streams by ARN, from the tags that Kinesis has

As AWS was seen: creating_ms [4000, 7000], updating_ms [2000, 4000], encryption_ms 5000, lag_ms [60000, 118000]. Loopback only.
"""

import argparse
import asyncio
import contextlib
import json
import os
import pathlib
import sys
import threading

from emulators.fault.context import Context
from emulators.fault.layer import Layer
from emulators.fault.plan import BadConfig, Plan


def main() -> None:
    """Serves until its standard input closes."""
    parser = argparse.ArgumentParser(
        prog="tools fault", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kinesis", required=True, metavar="URL")
    parser.add_argument("--aws", required=True, metavar="URL")
    parser.add_argument("--config", type=pathlib.Path, metavar="FILE")
    parser.add_argument("--account", default="111122223333", metavar="ID")
    parser.add_argument("--region", default="eu-west-1", metavar="NAME")
    args = parser.parse_args()
    try:
        plan = Plan(json.loads(args.config.read_text()) if args.config else {})
    except (BadConfig, ValueError, OSError) as wrong:
        sys.exit(f"fault: {wrong}")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(Context(args.kinesis, args.aws, args.account, args.region, plan)))


async def serve(context: Context) -> None:
    """Says where it listens, and answers calls."""
    layer = Layer(context)
    server = await asyncio.start_server(layer.connection, "127.0.0.1", 0, limit=2**22)
    print(json.dumps({"url": f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"}), flush=True)
    ended, loop = asyncio.Event(), asyncio.get_running_loop()

    def watch() -> None:
        while os.read(0, 65536):
            pass
        loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=watch, daemon=True).start()
    await ended.wait()
    os._exit(0)  # There is nothing to tidy up, and open calls are nobody's any more.

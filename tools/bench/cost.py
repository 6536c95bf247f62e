"""What a deployment costs a month, by the size of the account. Prints a table (Markdown).

    tools cost [--bench target/bench.json]

Measured is what one stream costs in calls, time and log (rows of `make bench`; without --bench the figures of
PERFORMANCE.md's run). How much happens is assumed, below; prices are published ones. Free tiers are left out, since
most accounts have used them up; with them a small account pays next to nothing but the dashboard beyond the third.

Prices are list prices in us-east-1, in dollars, as of 2026. Those of Lambda and CloudWatch were read in copies of
their pricing pages (aws.amazon.com/lambda/pricing, /cloudwatch/pricing); those of SQS, KMS, Kinesis and EventBridge
are as commonly quoted. They change, and differ by Region: read the pages before you rely on them. Calls of
Kinesis's control plane, SSM's standard parameters, the tagging API, CloudTrail's LookupEvents and EventBridge's rules
on AWS's own events have no price. CloudTrail's first trail, which EventBridge's events need, has none either, but for
its storage. What Kinesis calls KMS for, and the key itself, is the encryption's price and not this function's.
"""

import argparse
import json
import pathlib
import statistics
from collections.abc import Mapping

HOURS = 730
GB_SECOND = {"arm64": 0.0000133334, "x86_64": 0.0000166667}
REQUEST = 0.20 / 1e6  # Lambda
SQS, FIFO = 0.40 / 1e6, 0.50 / 1e6
KMS = 0.03 / 1e4
BUS = 1.00 / 1e6  # A custom event of up to 64 kB
PUT = 0.014 / 1e6  # A PUT payload unit of a provisioned stream
LOG_GB = 0.50 + 0.03  # Taken in, and kept for a month
METRIC, ALARM, DASHBOARD = 0.30, 0.10, 3.00
# The pollers of an event source mapping: five, each with a long poll of 20 s (Lambda developer guide, SQS).
POLLS = 5 * 3 * 60 * HOURS

MEMORY_GB = 0.25  # MemorySize of template.yaml
SWEEPS = 30  # A month; SWEEP_HOURS is 24
SWEEP_RATE = 5  # SCAN_DESCRIBES_PER_SECOND
PART_SECONDS = 100  # Of a sweep in one invocation: 120 s of timeout, less what is kept for its end
SWEEP_METRICS = 12  # Series that one sweep writes
RUN_METRICS = 3  # Series that one run writes

# Assumed of the account: so much of its streams is made anew in a month, and so many other events come for each stream.
NEW, OTHER = 0.10, 0.5

ROOT = pathlib.Path(__file__).resolve().parents[2]
# What an observation of one stream writes, in a sweep as well: a document such as this one, metrics of some 0.4
# kB.
OBSERVATION_KB = (
    len(json.dumps(json.loads((ROOT / "events/streamseal-evidence-event.json").read_text())["detail"])) / 1000 + 0.4
)

# GetMetricData, for each metric that is asked for (aws.amazon.com/cloudwatch/pricing).
METRIC_READ = 0.01 / 1000
# Of a change that is watched for 20 minutes: one before it and six after it (`hundreds_of_streams_take_hours` counts
# them).
OBSERVED_BEFORE, OBSERVED_AFTER = 1, 6
# Of each: the stream's own metrics, so many more for each registered consumer (src/domain/traffic/queries.rs); before
# the change also whether one to the same key broke a stream.
STREAM_METRICS, CONSUMER_METRICS, HALTED_METRICS = 12, 5, 1

# Where there is no --bench: PERFORMANCE.md's run, and one KMS call and one record for each run that needs them.
MEASURED = {"seconds": 6.2, "kms": 1.0, "put": 1.0, "log_kb": 4.8}


def measured(path: pathlib.Path) -> dict[str, float]:
    """Of one created stream that is CREATING for 5 s: seconds of the function, calls of KMS, records, kilobytes of
    log.
    """
    rows = {row["what"]: row["samples"] for row in json.loads(path.read_text())["rows"]}

    def of(what: str) -> float:
        return float(statistics.median(rows[what]["streamseal"]))

    above = of("CREATING for 5 s: time above the service's own") / 1000
    return {**MEASURED, "seconds": 5 + 0.5 + above, "log_kb": of("CREATING for 5 s: log written")}


def month(streams: int, one: Mapping[str, float], template: str) -> dict[str, float]:
    """The parts of a month's price; the last two only where there is a bus, or a dashboard."""
    alarms = template.count("Type: AWS::CloudWatch::Alarm")
    new, other = streams * NEW, streams * OTHER
    runs = new + other
    sweep_seconds = streams / SWEEP_RATE
    parts = max(1, -(-sweep_seconds // PART_SECONDS))
    # A run about a stream that is as it should be takes one observation, no wait; batches share an invocation, which is
    # left out.
    seconds = new * one["seconds"] + other * 0.3 + SWEEPS * sweep_seconds
    invocations = runs + SWEEPS * parts
    observations = SWEEPS * streams
    log_gb = (new * one["log_kb"] + (other + observations) * OBSERVATION_KB) / 1e6
    series = min(HOURS, SWEEPS) * SWEEP_METRICS + min(HOURS, runs) * RUN_METRICS
    return {
        "Lambda": seconds * MEMORY_GB * GB_SECOND["arm64" if "Default: arm64" in template else "x86_64"]
        + invocations * REQUEST,
        "SQS": POLLS * SQS + POLLS * FIFO + runs * 3 * SQS + SWEEPS * parts * 3 * FIFO,
        "KMS": runs * one["kms"] * KMS,
        "records": new * one["put"] * PUT,
        "logs": log_gb * LOG_GB,
        "metrics": series / HOURS * METRIC,
        "alarms": alarms * ALARM,
        "dashboard": DASHBOARD,
        # The events, and what the central log group takes in.
        "result bus": (runs + observations) * BUS + log_gb * LOG_GB,
    }


def guarded(consumers: int) -> float:
    """What CloudWatch takes for one change that is watched, of a stream with so many registered consumers."""
    metrics = (OBSERVED_BEFORE + OBSERVED_AFTER) * (STREAM_METRICS + consumers * CONSUMER_METRICS)
    return (metrics + OBSERVED_BEFORE * HALTED_METRICS) * METRIC_READ


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(
        prog="tools cost", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bench", type=pathlib.Path, metavar="FILE")
    args = parser.parse_args()
    one = measured(args.bench) if args.bench else MEASURED
    template = (ROOT / "template.yaml").read_text()
    names = list(month(10, one, template))
    print(f"| streams | {' | '.join(names)} | a month |\n|---|{'---|' * (len(names) + 1)}")
    for streams in (10, 1_000, 100_000):
        parts = month(streams, one, template)
        print(
            f"| {streams:,} | {' | '.join(f'{value:.2f}' for value in parts.values())} | ${sum(parts.values()):.2f} |"
        )
    # CreateDashboard=false in each: the dashboard is the central one.
    accounts = {name: value * 1000 for name, value in month(1_000, one, template).items()} | {"dashboard": DASHBOARD}
    cells = " | ".join(f"{value:,.0f}" for value in accounts.values())
    print(f"| 1,000 accounts of 1,000 | {cells} | ${sum(accounts.values()):,.0f} |")
    print("\n| a change that is watched for 20 minutes | GetMetricData | one | 1,000 |\n|---|---|---|---|")
    for consumers in (0, 2):
        price, calls = guarded(consumers), OBSERVED_BEFORE + OBSERVED_AFTER
        print(f"| with {consumers} registered consumers | {calls} | ${price:.5f} | ${price * 1000:.2f} |")

"""What a run will make and cost, said before anything is made."""

import secrets

from accept.run import again
from accept.terms import PREFIX, REFUSED, Json
from emulators.procs import ROOT
from emulators.stacks import Account, yaml_parse

# List prices of us-east-1 in US dollars, as AWS publishes them (Kinesis, KMS, CloudWatch, Lambda: pricing pages, 2026);
# other Regions ask up to twice that.
SHARD_HOUR, ON_DEMAND_HOUR, KEY_MONTH, ALARM_MONTH, REST = 0.015, 0.04, 1.00, 0.10, 0.02
STREAMS, KEYS, HOURS, MONTH = 11, 7, {False: 1.5, True: 3.0}, 730


def fresh() -> str:
    """A prefix that nobody has."""
    return PREFIX + secrets.token_hex(4)


def plan(aws: Account, prefix: str, who: Json, long: bool) -> str:
    """What is made, and what it costs."""
    hours = HOURS[long]
    resources = yaml_parse((ROOT / "template.yaml").read_text())["Resources"].values()
    kinds = [one["Type"].split("::")[-1] for one in resources]
    alarms = kinds.count("Alarm")
    rows = [
        (
            f"up to {STREAMS} streams of one shard",
            f"{STREAMS} x {hours} h x ${SHARD_HOUR:.3f}",
            STREAMS * SHARD_HOUR * hours,
        ),
        (
            f"up to {KEYS} KMS keys, deleted after 7 days",
            f"{KEYS} x {hours} h of ${KEY_MONTH:.2f} a month",
            KEYS * KEY_MONTH * hours / MONTH,
        ),
        (
            f"{alarms} alarms",
            f"{alarms} x {hours} h of ${ALARM_MONTH:.2f} a month",
            alarms * ALARM_MONTH * hours / MONTH,
        ),
        (
            "a stream on demand, which becomes one of 4 shards",
            f"an hour of each, ${ON_DEMAND_HOUR:.2f} + 4 x ${SHARD_HOUR:.3f}",
            ON_DEMAND_HOUR + 4 * SHARD_HOUR if long else 0,
        ),
        ("requests, logs, the function's time", "a bound, not a count", REST),
    ]
    shown = "\n".join(f"  {what:<50}{how:<36}${cost:5.2f}" for what, how, cost in rows if cost)
    counted = f"{kinds.count('Queue')} queues, {kinds.count('Rule')} rules, alarms"
    stack = f"a stack of CloudFormation: the function, its role, {counted}"
    takes = "one to three hours" if long else "half an hour to an hour and a half"
    where = f"In account {who['Account']} ({who['Arn']}), Region {aws.region}, with the prefix {prefix}"
    total = f"${sum(cost for _, _, cost in rows):.2f}"
    scope = (
        "While it runs the function observes every stream of the account and Region, and changes only those that have"
    )
    return f"""
{where}, this makes and removes again:
  {stack}; a log group, a parameter; a bucket for the package
{shown}
  in all some {total} at the list prices of us-east-1, over {takes}.
{scope} the prefix.
{others(aws)}
If it is killed: {again(aws, prefix)}
"""


def others(aws: Account) -> str:
    """What another Streamseal of this account and Region has to do with it, in words."""
    acts = "A Streamseal that is deployed here acts on these streams too, by its own policy, which upsets what is tried"
    words = f"{acts}; its alarms and its dashboard count what this run writes."
    try:
        active = aws.cloudwatch.list_metrics(Namespace="Streamseal", RecentlyActive="PT3H")["Metrics"]
    except REFUSED as error:
        return f"{words}\nWhether there is one could not be read: {error}"
    there = "THERE IS ONE, or an acceptance has just run: its metrics were written in the last three hours."
    return f"{words}\n{there}" if active else words

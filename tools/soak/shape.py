"""How long and how hard the soak is: its streams, its policy, its faults."""

from typing import Any

RECEIVES_MAX = 5

# What is made of a stream, by the beginning of its name: the alias of the key it must end on, or why it is left alone.
KINDS = {
    "orders": "alias/soak/default",
    "pci": "alias/soak/regulated",  # by its tag
    "team": "alias/soak/team-blue",  # by its name, the key's alias from its tag
    "own": "alias/soak/default",  # its creator encrypts it with the right key, at about the same time
    "other": "alias/soak/default",  # its creator has encrypted it with another key
    "scratch": "exempt",
    "locked": "key-unusable",  # its rule's key is disabled
    "stray": "unmatched",
    "spent": "quota",  # Kinesis takes no more key changes for it today
}
SHARES = [
    *["orders"] * 8, *["pci"] * 2, *["team"] * 3, *["own"] * 2, *["other"] * 2, "scratch", "locked", "stray", "spent",
]  # fmt: skip
ALIASES = ["default", "regulated", "team-blue", "locked", "somebodys"]

POLICY = """
version: 1
defaults:
  proof: { new: probe, existing: observe }
  existing: enforce
  settle: { terraform: 0s, cloudformation: 0s, pulumi: 0s, other: 0s }
rules:
  - { name: scratch, match: { stream: "scratch-*" }, exempt: { reason: "synthetic data" } }
  - { name: regulated, match: { tags: { data-class: [pci, phi] } }, key: alias/soak/regulated }
  - { name: locked, match: { stream: "locked-*" }, key: alias/soak/locked }
  - { name: teams, match: { stream: "team-*" }, key: "alias/soak/team-${tag:team}" }
  - { name: all-else, unless: { stream: "stray-*" }, key: alias/soak/default }
"""


class Shape:
    """The numbers of a soak."""

    def __init__(self, short: bool):
        self.short = short
        self.streams = 30 if short else 200
        self.instances = 2 if short else 4
        self.limit = 600 if short else 900  # Ends the soak only where something is wrong, or the machine is very slow.
        # The function keeps 10 s of its time for its answer and 5 s for a last call, and works in what is left.
        self.timeout, self.visibility, self.wait = (25, 26, 8) if short else (30, 36, 10)
        self.kill_every = (5, 8) if short else (4, 9)
        self.storm = (
            25 if short else 120
        )  # For how long calls fail and functions are killed; the rest must finish then.
        self.pause = 0.25 if short else 0.4  # Between two new streams.
        self.malformed = 0 if short else 2  # Five receipts take five visibility timeouts.
        self.late = 5 if short else 40  # How late a repeated event may come, in seconds.

    def faults(self, seed: int, storm: bool) -> dict[str, Any]:
        """The fault layer's configuration. About a fifth of all calls fail, each in one of the ways that AWS has.
        Without the storm AWS is only slow and strict.
        """
        spent = {"error": "LimitExceededException", "message": "the limit of key changes in 24 hours is reached"}
        return {
            "seed": seed,
            "rules": [
                {"op": "*", "p": 0.3, "delay_ms": [1, 60]},
                {"op": "StartStreamEncryption", "stream": "spent-*", **spent},  # First: none of these may take effect.
                *(failing() if storm else []),
            ],
            "limits": {
                "kinesis:DescribeStreamSummary": 20,
                "kinesis:StartStreamEncryption": 5,
                "kinesis:ListTagsForStream": 20,
            },
            "hold": [
                {"stream": "*7", "creating_ms": [0, 2000], "updating_ms": 9000},
                *self.long_holds(),
                {"creating_ms": [0, 3000], "updating_ms": [200, 1500]},
            ],
            "lag": {"encryption_ms": [0, 2000], "describe_ms": [0, 1000]},
            "start_quota": 25,
            "key_states": True,
        }

    def long_holds(self) -> list[dict[str, Any]]:
        """Some streams of a large soak are CREATING for longer than a run waits."""
        long = {"stream": "*13", "creating_ms": 40_000, "updating_ms": [500, 1500]}
        return [] if self.streams < 100 else [long]


def failing() -> list[dict[str, Any]]:
    """The rules by which calls fail."""

    def chance(op: str | list[str], p: float, *errors: str) -> dict[str, Any]:
        after = [{"error": "InternalFailure", "after": True}, {"drop": "before"}, {"drop": "after"}]
        return {"op": op, "p": p, "one_of": [*({"error": error} for error in errors), *after]}

    busy = ["LimitExceededException", "InternalFailure", "ServiceUnavailable", "ThrottlingException"]
    rate = "ProvisionedThroughputExceededException"
    return [
        # Longer than the function waits for an answer: the call takes effect when it is no longer expected.
        {"op": "kinesis:*", "p": 0.005, "delay_ms": [5200, 6500]},
        chance("StartStreamEncryption", 0.2, *busy, "ResourceInUseException", "KMSThrottlingException"),
        chance("PutRecord", 0.2, *busy, rate, "KMSThrottlingException"),
        chance("GetRecords", 0.2, *busy, rate, "ExpiredIteratorException"),
        chance(["kinesis:Describe*", "kinesis:List*", "kinesis:GetShardIterator"], 0.2, *busy),
        chance("kms:*", 0.2, "ThrottlingException", "KMSInternalException", "DependencyTimeoutException"),
        # More often, since the SDK repeats these: some have to fail for good.
        chance("sqs:*", 0.45, "ServiceUnavailable", "RequestThrottled"),
        chance("ssm:*", 0.2, "ThrottlingException", "InternalServerError"),
    ]

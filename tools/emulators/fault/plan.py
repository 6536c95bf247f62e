"""The configuration of the fault layer, checked; main.py says what it may have."""

import fnmatch
import json
import random
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from emulators.fault.call import Call

Json = dict[str, Any]


class BadConfig(Exception):
    """What is wrong with a configuration."""


class Plan:
    """The configuration, and what it says of each call and stream."""

    TOP: ClassVar = {
        "seed", "rules", "limits", "hold", "lag", "start_quota", "key_states", "trail", "list_streams_page",
        "list_streams_summaries", "aged", "tagging",
    }  # fmt: skip
    ACTION: ClassVar = {"delay_ms", "drop", "error", "status", "message", "after", "one_of"}

    def __init__(self, spec: Json):
        self.spec = spec
        known(spec, self.TOP, "the configuration")
        self.seed = spec.get("seed", 0)
        self.rules: list[Json] = [dict(rule) for rule in spec.get("rules", [])]
        for rule in self.rules:
            known(rule, self.ACTION | {"op", "stream", "by", "p", "next"}, "a rule")
            check_action(rule)
        self.limits: Json = spec.get("limits", {})
        self.hold: list[Json] = spec.get("hold", [])
        for hold in self.hold:
            known(hold, {"stream", "creating_ms", "updating_ms"}, "`hold`")
        self.lag = known(spec.get("lag", {}), {"encryption_ms", "describe_ms"}, "`lag`")
        self.quota: int | None = spec.get("start_quota")
        self.key_states: bool = spec.get("key_states", False)
        trail: Json | None = spec.get("trail")
        self.trail = trail and known(trail, {"lag_ms", "role", "roles"}, "`trail`")
        self.page: int | None = spec.get("list_streams_page")
        self.summaries: bool = spec.get("list_streams_summaries", False)
        self.aged: list[Json] = spec.get("aged", [])
        for aged in self.aged:
            if not isinstance(known(aged, {"stream", "by_s"}, "`aged`").get("by_s"), (int, float)):
                raise BadConfig(f"`aged`: `by_s` is a number of seconds: {json.dumps(aged)}")
        self.tagging: bool = spec.get("tagging", False)

    def dice(self, *of: object) -> random.Random:
        return random.Random("/".join(map(str, (self.seed, *of))))

    def held(self, stream: str, what: str) -> float:
        """For how many seconds this stream is held in CREATING or UPDATING."""
        hold = next((h for h in self.hold if fnmatch.fnmatchcase(stream, h.get("stream", "*"))), {})
        return pick(hold.get(what, 0), self.dice(what, stream)) / 1000

    def age(self, stream: str) -> float:
        """By how many seconds this stream seems older than it is."""
        found = (aged["by_s"] for aged in self.aged if fnmatch.fnmatchcase(stream, aged.get("stream", "*")))
        return next(found, 0)

    def lags(self, stream: str, what: str) -> float:
        """By how many seconds an answer about this stream is late."""
        return pick(self.lag.get(what, 0), self.dice(what, stream)) / 1000

    def matching(self, call: "Call") -> Iterator[tuple[Json, random.Random]]:
        """The actions that this call meets, in order."""
        for index, rule in enumerate(self.rules):
            if not fits(rule, call) or rule.get("next", 1) <= 0:
                continue
            dice = self.dice(index, call.name, call.stream or call.key or "", call.ordinal)
            if dice.random() >= rule.get("p", 1):
                continue
            if "next" in rule:
                rule["next"] -= 1
            yield (dice.choice(rule["one_of"]) if "one_of" in rule else rule), dice


def fits(rule: Json, call: "Call") -> bool:
    """Whether a rule is about this call."""
    globs = rule.get("op", "*")
    globs = [globs] if isinstance(globs, str) else globs
    if not any(fnmatch.fnmatchcase(call.name, g) or fnmatch.fnmatchcase(call.operation, g) for g in globs):
        return False
    about = fnmatch.fnmatchcase(call.stream or "", rule.get("stream", "*"))
    return about and fnmatch.fnmatchcase(call.by, rule.get("by", "*"))


def known(spec: Any, names: set[str], where: str) -> Json:
    """The object, which has none but these fields."""
    if not isinstance(spec, dict) or set(spec) - names:
        raise BadConfig(f"{where}: an object of {', '.join(sorted(names))} is expected, not {json.dumps(spec)}")
    return spec


def check_action(action: Json) -> None:
    """What a rule does has to be something that can be done."""
    for one in action.get("one_of", []):
        check_action(known(one, Plan.ACTION - {"one_of"}, "`one_of`"))
    if action.get("drop") not in (None, "before", "after") or ("drop" in action and "error" in action):
        raise BadConfig(f"`drop` is `before` or `after`, and not together with `error`: {json.dumps(action)}")
    if not {"drop", "error", "delay_ms", "one_of"} & set(action):
        raise BadConfig(f"nothing would happen: {json.dumps(action)}")


def pick(value: Any, dice: random.Random) -> float:
    """A number, or one of a range."""
    return float(dice.uniform(*value) if isinstance(value, list) else value)

"""What AWS does not say: the questions of docs/aws-unconfirmed.md, and how each is asked."""

from collections.abc import Callable

from accept.world import World

# What it came to and what was found, or only the latter.
Answer = tuple[str, str] | str
Question = Callable[[World], Answer]
QUESTIONS: dict[str, Question] = {}


def question(ask: Question) -> Question:
    """Marks a function as the one that asks the question of its name."""
    QUESTIONS[getattr(ask, "__name__", "").replace("_", "-")] = ask
    return ask

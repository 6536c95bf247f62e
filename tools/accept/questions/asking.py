"""Asks the questions that docs/aws-unconfirmed.md lists."""

import re

import accept.questions.denials
import accept.questions.keys
import accept.questions.queues
import accept.questions.streams
import accept.questions.trail  # noqa: F401  (their questions are known once they are imported)
from accept.questions import QUESTIONS
from accept.terms import ONLY_AWS
from accept.world import World
from emulators.procs import ROOT, Failed
from emulators.stacks import expect


def ask_all(world: World) -> None:
    """Asks everything that is asked."""
    for name, (words, seen, how) in listed().items():
        if how.startswith("not asked"):
            world.row(name, words, "not asked", how.split(": ", 1)[1])
            continue
        if "LONG" in how and not world.long:
            world.row(name, words, "not asked", "takes longer: LONG=1")
            continue
        try:
            answer = QUESTIONS[name](world)
            result, found = answer if isinstance(answer, tuple) else ("ANSWERED", answer)
            if {result, seen} in ({"CONFIRMED", "REFUTED"}, {"CONFIRMED", "NOT SEEN"}):
                found = f"NOT AS SEEN BEFORE ({seen}): {found}"
        except Exception as failure:  # No question may take the others with it.
            result, found = "NO ANSWER", world.in_words(failure)
        if world.here:  # Whatever the emulators answered, they are not AWS: it shows that the question can be asked.
            world.say(f"{name}: the emulators: {result}, {found}")
            result, found = ONLY_AWS, ""
        world.row(name, words, result, found)


def listed() -> dict[str, tuple[str, str, str]]:
    """The table of docs/aws-unconfirmed.md: id to what is not documented, what was seen (CONFIRMED, REFUTED, NOT
    SEEN, SEEN or OPEN) and how it is asked. What it says of the code has to be there, and every question here.
    """
    rows: dict[str, tuple[str, str, str]] = {}
    for line in (ROOT / "docs/aws-unconfirmed.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("| ") or cells[0] == "id":
            continue
        where = f"docs/aws-unconfirmed.md, {cells[0]}"
        expect(len(cells) == 5, f"{where}: {len(cells)} cells, not 5")
        name, words, seen, guard, how = cells
        verdict = re.match(r"\*\*(confirmed|refuted|seen|not seen)\*\*|open\b", seen)
        if not verdict:
            raise Failed(f"{where}: `{seen}`")
        for path, names in re.findall(r"`([a-z0-9/_]+\.rs)`((?: (?:and )?`[A-Za-z_:]+`,?)*)", guard):
            text = (ROOT / "src" / path).read_text()
            for one in re.findall(r"`([A-Za-z_:]+)`", names):
                expect(one.split("::")[-1] in text, f"{where}: src/{path} has no {one}")
        expect(how.startswith("not asked: ") or how in ("asked", "asked with LONG=1"), f"{where}: `{how}`")
        known = name in QUESTIONS
        expect(how.startswith("not asked") != known, f"{where}: `{how}`, and tools/accept says otherwise")
        rows[name] = (words, (verdict[1] or "open").upper(), how)
    unlisted = set(QUESTIONS) - set(rows)
    expect(rows and not unlisted, f"docs/aws-unconfirmed.md has no {unlisted}")
    return rows

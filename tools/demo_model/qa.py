"""One question with its reasoning and answer."""

import dataclasses
import re


@dataclasses.dataclass
class QA:
    category: str
    lang: str
    question: str
    thought: str
    answer: str


class Phrased(str):
    """A question that remembers how it was phrased, so that everyday.py can phrase it in other words."""

    def __new__(cls, table, template, fields):
        self = super().__new__(cls, template.format(**fields))
        self.table, self.fields = table, fields
        return self


def pick(rng, table, lang, **fields):
    """A random phrasing of table[lang] with its fields filled in."""
    return Phrased(table, rng.choice(table[lang]), fields)


CHOICE = re.compile(r"\(([^()]*)\)")


def expand(rng, template):
    """Chooses in every "(one|another|)" of a template, the inner ones first."""
    while match := CHOICE.search(template):
        template = template[:match.start()] + rng.choice(match[1].split("|")) + template[match.end():]
    return template

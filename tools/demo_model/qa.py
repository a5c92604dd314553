"""One question with its reasoning and answer."""

import dataclasses


@dataclasses.dataclass
class QA:
    category: str
    lang: str
    question: str
    thought: str
    answer: str


def pick(rng, table, lang, **fields):
    """A random phrasing of table[lang] with its fields filled in."""
    return rng.choice(table[lang]).format(**fields)

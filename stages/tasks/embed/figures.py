"""What vectors of the test split look like, for the report."""
from collections.abc import Iterator
from stages.report.answers import Answers
from stages.report.figure import Part, Table
def figures(answers: Answers) -> Iterator[Part]:
    """Nothing yet."""
    yield Table("Retrieval","",("a",),(("b",),))

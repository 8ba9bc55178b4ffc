"""A failing verdict, and all that is at hand to find out why."""

from dataclasses import dataclass, field
from pathlib import Path

from deploy.passport import Passport
from stages.recipe import VerifyConfig
from stages.verify.blame.origin import Origin
from stages.verify.material import Material
from stages.verify.reference import Reference
from stages.verify.worst import Worst


@dataclass(frozen=True)
class Case:
    """The file, what it was judged against, and how that ended.

    worst       the batches that were answered worst;  material: rows to try when they show nothing
    origin      what the file was made from
    """

    model: Path
    reference: Reference
    passport: Passport
    config: VerifyConfig
    worst: Worst = field(default_factory=Worst)
    material: Material | None = None
    origin: Origin = None

    @property
    def rounded(self) -> Reference:
        """The reference with the yardstick of the precision that is certified."""
        return self.reference.at(self.config.precision)

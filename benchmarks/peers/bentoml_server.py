"""BentoML with its adaptive batching; an array comes as JSON."""

import bentoml
import common
import numpy as np


@bentoml.service(traffic={"timeout": 60, "max_concurrency": 1000}, logging={"access": {"enabled": False}})
class Model:
    def __init__(self) -> None:
        self.session = common.open_model()

    @bentoml.api(batchable=True, max_batch_size=common.MAX_BATCH, route="/inference")
    def inference(self, image: np.ndarray) -> np.ndarray:
        return common.run(self.session, image.astype(np.uint8))

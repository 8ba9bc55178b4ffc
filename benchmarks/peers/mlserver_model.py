"""MLServer with its adaptive batching; its REST speaks JSON only."""

import common
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceResponse


class Model(MLModel):
    async def load(self):
        self.session = common.open_model()
        return True

    async def predict(self, payload):
        rows = NumpyCodec.decode_input(payload.inputs[0])
        output = NumpyCodec.encode_output("probabilities", common.run(self.session, rows.astype("uint8")))
        return InferenceResponse(model_name=self.name, outputs=[output])

"""LitServe with its batching."""

import common
import litserve
from fastapi import Request, Response


class Model(litserve.LitAPI):
    def setup(self, device):
        self.session = common.open_model()

    async def decode_request(self, request: Request):
        return common.from_json(request) if isinstance(request, dict) else common.decode(await request.body())

    def batch(self, inputs):
        return inputs

    async def predict(self, rows):
        return common.run(self.session, rows)

    def unbatch(self, output):
        return list(output)

    async def encode_response(self, row):
        return Response(common.encode(row))


if __name__ == "__main__":
    api = Model(max_batch_size=common.MAX_BATCH, batch_timeout=0.001, api_path="/inference")
    litserve.LitServer(api, accelerator="cpu").run(port=common.PORT, generate_client_file=False, log_level="error")

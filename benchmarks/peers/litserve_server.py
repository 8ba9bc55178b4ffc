"""LitServe with its batching; a body is JSON or a form."""

import common
import litserve


class Model(litserve.LitAPI):
    def setup(self, device):
        self.session = common.open_model()

    def decode_request(self, request):
        return common.from_json(request)

    def batch(self, inputs):
        return inputs

    def predict(self, rows):
        return common.run(self.session, rows)

    def unbatch(self, output):
        return list(output)

    def encode_response(self, row):
        return {"probabilities": row.tolist()}


if __name__ == "__main__":
    api = Model(max_batch_size=common.MAX_BATCH, batch_timeout=0.001, api_path="/inference")
    litserve.LitServer(api, accelerator="cpu").run(port=common.PORT, generate_client_file=False, log_level="error")

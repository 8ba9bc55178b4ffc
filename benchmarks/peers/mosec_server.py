"""mosec: as shipped, or with TUNED=1 two workers of one thread."""

import os
import sys

import common
from mosec import Server, Worker

TUNED = bool(os.environ.get("TUNED"))


class Model(Worker):
    def __init__(self):
        super().__init__()
        self.session = common.open_model(1 if TUNED else 0)

    def deserialize(self, data):
        return common.decode(data)

    def forward(self, data):
        return list(common.run(self.session, data))

    def serialize(self, data):
        return common.encode(data)


if __name__ == "__main__":
    sys.argv += ["--port", str(common.PORT), "--address", "127.0.0.1", "--log-level", "warning"]
    server = Server()
    if TUNED:
        server.append_worker(Model, num=2, max_batch_size=16, max_wait_time=1)
    else:
        server.append_worker(Model, max_batch_size=common.MAX_BATCH)
    server.run()

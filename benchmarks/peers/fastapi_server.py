"""FastAPI as one writes it by hand: no batching, the model on the thread pool."""

import common
import uvicorn
from fastapi import FastAPI, Request, Response
from starlette.concurrency import run_in_threadpool

app = FastAPI()
session = common.open_model()


def answer(body: bytes) -> bytes:
    return common.encode(common.run(session, common.decode(body)[None])[0])


@app.post("/inference")
async def inference(request: Request) -> Response:
    return Response(await run_in_threadpool(answer, await request.body()))


if __name__ == "__main__":
    uvicorn.run(app, port=common.PORT, log_level="error", access_log=False)

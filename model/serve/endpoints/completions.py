"""POST /v1/completions: one prompt or several continued, whole or as server-sent events."""

from fastapi import FastAPI, Request
from fastapi.responses import Response

from model.serve import openapi
from model.serve.completion import (
    CompletionRequest,
    TextCompletion,
    completion_ids,
    echoed,
    logprobs_requests,
)
from model.serve.replies import COMPLETION, Reply
from model.serve.service import Service, client_of, read_by

REQUESTS = (CompletionRequest,)


def add(app: FastAPI, service: Service) -> None:
    """Add the endpoint."""

    @app.post(
        "/v1/completions",
        openapi_extra=openapi.body_of(CompletionRequest),
        response_model=TextCompletion,
        responses=openapi.refusals(stream=True),
    )
    async def completions(http_request: Request) -> Response:
        """Continue one prompt or several, whole or as server-sent events."""
        request, model = await service.read(http_request, CompletionRequest)
        ids = await read_by(model.engine, http_request, completion_ids, request)
        prefixes = echoed(request, ids, model.engine)
        logprobs = logprobs_requests(request, ids, model.engine)
        prompts = [index for index in range(len(ids)) for _ in range(request.n or 1)]
        queued = model.start(
            request,
            [ids[i] for i in prompts],
            client_of(http_request),
            logprobs=[logprobs[i] for i in prompts],
        )
        reply = Reply(request, model, COMPLETION, queued, [prefixes[i] for i in prompts])
        return await reply.respond(http_request)

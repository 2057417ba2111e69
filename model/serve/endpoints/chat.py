"""POST /v1/chat/completions: the last message of a conversation answered, whole or streamed."""

from fastapi import FastAPI, Request
from fastapi.responses import Response

from model.serve import openapi
from model.serve.conversation import ChatCompletion, ChatRequest, conversation_ids, stop_texts
from model.serve.logprobs import LogprobsRequest
from model.serve.replies import CHAT, Reply
from model.serve.service import Service, client_of, read_by

REQUESTS = (ChatRequest,)


def add(app: FastAPI, service: Service) -> None:
    """Add the endpoint."""

    @app.post(
        "/v1/chat/completions",
        openapi_extra=openapi.body_of(ChatRequest),
        response_model=ChatCompletion,
        responses=openapi.refusals(stream=True),
    )
    async def chat_completions(http_request: Request) -> Response:
        """Answer the last message of a conversation, whole or as server-sent events."""
        request, model = await service.read(http_request, ChatRequest)
        ids = await read_by(model.engine, http_request, conversation_ids, request)
        prompts = [ids] * request.choices
        count = request.logprobs_count
        logprobs = None if count is None else LogprobsRequest(count, None)
        queued = model.start(
            request,
            prompts,
            client_of(http_request),
            stops=stop_texts(model.engine),
            logprobs=[logprobs] * len(prompts),
        )
        return await Reply(request, model, CHAT, queued, [""] * len(prompts)).respond(http_request)

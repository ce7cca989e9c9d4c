"""Asks a gateway through the official OpenAI client, whole and streamed, and prints what was counted as JSON.

The client reads OPENAI_BASE_URL and OPENAI_API_KEY. The only argument is the model's name.
"""

import json
import sys

from openai import AuthenticationError, NotFoundError, OpenAI


def whole(client: OpenAI, model: str) -> dict:
    answer = client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": "What is the state of the Union?"}],
        max_tokens=24,
        temperature=0,
    )
    return counted(answer.choices[0].message.content, answer.choices[0].finish_reason, answer.usage)


def streamed(client: OpenAI, model: str) -> dict:
    stream = client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": "What is the state of the Union?"}],
        max_tokens=24,
        temperature=0,
        stream=True,
        stream_options={"include_usage": True},
    )
    text, reason, usage, chunks = "", None, None, 0
    for chunk in stream:
        chunks += 1
        usage = chunk.usage or usage
        for choice in chunk.choices:
            text += choice.delta.content or ""
            reason = choice.finish_reason or reason
    return counted(text, reason, usage) | {"chunks": chunks}


def completion(client: OpenAI, model: str) -> dict:
    answer = client.completions.create(model=model, prompt="The state of the Union is", max_tokens=8, temperature=0)
    return counted(answer.choices[0].text, answer.choices[0].finish_reason, answer.usage)


def counted(text: str, reason: str, usage) -> dict:
    return {
        "text": text,
        "finish_reason": reason,
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
    }


def refusals(client: OpenAI, model: str) -> dict:
    """The client's own exceptions: what a caller's code catches."""
    found = {}
    try:
        client.with_options(api_key="sk-not-a-key").models.list()
    except AuthenticationError as error:
        found["wrong_key"] = error.status_code
    try:
        client.chat.completions.create(model=f"no-{model}", messages=[{"role": "user", "content": "?"}])
    except NotFoundError as error:
        found["unknown_model"] = error.status_code
    return found


def main() -> None:
    client, model = OpenAI(max_retries=0, timeout=300), sys.argv[1]
    print(json.dumps({
        "models": [served.id for served in client.models.list()],
        "whole": whole(client, model),
        "streamed": streamed(client, model),
        "completion": completion(client, model),
        "refusals": refusals(client, model),
    }))


main()

"""Asks a running server through the openai package, and prints what its objects hold, as JSON."""
import json
import sys

import openai

client = openai.OpenAI(base_url=sys.argv[1], api_key=sys.argv[2], max_retries=0)
model = client.models.list().data[0].id
text = client.completions.create(model=model, prompt="what is", max_tokens=5, temperature=0, logprobs=2)
asked = dict(model=model, messages=[{"role": "user", "content": "what is"}], max_tokens=5, temperature=0)
chat = client.chat.completions.create(**asked, logprobs=True, top_logprobs=2)
stream = list(client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True}))
try:
    client.chat.completions.create(**asked, presence_penalty=1)
    refused = ""
except openai.BadRequestError as e:
    refused = e.message
try:
    openai.OpenAI(base_url=sys.argv[1], api_key="wrong", max_retries=0).models.list()
    stranger = ""
except openai.AuthenticationError as e:
    stranger = str(e.status_code)
print(json.dumps({
    "model": model,
    "text": text.choices[0].text,
    "logprobs": text.choices[0].logprobs.token_logprobs,
    "chat": chat.choices[0].message.content,
    "top": [len(t.top_logprobs) for t in chat.choices[0].logprobs.content],
    "stream": "".join(c.choices[0].delta.content or "" for c in stream if c.choices),
    "finish": [c.choices[0].finish_reason for c in stream if c.choices][-1],
    "used": stream[-1].usage.completion_tokens,
    "refused": refused,
    "stranger": stranger,
}))

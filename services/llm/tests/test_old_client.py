"""A client generated from the schema that is already deployed."""

from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from services.common.lifecycle import Lifecycle
from services.common.testing import running_server
from services.llm.engines.scripted import ScriptedEngine
from services.llm.service import LlmService
from services.llm.tests.factories import MODELS_DIR, make_settings

Field = descriptor_pb2.FieldDescriptorProto


def old_messages() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="old_llm.proto", package="opensips.ai.llm", syntax="proto3")
    fields = {
        "TextProcessingRequest": [
            ("text", Field.TYPE_STRING, Field.LABEL_OPTIONAL),
            ("system_prompt", Field.TYPE_STRING, Field.LABEL_OPTIONAL),
            ("temperature", Field.TYPE_FLOAT, Field.LABEL_OPTIONAL),
            ("max_tokens", Field.TYPE_INT32, Field.LABEL_OPTIONAL),
            ("top_p", Field.TYPE_FLOAT, Field.LABEL_OPTIONAL),
            ("stop", Field.TYPE_STRING, Field.LABEL_REPEATED),
        ],
        "TextResponse": [
            ("chunk", Field.TYPE_STRING, Field.LABEL_OPTIONAL),
            ("done", Field.TYPE_BOOL, Field.LABEL_OPTIONAL),
        ],
    }
    for name, columns in fields.items():
        described = file.message_type.add(name=name)
        for number, (field, kind, label) in enumerate(columns, start=1):
            described.field.add(name=field, number=number, type=kind, label=label)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"opensips.ai.llm.{name}")) for name in fields
    }


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"text": "hello", "system_prompt": "Repeat."}, "You said: hello"),
        ({"text": "hello", "temperature": 0.0, "max_tokens": 3, "top_p": 0.9}, "You"),
        ({"text": "hello", "stop": [":"]}, "You said"),
    ],
)
async def test_old_client_is_answered(given: dict[str, object], expected: str) -> None:
    settings, lifecycle, old = make_settings(), Lifecycle(), old_messages()
    service = LlmService(settings, lifecycle, MODELS_DIR, ScriptedEngine(settings, MODELS_DIR))
    async with running_server(service, lifecycle=lifecycle) as channel:
        process_text: Any = channel.unary_stream(
            "/opensips.ai.llm.LLMService/ProcessText",
            request_serializer=lambda request: request.SerializeToString(),
            response_deserializer=old["TextResponse"].FromString,
        )
        responses = [response async for response in process_text(old["TextProcessingRequest"](**given))]
    assert "".join(response.chunk for response in responses) == expected
    assert [response.done for response in responses][-1]

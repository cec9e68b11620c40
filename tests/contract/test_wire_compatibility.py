"""A client or server built from the schema already deployed understands ours, and ours understands it.

The deployed schema is written out here once more, from its published interface, and lives in a pool of its own.
"""

import importlib
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import grpc
import pytest
from google.protobuf import empty_pb2, json_format, message_factory
from google.protobuf.descriptor import FieldDescriptor, ServiceDescriptor
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message

import voice_api
from voice_api import asr_pb2, asr_pb2_grpc, common_pb2, llm_pb2, tts_pb2

REPOSITORY = Path(__file__).parents[2]

HEALTH_STATUS = {"UNKNOWN": 0, "SERVING": 1, "NOT_SERVING": 2}

# Per message: fields separated by ";", a oneof's name before its members.
DEPLOYED_MESSAGES: dict[str, dict[str, str]] = {
    "asr": {
        "RecognitionConfig": "float sample_rate=1; string model_path=2; string spk_model_path=3; bool show_words=4; "
        "int32 max_alternatives=5; repeated string phrase_list=6",
        "WordInfo": "string word=1; float confidence=2; float start=3; float end=4",
        "Alternative": "string text=1; float confidence=2",
        "RecognitionResult": "string text=1; float confidence=2; repeated WordInfo words=3; "
        "repeated Alternative alternatives=4",
        "StreamingRecognizeRequest": "request_type: RecognitionConfig config=1; request_type: bytes audio_data=2; "
        "request_type: string control_message=3",
        "StreamingRecognizeResponse": "RecognitionResult result=1; bool is_final=2; bool end_of_utterance=3",
        "RecognizeRequest": "RecognitionConfig config=1; bytes audio_data=2",
        "RecognizeResponse": "RecognitionResult result=1",
        "ConfigureRequest": "RecognitionConfig config=1",
        "ConfigureResponse": "bool success=1; string message=2",
        "HealthResponse": "HealthResponse.Status status=1; string message=2; string model_loaded=3",
        "StatsResponse": "int32 active_connections=1; int32 total_connections=2; float average_processing_time=3; "
        "int64 uptime_seconds=4; string model_info=5",
    },
    "llm": {
        "TextProcessingRequest": "string text=1; string system_prompt=2; float temperature=3; int32 max_tokens=4; "
        "float top_p=5; repeated string stop=6",
        "TextResponse": "string chunk=1; bool done=2",
        "ContextUpdateRequest": "string session_id=1; map<string,string> updates=2",
        "ContextResponse": "bool success=1; string message=2",
        "HealthResponse": "HealthResponse.Status status=1; string message=2; string model_loaded=3",
        "StatsResponse": "int32 total_requests=1; int64 uptime_seconds=2; string model_info=3",
    },
    "tts": {
        "SynthesizeRequest": "string text=1; string voice=2; int32 sample_rate=3",
        "AudioInfo": "int32 sample_rate=1; int32 channels=2; int32 bit_depth=3; string format=4",
        "SynthesisStarted": "string message=1; AudioInfo audio_info=2",
        "SynthesisStats": "float audio_duration_seconds=1; int32 total_bytes=2; int32 packet_count=3; "
        "float processing_time_ms=4",
        "SynthesisCompleted": "string message=1; SynthesisStats stats=2",
        "SynthesisError": "string error_message=1; string error_code=2",
        "SynthesizeResponse": "response_type: SynthesisStarted started=1; response_type: bytes audio_chunk=2; "
        "response_type: SynthesisCompleted completed=3; response_type: SynthesisError error=4",
        "ConfigureRequest": "string voice=1; int32 sample_rate=2",
        "ConfigureResponse": "bool success=1; string message=2",
        "VoiceInfo": "string name=1; string display_name=2; string language=3; string gender=4; "
        "string description=5; repeated int32 supported_rates=6",
        "VoicesResponse": "repeated VoiceInfo voices=1",
        "HealthResponse": "HealthResponse.Status status=1; string message=2; string voice_model=3",
        "StatsResponse": "int32 active_sessions=1; int32 total_syntheses=2; float average_processing_time=3; "
        "int64 uptime_seconds=4; string voice_model=5",
    },
    "common": {
        "HealthCheckRequest": "string service=1",
        "HealthCheckResponse": "HealthCheckResponse.ServingStatus status=1",
        "ErrorResponse": "int32 code=1; string message=2; string details=3",
        "AudioData": "bytes data=1; int32 sample_rate=2; int32 channels=3; string format=4",
        "TextData": "string text=1; string language=2; float confidence=3",
        "SessionInfo": "string session_id=1; string conversation_id=2; int64 timestamp=3",
        "ServiceStatus": "string service_name=1; bool is_healthy=2; string version=3; int64 uptime_seconds=4; "
        "map<string,string> metadata=5",
        "Status": "int32 code=1; string message=2; bool success=3; string error_detail=4",
    },
}

DEPLOYED_ENUMS: dict[str, dict[str, int]] = {
    "asr.HealthResponse.Status": HEALTH_STATUS,
    "llm.HealthResponse.Status": HEALTH_STATUS,
    "tts.HealthResponse.Status": HEALTH_STATUS,
    "common.HealthCheckResponse.ServingStatus": {**HEALTH_STATUS, "SERVICE_UNKNOWN": 3},
}

# Per service: method: request -> response, "stream" where it streams.
DEPLOYED_METHODS: dict[str, dict[str, str]] = {
    "asr.ASRService": {
        "StreamingRecognize": "stream StreamingRecognizeRequest -> stream StreamingRecognizeResponse",
        "Recognize": "RecognizeRequest -> RecognizeResponse",
        "Configure": "ConfigureRequest -> ConfigureResponse",
        "HealthCheck": "Empty -> HealthResponse",
        "GetStats": "Empty -> StatsResponse",
    },
    "llm.LLMService": {
        "ProcessText": "TextProcessingRequest -> stream TextResponse",
        "UpdateContext": "ContextUpdateRequest -> ContextResponse",
        "HealthCheck": "Empty -> HealthResponse",
        "GetStats": "Empty -> StatsResponse",
    },
    "tts.TTSService": {
        "SynthesizeText": "SynthesizeRequest -> stream SynthesizeResponse",
        "SynthesizeSingle": "SynthesizeRequest -> SynthesizeResponse",
        "Configure": "ConfigureRequest -> ConfigureResponse",
        "GetVoices": "Empty -> VoicesResponse",
        "HealthCheck": "Empty -> HealthResponse",
        "GetStats": "Empty -> StatsResponse",
    },
}

OURS: dict[str, ModuleType] = {"asr": asr_pb2, "llm": llm_pb2, "tts": tts_pb2, "common": common_pb2}
MESSAGES = [(package, name) for package, messages in DEPLOYED_MESSAGES.items() for name in messages]
METHODS = [(service, name) for service, methods in DEPLOYED_METHODS.items() for name in methods]

_FIELD = re.compile(r"(?:(?P<oneof>\w+): )?(?P<repeated>repeated )?(?P<type>[\w.<>,]+) (?P<name>\w+)=(?P<number>\d+)")
_SCALARS = {
    "float": FieldDescriptorProto.TYPE_FLOAT,
    "int32": FieldDescriptorProto.TYPE_INT32,
    "int64": FieldDescriptorProto.TYPE_INT64,
    "bool": FieldDescriptorProto.TYPE_BOOL,
    "string": FieldDescriptorProto.TYPE_STRING,
    "bytes": FieldDescriptorProto.TYPE_BYTES,
}


def _deployed_file(package: str) -> FileDescriptorProto:
    file = FileDescriptorProto(name=f"{package}.proto", package=f"opensips.ai.{package}", syntax="proto3")
    for name, fields in DEPLOYED_MESSAGES[package].items():
        message = file.message_type.add(name=name)
        for enum, values in DEPLOYED_ENUMS.items():
            if enum.startswith(f"{package}.{name}."):
                made = message.enum_type.add(name=enum.rpartition(".")[2])
                for value, number in values.items():
                    made.value.add(name=value, number=number)
        for text in fields.split("; "):
            _add_field(message, package, text)
    return file


def _add_field(message: DescriptorProto, package: str, text: str) -> None:
    match = _FIELD.fullmatch(text)
    assert match is not None, text
    repeated = match["repeated"] or match["type"].startswith("map")
    field = message.field.add(
        name=match["name"],
        number=int(match["number"]),
        label=FieldDescriptorProto.LABEL_REPEATED if repeated else FieldDescriptorProto.LABEL_OPTIONAL,
    )
    prefix = f".opensips.ai.{package}"
    if match["type"] in _SCALARS:
        field.type = _SCALARS[match["type"]]
    elif match["type"].startswith("map"):
        # A map is a repeated message of key and value (protobuf's encoding guide).
        entry = message.nested_type.add(name=f"{match['name'].capitalize()}Entry")
        entry.options.map_entry = True
        for number, part in enumerate(("key", "value"), start=1):
            entry.field.add(
                name=part, number=number, type=_SCALARS["string"], label=FieldDescriptorProto.LABEL_OPTIONAL
            )
        field.type, field.type_name = FieldDescriptorProto.TYPE_MESSAGE, f"{prefix}.{message.name}.{entry.name}"
    else:
        is_enum = f"{package}.{match['type']}" in DEPLOYED_ENUMS
        field.type = FieldDescriptorProto.TYPE_ENUM if is_enum else FieldDescriptorProto.TYPE_MESSAGE
        field.type_name = f"{prefix}.{match['type']}"
    if match["oneof"]:
        if not message.oneof_decl:
            message.oneof_decl.add(name=match["oneof"])
        field.oneof_index = 0


@pytest.fixture(scope="module")
def deployed() -> DescriptorPool:
    pool = DescriptorPool()
    for package in DEPLOYED_MESSAGES:
        pool.AddSerializedFile(_deployed_file(package).SerializeToString())
    return pool


def _deployed_class(pool: DescriptorPool, package: str, name: str) -> type[Message]:
    found: type[Message] = message_factory.GetMessageClass(pool.FindMessageTypeByName(f"opensips.ai.{package}.{name}"))
    return found


def _our_class(package: str, name: str) -> type[Message]:
    found: type[Message] = getattr(OURS[package], name)
    return found


def _variants(cls: type[Message], salt: int = 1) -> Iterator[Message]:
    """The message with every field set to something of its own; one for each member of a oneof."""
    groups = [[*oneof.fields] for oneof in cls.DESCRIPTOR.oneofs if len(oneof.fields) > 1]
    assert len(groups) <= 1
    members = groups[0] if groups else []
    for left_out in [[other for other in members if other is not chosen] for chosen in members] or [[]]:
        message = cls()
        for field in cls.DESCRIPTOR.fields:
            if field not in left_out:
                _set(message, field, salt)
        yield message


def _set(message: Message, field: Any, salt: int) -> None:
    number = salt * 100 + field.number
    values: dict[int, Any] = {
        FieldDescriptor.TYPE_FLOAT: number + 0.5,
        FieldDescriptor.TYPE_INT32: -number,
        FieldDescriptor.TYPE_INT64: 2**40 + number,
        FieldDescriptor.TYPE_BOOL: True,
        FieldDescriptor.TYPE_STRING: f"{field.name} é {number}",
        FieldDescriptor.TYPE_BYTES: bytes([0, 255, number % 256]),
        FieldDescriptor.TYPE_ENUM: 2,
    }
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        getattr(message, field.name)["key"] = f"value {number}"
    elif field.is_repeated:
        items = getattr(message, field.name)
        for _ in range(2):
            if field.message_type is not None:
                item = items.add()
                item.CopyFrom(next(_variants(type(item), salt + 1)))
            else:
                items.append(values[field.type])
    elif field.message_type is not None:
        inner = getattr(message, field.name)
        inner.CopyFrom(next(_variants(type(inner), salt + 1)))
    else:
        setattr(message, field.name, values[field.type])


def _known(message: Message) -> dict[str, Any]:
    return json_format.MessageToDict(message, preserving_proto_field_name=True)


@pytest.mark.parametrize(("package", "name"), MESSAGES)
def test_every_deployed_field_keeps_its_number_type_and_oneof(
    deployed: DescriptorPool, package: str, name: str
) -> None:
    ours = _our_class(package, name).DESCRIPTOR
    for field in _deployed_class(deployed, package, name).DESCRIPTOR.fields:
        kept = ours.fields_by_number[field.number]
        assert (kept.name, kept.type, kept.is_repeated) == (field.name, field.type, field.is_repeated)
        if field.message_type is not None:
            assert kept.message_type is not None
            assert kept.message_type.full_name == field.message_type.full_name
        if field.containing_oneof is not None:
            assert kept.containing_oneof is not None
            assert kept.containing_oneof.name == field.containing_oneof.name


@pytest.mark.parametrize("enum", DEPLOYED_ENUMS)
def test_every_deployed_enum_value_keeps_its_number(enum: str) -> None:
    package, message, name = enum.split(".")
    ours = getattr(OURS[package], message).DESCRIPTOR.enum_types_by_name[name]
    assert {value.name: value.number for value in ours.values}.items() >= DEPLOYED_ENUMS[enum].items()


@pytest.mark.parametrize(("package", "name"), MESSAGES)
def test_deployed_bytes_read_the_same_here(deployed: DescriptorPool, package: str, name: str) -> None:
    for theirs in _variants(_deployed_class(deployed, package, name)):
        ours = _our_class(package, name).FromString(theirs.SerializeToString())
        assert _known(ours) == _known(theirs)


@pytest.mark.parametrize(("package", "name"), MESSAGES)
def test_our_bytes_read_the_same_there_and_nothing_is_lost_on_the_way_back(
    deployed: DescriptorPool, package: str, name: str
) -> None:
    theirs_class = _deployed_class(deployed, package, name)
    deployed_names = {field.name for field in theirs_class.DESCRIPTOR.fields}
    for ours in _variants(_our_class(package, name)):
        theirs = theirs_class.FromString(ours.SerializeToString())
        assert _without_additions(_known(ours), _known(theirs))
        assert {f.name for f, _ in ours.ListFields()} & deployed_names == {f.name for f, _ in theirs.ListFields()}
        assert _our_class(package, name).FromString(theirs.SerializeToString()) == ours


def _without_additions(ours: Any, theirs: Any) -> bool:
    """Equal but for fields, at any depth, that the deployed schema does not have."""
    if isinstance(theirs, dict):
        return all(key in ours and _without_additions(ours[key], theirs[key]) for key in theirs)
    if isinstance(theirs, list):
        return len(ours) == len(theirs) and all(map(_without_additions, ours, theirs))
    return bool(ours == theirs)


@pytest.mark.parametrize(("service", "name"), METHODS)
def test_every_deployed_method_keeps_its_path_types_and_streaming(service: str, name: str) -> None:
    package, service_name = service.split(".")
    ours: ServiceDescriptor = OURS[package].DESCRIPTOR.services_by_name[service_name]
    assert ours.full_name == f"opensips.ai.{service}"
    method = ours.methods_by_name[name]
    request, response = (
        ("stream " if streams else "") + kind.name
        for streams, kind in (
            (method.client_streaming, method.input_type),
            (method.server_streaming, method.output_type),
        )
    )
    assert f"{request} -> {response}" == DEPLOYED_METHODS[service][name]


class _RecordingChannel:
    """Notes what a stub asks of its channel."""

    def __init__(self) -> None:
        self.kinds: dict[str, str] = {}

    def __getattr__(self, kind: str) -> Any:
        def multi_callable(path: str, *_: Any, **__: Any) -> None:
            self.kinds[path] = kind

        return multi_callable


@pytest.mark.parametrize(("service", "name"), METHODS)
def test_the_generated_stub_calls_the_deployed_path(service: str, name: str) -> None:
    package, service_name = service.split(".")
    channel = _RecordingChannel()
    stubs = importlib.import_module(f"voice_api.{package}_pb2_grpc")
    getattr(stubs, f"{service_name}Stub")(channel)
    request, response = DEPLOYED_METHODS[service][name].split(" -> ")
    kind = "_".join("stream" if side.startswith("stream") else "unary" for side in (request, response))
    assert channel.kinds[f"/opensips.ai.{service}/{name}"] == kind


class _Recognizer(asr_pb2_grpc.ASRServiceServicer):
    """Answers each piece of audio with its size, and says more than the deployed schema knows."""

    async def StreamingRecognize(  # noqa: N802  the schema's name
        self, request_iterator: AsyncIterator[asr_pb2.StreamingRecognizeRequest], context: Any
    ) -> AsyncIterator[asr_pb2.StreamingRecognizeResponse]:
        async for request in request_iterator:
            kind = request.WhichOneof("request_type")
            heard = f"{request.config.sample_rate:.0f}" if kind == "config" else f"{len(request.audio_data)} bytes"
            yield asr_pb2.StreamingRecognizeResponse(
                result=asr_pb2.RecognitionResult(text=heard), is_final=kind != "config", is_stable=True
            )

    async def HealthCheck(self, request: empty_pb2.Empty, context: Any) -> asr_pb2.HealthResponse:  # noqa: N802
        return asr_pb2.HealthResponse(status=asr_pb2.HealthResponse.SERVING, model_loaded="tiny.en")


async def test_a_client_of_the_deployed_schema_is_served(deployed: DescriptorPool) -> None:
    server = grpc.aio.server()
    recognizer: Any = _Recognizer
    asr_pb2_grpc.add_ASRServiceServicer_to_server(recognizer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    request_class: Any = _deployed_class(deployed, "asr", "StreamingRecognizeRequest")
    config_class: Any = _deployed_class(deployed, "asr", "RecognitionConfig")
    response_class: Any = _deployed_class(deployed, "asr", "StreamingRecognizeResponse")
    health_class: Any = _deployed_class(deployed, "asr", "HealthResponse")
    requests = [request_class(config=config_class(sample_rate=8000)), request_class(audio_data=bytes(320))]
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            recognize: Any = channel.stream_stream(
                "/opensips.ai.asr.ASRService/StreamingRecognize",
                request_serializer=request_class.SerializeToString,
                response_deserializer=response_class.FromString,
            )
            check: Any = channel.unary_unary(
                "/opensips.ai.asr.ASRService/HealthCheck",
                request_serializer=empty_pb2.Empty.SerializeToString,
                response_deserializer=health_class.FromString,
            )
            heard = [(r.result.text, r.is_final) async for r in recognize(iter(requests), timeout=5)]
            health = await check(empty_pb2.Empty(), timeout=5)
    finally:
        await server.stop(None)
    assert heard == [("8000", False), ("320 bytes", True)]
    assert (health.status, health.model_loaded) == (1, "tiny.en")


# What proto-plus and its users do: a file called common.proto, with a package of its own, in the default pool.
_OTHER_COMMON = """
from google.protobuf import descriptor_pb2, descriptor_pool
other = descriptor_pb2.FileDescriptorProto(name="common.proto", package="acme.common", syntax="proto3")
other.message_type.add(name="Status")
descriptor_pool.Default().AddSerializedFile(other.SerializeToString())
"""
_OUR_COMMON = "from voice_api import common_pb2; common_pb2.Status(code=1)\n"


@pytest.mark.parametrize("program", [_OTHER_COMMON + _OUR_COMMON, _OUR_COMMON + _OTHER_COMMON])
def test_another_common_proto_in_the_default_pool_does_not_clash(program: str) -> None:
    # A process of its own, for what is put into the default pool stays there.
    _run(program)


def test_proto_plus_is_still_what_import_proto_finds(tmp_path: Path) -> None:
    installed = tmp_path / "proto"
    installed.mkdir()
    (installed / "__init__.py").write_text("MARKER = 'proto-plus'\n", encoding="utf-8")
    # Last on the path, as site-packages is behind the repository's root.
    _run(
        f"import sys; sys.path[:0] = [{str(REPOSITORY)!r}]; sys.path.append({str(tmp_path)!r})\n"
        "import proto; assert proto.MARKER == 'proto-plus', proto"
    )


def _run(program: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr


def test_stubs_are_typed() -> None:
    folder = Path(voice_api.__file__ or "").parent
    assert (folder / "py.typed").exists()
    modules = sorted(folder.glob("*_pb2*.py"))
    assert len(modules) == 2 * len(OURS)
    for module in modules:
        assert module.with_suffix(".pyi").exists(), module.name

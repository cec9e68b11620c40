"""llama.cpp: one model, one context, one sequence a session, all of them decoded in the same batches."""

import ctypes
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from services.common.model_files import CATALOGUE, ModelBroken, resolve
from services.llm.chat_template import ChatTemplate, Segment
from services.llm.engine import EngineFailed, EngineInfo, Feed, Message, Sampler, Sampling
from services.llm.engines.llama_bindings import last_errors, load_bindings
from services.llm.settings import LlmSettings

# Below this many tokens a step is too short for a second thread to be worth its waking.
_PROMPT_STEP_TOKENS = 8
_PENALTY_LAST_TOKENS = 64
_RANDOM_SEED = 0xFFFFFFFF
_CACHE_TYPES = {"f16": 1, "q8_0": 8}  # ggml_type
_PIECE_MAX_BYTES = 256


class LlamaCppEngine:
    """Any GGUF model with a chat template. The cache is unified: sequences share the tokens of a common beginning."""

    def __init__(self, settings: LlmSettings, models_dir: Path) -> None:
        self._settings = settings
        self._models_dir = models_dir
        self._llama: Any = None
        self._model: Any = None
        self._context: Any = None
        self._memory: Any = None
        self._vocabulary: Any = None
        self._batch: Any = None
        self._template: ChatTemplate | None = None
        self._info: EngineInfo | None = None

    @property
    def info(self) -> EngineInfo:
        assert self._info is not None, "not loaded"
        return self._info

    def load(self) -> None:
        path = resolve(self._settings.model, self._models_dir)
        self._llama = load_bindings()
        last_errors()
        try:
            self._load_model(path)
            self._load_template(path)
            self._make_context(path)
        except ModelBroken:
            self.close()
            raise

    def encode(self, messages: Sequence[Message]) -> list[int]:
        assert self._template is not None, "not loaded"
        return self._tokens(self._template.render(messages))

    def encode_prefix(self, messages: Sequence[Message]) -> list[int]:
        assert self._template is not None, "not loaded"
        return self._tokens(self._template.render_prefix(messages))

    def piece(self, token: int) -> bytes:
        buffer = ctypes.create_string_buffer(_PIECE_MAX_BYTES)
        length = self._llama.llama_token_to_piece(self._vocabulary, token, buffer, _PIECE_MAX_BYTES, 0, False)
        return buffer.raw[: max(length, 0)]

    def is_end(self, token: int) -> bool:
        return bool(self._llama.llama_vocab_is_eog(self._vocabulary, token))

    def sampler(self, sampling: Sampling) -> Sampler:
        return LlamaSampler(self._llama, self._vocabulary, sampling, self._settings.top_k)

    def step(self, feeds: Sequence[Feed]) -> list[int | None]:
        rows = self._fill_batch(feeds)
        threads = self._settings.prompt_threads if rows >= _PROMPT_STEP_TOKENS else self._settings.threads
        self._llama.llama_set_n_threads(self._context, threads, threads)
        status = self._llama.llama_decode(self._context, self._batch)
        if status != 0:
            raise EngineFailed(f"llama_decode: {status} {last_errors()}".rstrip())
        drawn: list[int | None] = []
        row = -1
        for feed in feeds:
            row += len(feed.tokens)
            sampler = feed.sampler
            drawn.append(sampler.sample(self._context, row) if isinstance(sampler, LlamaSampler) else None)
        return drawn

    def truncate(self, sequence: int, length: int) -> int:
        # Models whose state is not a list of tokens (recurrent ones) refuse to be cut in the middle.
        if length > 0 and self._llama.llama_memory_seq_rm(self._memory, sequence, length, -1):
            return self._kept(sequence, length)
        self._llama.llama_memory_seq_rm(self._memory, sequence, -1, -1)
        return 0

    def share(self, source: int, target: int, length: int) -> int:
        self._llama.llama_memory_seq_cp(self._memory, source, target, 0, length)
        return self._kept(target, length)

    def close(self) -> None:
        llama, self._info, self._template = self._llama, None, None
        if self._batch is not None:
            llama.llama_batch_free(self._batch)
        if self._context is not None:
            llama.llama_free(self._context)
        if self._model is not None:
            llama.llama_model_free(self._model)
        self._batch = self._context = self._memory = self._model = self._vocabulary = None

    def _load_model(self, path: Path) -> None:
        parameters = self._llama.llama_model_default_params()
        parameters.n_gpu_layers = 0
        self._model = self._llama.llama_model_load_from_file(str(path).encode(), parameters)
        if not self._model:
            self._model = None
            raise _broken(self._settings.model, path, f"llama.cpp cannot load it: {last_errors() or 'no reason given'}")
        self._vocabulary = self._llama.llama_model_get_vocab(self._model)

    def _load_template(self, path: Path) -> None:
        chosen = self._settings.chat_template
        if chosen is not None:
            try:
                source = chosen.read_text("utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise ModelBroken(chosen, f"chat template not readable: {error}") from error
        else:
            found = self._llama.llama_model_chat_template(self._model, None)
            if not found:
                raise ModelBroken(path, "it has no chat template: set llm_service.chat_template (LLM_CHAT_TEMPLATE)")
            source = found.decode("utf-8", "replace")
        try:
            self._template = ChatTemplate(source, bos=self._control_text("bos"), eos=self._control_text("eos"))
        except ValueError as error:
            raise ModelBroken(chosen or path, str(error)) from error

    def _make_context(self, path: Path) -> None:
        wanted, llama = self._settings, self._llama
        parameters = llama.llama_context_default_params()
        parameters.n_ctx = wanted.context_tokens
        parameters.n_batch = parameters.n_ubatch = wanted.step_tokens
        parameters.n_seq_max = _sequences(wanted)
        parameters.kv_unified = True
        # Only the last token of a sequence is asked about; the default makes room for answers to a whole batch.
        parameters.n_outputs_max = parameters.n_seq_max
        parameters.n_threads, parameters.n_threads_batch = wanted.threads, wanted.prompt_threads
        parameters.type_k = parameters.type_v = _CACHE_TYPES[wanted.cache_type]
        parameters.no_perf = True
        self._context = llama.llama_init_from_model(self._model, parameters)
        if not self._context:
            self._context = None
            problem = f"no context of {wanted.context_tokens} tokens, cache {wanted.cache_type}: {last_errors()}"
            raise _broken(wanted.model, path, problem)
        self._memory = llama.llama_get_memory(self._context)
        self._batch = llama.llama_batch_init(wanted.step_tokens, 0, 1)
        self._info = EngineInfo(
            engine="llama_cpp",
            model=path.name,
            sequences=_sequences(wanted),
            context_tokens=wanted.context_tokens,
            sequence_tokens=min(wanted.request_tokens, llama.llama_model_n_ctx_train(self._model)),
            step_tokens=wanted.step_tokens,
        )

    def _fill_batch(self, feeds: Sequence[Feed]) -> int:
        batch, row = self._batch, 0
        for feed in feeds:
            for offset, token in enumerate(feed.tokens):
                batch.token[row] = token
                batch.pos[row] = feed.position + offset
                batch.n_seq_id[row] = 1
                batch.seq_id[row][0] = feed.sequence
                batch.logits[row] = 0
                row += 1
            batch.logits[row - 1] = feed.sampler is not None
        batch.n_tokens = row
        return row

    def _kept(self, sequence: int, length: int) -> int:
        if self._llama.llama_memory_seq_pos_max(self._memory, sequence) == length - 1:
            return length
        self._llama.llama_memory_seq_rm(self._memory, sequence, -1, -1)
        return 0

    def _tokens(self, segments: Sequence[Segment]) -> list[int]:
        tokens: list[int] = []
        for segment in segments:
            tokens += self._tokenize(segment.text.encode("utf-8", "replace"), control=segment.markup)
        bos = self._llama.llama_vocab_bos(self._vocabulary)
        if self._llama.llama_vocab_get_add_bos(self._vocabulary) and tokens[:1] != [bos]:
            tokens.insert(0, bos)
        return tokens

    def _tokenize(self, text: bytes, *, control: bool) -> list[int]:
        # No vocabulary makes more tokens of a text than it has bytes, but for a space some put before it.
        room = len(text) + 8
        buffer = (ctypes.c_int32 * room)()
        count = self._llama.llama_tokenize(self._vocabulary, text, len(text), buffer, room, False, control)
        assert count >= 0
        return buffer[:count]

    def _control_text(self, name: str) -> str:
        token = getattr(self._llama, f"llama_vocab_{name}")(self._vocabulary)
        text = self._llama.llama_vocab_get_text(self._vocabulary, token) if token >= 0 else b""
        return str(text.decode("utf-8", "replace"))


class LlamaSampler:
    """A llama.cpp sampler chain."""

    def __init__(self, llama: Any, vocabulary: Any, sampling: Sampling, top_k: int) -> None:
        self._llama = llama
        self._chain = llama.llama_sampler_chain_init(llama.llama_sampler_chain_default_params())
        add = functools.partial(llama.llama_sampler_chain_add, self._chain)
        if sampling.repeat_penalty != 1:
            size = llama.llama_vocab_n_tokens(vocabulary)
            add(llama.llama_sampler_init_penalties(size, _PENALTY_LAST_TOKENS, sampling.repeat_penalty, 0.0, 0.0))
        if sampling.temperature == 0:
            add(llama.llama_sampler_init_greedy())
            return
        add(llama.llama_sampler_init_top_k(top_k))
        add(llama.llama_sampler_init_top_p(sampling.top_p, 1))
        add(llama.llama_sampler_init_temp(sampling.temperature))
        add(llama.llama_sampler_init_dist(_RANDOM_SEED if sampling.seed is None else sampling.seed))

    def sample(self, context: Any, row: int) -> int:
        return int(self._llama.llama_sampler_sample(self._chain, context, row))

    def close(self) -> None:
        self._llama.llama_sampler_free(self._chain)


def _sequences(settings: LlmSettings) -> int:
    # One more than the sessions holds the prompt that was warmed at start.
    return settings.sessions_cached + 1


def _broken(model: str, path: Path, problem: str) -> ModelBroken:
    known = CATALOGUE.get(model)
    return ModelBroken(path, problem, known.command if known else "")

"""The demo model's tokenizer: a byte-level BPE of its own, with Gemma 3's special tokens and chat template."""

from __future__ import annotations

import json
from collections.abc import Iterable

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

VOCAB_SIZE = 3072
PAD, EOS, BOS, UNK, MASK = "<pad>", "<eos>", "<bos>", "<unk>", "<mask>"
TRACE_OPEN, TRACE_CLOSE = "<unused94>", "<unused95>"
TURN_OPEN, TURN_CLOSE = "<start_of_turn>", "<end_of_turn>"
# Gemma 3's first 107 ids, so that the trace markers are 100 and 101 and the turn markers 105 and 106 here too.
RESERVED = [PAD, EOS, BOS, UNK, MASK, "[multimodal]", *(f"<unused{n}>" for n in range(99)), TURN_OPEN, TURN_CLOSE]
CONTROL = {PAD, EOS, BOS, UNK, MASK, TURN_OPEN, TURN_CLOSE}  # the trace markers are ordinary, as in Gemma 3

# A token never crosses a newline, a digit or a change of script: so the ids of a piece of text do not depend on
# what stands before the newline or special token in front of it, and an unseen number is still seen digit by digit.
_PIECES = r"\n| ?\p{Han}+| ?[\p{L}\p{M}&&[^\p{Han}]]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+|[^\S\n]+"

# Gemma 3's rules, written anew: text of the system goes in front of the first user turn, with a blank line between;
# assistant is called model; user and assistant alternate; what is said is trimmed.
CHAT_TEMPLATE = """\
{%- macro said(content) -%}
{%- if content is string -%}{{- content | trim -}}
{%- else -%}{%- for part in content if part['type'] == 'text' -%}{{- part['text'] | trim -}}{%- endfor -%}
{%- endif -%}
{%- endmacro -%}
{%- set system = namespace(text='') -%}
{%- set turns = messages -%}
{%- if messages[0]['role'] == 'system' -%}
{%- set first = messages[0]['content'] -%}
{%- set system.text = (first if first is string else first[0]['text']) + '\\n\\n' -%}
{%- set turns = messages[1:] -%}
{%- endif -%}
{{- bos_token -}}
{%- for turn in turns -%}
{%- if (turn['role'] == 'user') != (loop.index0 % 2 == 0) -%}
{{- raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') -}}
{%- endif -%}
{{- '<start_of_turn>' + ('model' if turn['role'] == 'assistant' else turn['role']) + '\\n' -}}
{{- system.text if loop.first else '' -}}
{{- said(turn['content']) -}}
{{- '<end_of_turn>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<start_of_turn>model\\n' -}}{%- endif -%}
"""


def build_tokenizer(texts: Iterable[str], vocab_size: int = VOCAB_SIZE) -> PreTrainedTokenizerFast:
    """Learn merges from ``texts``; any other text still round-trips, byte by byte where need be."""
    bpe = Tokenizer(models.BPE(byte_fallback=False))
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=RESERVED,  # ids 0 to 106
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        max_token_length=18,  # bytes: six Chinese characters
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    bpe.post_processor = processors.TemplateProcessing(single=f"{BOS} $A", special_tokens=[(BOS, RESERVED.index(BOS))])
    # The trainer marks all of these as special; in Gemma 3 the trace markers are not, so that decoding shows them.
    learned = json.loads(bpe.to_str())
    for token in learned["added_tokens"]:
        token["special"] = token["content"] in CONTROL
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(learned)),
        pad_token=PAD,
        eos_token=EOS,
        bos_token=BOS,
        unk_token=UNK,
        padding_side="left",
        clean_up_tokenization_spaces=False,
        chat_template=CHAT_TEMPLATE,
        model_max_length=8192,
    )

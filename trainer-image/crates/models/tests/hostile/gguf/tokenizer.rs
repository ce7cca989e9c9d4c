//! Tokenizers in the metadata.

use super::*;

pub(super) fn tokenizers() -> Vec<Case> {
    let token = |count: usize| -> Vec<String> { (0..count).map(|id| format!("token{id}")).collect() };
    let kinds = |count: usize, kind: i32| array(I32, count as u64, kind.to_le_bytes().repeat(count));
    vec![
        entry(
            "another tokenizer",
            "tokenizer.ggml.model",
            STRING,
            text("llama"),
            "unsupported: tokenizer `llama`",
        ),
        entry(
            "another way to cut words",
            "tokenizer.ggml.pre",
            STRING,
            text("tekken"),
            "unsupported: pre-tokenizer `tekken`",
        ),
        entry(
            "a token too few",
            "tokenizer.ggml.tokens",
            ARRAY,
            texts(&token(258)),
            "tokenizer: 258 tokens for 259 rows of the embedding",
        ),
        entry(
            "a token twice",
            "tokenizer.ggml.tokens",
            ARRAY,
            texts(&vec!["a".to_owned(); 259]),
            "tokenizer: token 1 is there twice",
        ),
        entry(
            "tokens that are numbers",
            "tokenizer.ggml.tokens",
            ARRAY,
            array(U32, 1, vec![0; 4]),
            "metadata: `tokenizer.ggml.tokens` must be an array of strings",
        ),
        entry(
            "a token that is no UTF-8",
            "tokenizer.ggml.tokens",
            ARRAY,
            array(STRING, 1, text(b"\xff")),
            "malformed: metadata `tokenizer.ggml.tokens` holds a string that is not UTF-8",
        ),
        no("no tokens", "metadata: `tokenizer.ggml.tokens` is missing", |file| {
            file.entries.retain(|(key, ..)| key != b"tokenizer.ggml.tokens")
        }),
        entry(
            "a type too few",
            "tokenizer.ggml.token_type",
            ARRAY,
            kinds(258, 1),
            "metadata: `tokenizer.ggml.token_type` has 258 entries for 259 tokens",
        ),
        entry(
            "types that are bytes",
            "tokenizer.ggml.token_type",
            ARRAY,
            array(U8, 259, vec![1; 259]),
            "metadata: `tokenizer.ggml.token_type` must be an array of whole numbers of 32 bits",
        ),
        entry(
            "a merge of one",
            "tokenizer.ggml.merges",
            ARRAY,
            texts(&["ab".to_owned()]),
            "metadata: `tokenizer.ggml.merges` holds a merge without a space",
        ),
        entry(
            "a merge of what is no token",
            "tokenizer.ggml.merges",
            ARRAY,
            texts(&["no token".to_owned()]),
            "tokenizer: merge 1 joins or makes a token that the vocabulary lacks",
        ),
        entry(
            "a merge without its result",
            "tokenizer.ggml.merges",
            ARRAY,
            texts(&["a b".to_owned()]),
            "tokenizer: merge 1 joins or makes a token that the vocabulary lacks",
        ),
        number(
            "an end beyond the last token",
            "tokenizer.ggml.eos_token_id",
            259,
            "metadata: `tokenizer.ggml.eos_token_id` is 259, beyond the last token",
        ),
        entry(
            "an end of 2^32",
            "tokenizer.ggml.eos_token_id",
            U64,
            (1_u64 << 32).to_le_bytes(),
            "metadata: `tokenizer.ggml.eos_token_id` is too large",
        ),
        entry(
            "a template that is a number",
            "tokenizer.chat_template",
            U32,
            [0; 4],
            "metadata: `tokenizer.chat_template` must be a string",
        ),
    ]
}

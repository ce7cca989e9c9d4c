//! Shapes and tensors that contradict each other.

use super::*;

pub(super) fn shapes() -> Vec<Case> {
    vec![
        entry(
            "another architecture",
            "general.architecture",
            STRING,
            text("gemma3\n"),
            "unsupported: architecture `gemma3 `",
        ),
        no("no architecture", "unsupported: architecture ``", |file| drop(file.entries.remove(0))),
        number("0 layers", "llama.block_count", 0, "shape: num_hidden_layers is 0; it must be 1 to 1024"),
        number(
            "a layer too many",
            "llama.block_count",
            3,
            "9 of 29 tensors are missing, the first is `blk.2.attn_norm.weight`; give every shard of the model",
        ),
        number(
            "2^32 - 1 layers",
            "llama.block_count",
            u32::MAX,
            "shape: num_hidden_layers is 4294967295; it must be 1 to 1024",
        ),
        number(
            "0 heads",
            "llama.attention.head_count",
            0,
            "shape: num_attention_heads is 0; it must be a divisor of hidden_size (32)",
        ),
        number(
            "heads that do not divide",
            "llama.attention.head_count",
            5,
            "shape: num_attention_heads is 5; it must be a divisor of hidden_size (32)",
        ),
        number(
            "2^32 - 1 heads",
            "llama.attention.head_count",
            u32::MAX,
            "shape: num_attention_heads is 4294967295; it must be a divisor of hidden_size (32)",
        ),
        number(
            "3 heads for keys where there are 4",
            "llama.attention.head_count_kv",
            3,
            "shape: num_key_value_heads is 3; it must be a divisor of num_attention_heads (4)",
        ),
        number(
            "heads of 2^32 - 1",
            "llama.attention.key_length",
            u32::MAX,
            "shape: head_dim is 4294967295; it must be 1 to 262144",
        ),
        number(
            "another width than the embedding's",
            "llama.embedding_length",
            64,
            "metadata: `llama.embedding_length` is 64, `token_embd.weight` has 32",
        ),
        number(
            "another vocabulary than the embedding's",
            "llama.vocab_size",
            32_000,
            "metadata: `llama.vocab_size` is 32000, `token_embd.weight` has 259",
        ),
        number("experts", "llama.expert_count", 8, "unsupported: llama.expert_count above 0"),
        number(
            "half of each head rotated",
            "llama.rope.dimension_count",
            4,
            "unsupported: llama.rope.dimension_count 4 with heads of 8",
        ),
        entry(
            "positions that are stretched",
            "llama.rope.scaling.type",
            STRING,
            text("yarn"),
            "unsupported: rope scaling `yarn`",
        ),
        entry(
            "positions that are stretched in silence",
            "llama.rope.scaling.factor",
            F32,
            4_f32.to_le_bytes(),
            "unsupported: llama.rope.scaling.factor 4",
        ),
        number(
            "a context of 0",
            "llama.context_length",
            0,
            "shape: max_position_embeddings is 0; it must be 1 to 16777216",
        ),
        no("no context", "metadata: `llama.context_length` is missing", |file| drop(file.entries.remove(2))),
        number(
            "a first token beyond the last",
            "tokenizer.ggml.bos_token_id",
            259,
            "shape: bos_token_id or eos_token_id is 259; it must be below vocab_size (259)",
        ),
    ]
}

pub(super) fn tensors() -> Vec<Case> {
    const NORM: &str = "output_norm.weight";
    const LAYER: &str = "blk.1.ffn_norm.weight";
    vec![
        no("a tensor twice", "malformed: tensor `blk.1.ffn_norm.weight` is there twice", |file| {
            file.tensor(NORM).name = LAYER.to_owned()
        }),
        no(
            "a tensor too few",
            "1 of 20 tensors are missing, the first is `output_norm.weight`; give every shard of the model",
            |file| drop(file.tensors.pop()),
        ),
        no("a bias", "unsupported: tensor `blk.0.attn_q.bias`", |file| {
            file.tensors.push(Tensor { name: "blk.0.attn_q.bias".to_owned(), ..file.tensors[1].clone() })
        }),
        no("lines in a name", "unsupported: tensor `a ../b`", |file| {
            file.tensors.push(Tensor { name: "a\n../b".to_owned(), ..file.tensors[1].clone() })
        }),
        no("no embedding", "malformed: no matrix `token_embd.weight`", |file| drop(file.tensors.remove(0))),
        no(
            "0 dimensions",
            "malformed: tensor `output_norm.weight` has 0 dimensions, 1 to 4 are possible",
            |file| file.tensor(NORM).shape = vec![],
        ),
        no(
            "5 dimensions",
            "malformed: tensor `output_norm.weight` has 5 dimensions, 1 to 4 are possible",
            |file| file.tensor(NORM).shape = vec![1; 5],
        ),
        no(
            "2^32 - 1 dimensions",
            "malformed: tensor `a` has 4294967295 dimensions, 1 to 4 are possible",
            |file| {
                file.tensors.clear();
                file.tensor_count = Some(1);
                // What follows is read as the list: a name, then the rank.
                file.entry_count = Some(file.entries.len() as u64);
                file.entries.push((b"a".into(), u32::MAX, vec![]));
            },
        ),
        no(
            "nothing in a tensor",
            "malformed: tensor `output_norm.weight` of F32 [0] is empty, has no whole blocks, or 2^64 bytes and more",
            |file| file.tensor(NORM).shape = vec![0],
        ),
        no(
            "2^64 elements",
            "malformed: tensor `output_norm.weight` of F32 [4294967296, 4294967296] is empty, has no whole blocks, or 2^64 bytes and more",
            |file| file.tensor(NORM).shape = vec![1 << 32, 1 << 32],
        ),
        no(
            "2^65 bytes",
            "malformed: tensor `output_norm.weight` of F32 [9223372036854775808] is empty, has no whole blocks, or 2^64 bytes and more",
            |file| file.tensor(NORM).shape = vec![1 << 63],
        ),
        no(
            "a terabyte",
            "malformed: cut short: tensor `output_norm.weight` takes 1099511627776 bytes from byte 95104 of the data, which have 95232",
            |file| file.tensor(NORM).shape = vec![1 << 38],
        ),
        no(
            "another width",
            "GGUF: tensor `output_norm.weight` has shape [33], config.json needs [32]; both must be of one model",
            |file| {
                let norm = file.tensor(NORM);
                (norm.shape, norm.data) = (vec![33], vec![0; 132]);
            },
        ),
        no("a type nobody knows", "unsupported: type 4 of tensor `output_norm.weight`", |file| {
            file.tensor(NORM).kind = 4
        }),
        no(
            "a type of llama.cpp that is not read",
            "unsupported: type 16 of tensor `output_norm.weight`",
            |file| file.tensor(NORM).kind = 16,
        ),
        no("a type that only products have", "unsupported: type 15 of tensor `output_norm.weight`", |file| {
            file.tensor(NORM).kind = 15
        }),
        no("type 2^32 - 1", "unsupported: type 4294967295 of tensor `output_norm.weight`", |file| {
            file.tensor(NORM).kind = u32::MAX
        }),
        no(
            "a part of a block",
            "malformed: tensor `blk.1.ffn_norm.weight` of Q4K [32] is empty, has no whole blocks, or 2^64 bytes and more",
            |file| file.tensor(LAYER).kind = 12,
        ),
        no(
            "tensors that overlap",
            "malformed: tensor `output_norm.weight` begins at byte 0 of the data, the one before ends at 95104",
            |file| file.tensor(NORM).offset = Some(0),
        ),
        no(
            "a hole before a tensor",
            "malformed: tensor `token_embd.weight` begins at byte 32 of the data, the one before ends at 0",
            |file| file.tensors[0].offset = Some(32),
        ),
        no(
            "an offset between two multiples",
            "malformed: tensor `blk.0.attn_norm.weight` begins at byte 33153 of the data, the one before ends at 33152",
            |file| file.tensors[1].offset = Some(33_153),
        ),
        no(
            "an offset of 2^64 - 1",
            "malformed: tensor `output_norm.weight` begins at byte 18446744073709551615 of the data, the one before ends at 95104",
            |file| file.tensor(NORM).offset = Some(u64::MAX),
        ),
        no(
            "NaN",
            "memory: tensor `model.norm.weight` holds NaN or infinite values; download or convert the model again",
            |file| file.tensor(NORM).data[..4].copy_from_slice(&f32::NAN.to_le_bytes()),
        ),
        no(
            "an infinite scale of a block",
            "memory: tensor `model.layers.1.self_attn.v_proj.weight` holds NaN or infinite values; download or convert the model again",
            |file| {
                let tensor = file.tensor("blk.1.attn_v.weight");
                // 16 rows of one block of 34 bytes: the scale in 16 bits, then 32 numbers of 8.
                (tensor.kind, tensor.data) =
                    (8, [0x00_u8, 0x7c].into_iter().chain([1; 32]).collect::<Vec<_>>().repeat(16));
            },
        ),
    ]
}

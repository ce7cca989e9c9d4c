//! Tensors that are none of the model, and files that are no safetensors.

use super::*;

pub(super) fn tensors() -> Vec<Case> {
    let zeros = |bytes: usize| vec![0_u8; bytes];
    let float =
        |value: f32| [0.5, value].repeat(16).into_iter().flat_map(f32::to_le_bytes).collect::<Vec<_>>();
    let half = |bits: u16| [0, bits].repeat(16).into_iter().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
    let long = "a".repeat(1 << 20);
    vec![
        no(
            "whole numbers for weights",
            norm("I64", &[32], zeros(256)),
            "file: tensor `model.norm.weight` has type I64, supported are F32, F16 and BF16; convert the model",
        ),
        no(
            "64 bits",
            norm("F64", &[32], zeros(256)),
            "file: tensor `model.norm.weight` has type F64, supported are F32, F16 and BF16; convert the model",
        ),
        no(
            "8 bits",
            norm("F8_E4M3", &[32], zeros(32)),
            "file: tensor `model.norm.weight` has type F8_E4M3, supported are F32, F16 and BF16; convert the model",
        ),
        no(
            "truth values",
            norm("BOOL", &[32], zeros(32)),
            "file: tensor `model.norm.weight` has type BOOL, supported are F32, F16 and BF16; convert the model",
        ),
        no(
            "complex numbers",
            norm("C64", &[32], zeros(256)),
            "file: tensor `model.norm.weight` has type C64, supported are F32, F16 and BF16; convert the model",
        ),
        no(
            "a type nobody knows",
            norm("F33", &[32], zeros(128)),
            "malformed: header: unknown variant `F33`, expected one of `BOOL`, `F4`, `F6_E2M3`, `F6_E3M2`, `U8`, `I8`, `F8_E5M2`, `F8_E4M3`, `F8_E8M0`, `F8_E4M3FNUZ`, `F8_E5M2FNUZ`, `I16`, `U16`, `F16`, `BF16`, `I32`, `U32`, `F32`, ",
        ),
        no(
            "a type over two lines",
            norm("F\\n32", &[32], zeros(128)),
            "malformed: header: unknown variant `F 32`, expected one of `BOOL`, `F4`, `F6_E2M3`, `F6_E3M2`, `U8`, `I8`, `F8_E5M2`, `F8_E4M3`, `F8_E8M0`, `F8_E4M3FNUZ`, `F8_E5M2FNUZ`, `I16`, `U16`, `F16`, `BF16`, `I32`, `U32`, `F32`,",
        ),
        no(
            "another width",
            norm("F32", &[33], zeros(132)),
            "model: `model.norm.weight` has shape [33], config.json needs [32]",
        ),
        no(
            "another rank",
            norm("F32", &[1, 32], zeros(128)),
            "model: `model.norm.weight` has shape [1, 32], config.json needs [32]",
        ),
        no(
            "a number alone",
            norm("F32", &[], zeros(4)),
            "model: `model.norm.weight` has shape [], config.json needs [32]",
        ),
        no(
            "nothing in a tensor",
            norm("F32", &[0], ""),
            "model: `model.norm.weight` has shape [0], config.json needs [32]",
        ),
        no(
            "rows and columns of nothing",
            norm("F32", &[0, 1 << 60], ""),
            "model: `model.norm.weight` has shape [0, 1152921504606846976], config.json needs [32]",
        ),
        no("NaN in 32 bits", norm("F32", &[32], float(f32::NAN)), "values: model.norm.weight"),
        no("infinity in 32 bits", norm("F32", &[32], float(f32::INFINITY)), "values: model.norm.weight"),
        no(
            "less than all numbers in 32 bits",
            norm("F32", &[32], float(f32::NEG_INFINITY)),
            "values: model.norm.weight",
        ),
        no("NaN in 16 bits", norm("F16", &[32], half(0x7e00)), "values: model.norm.weight"),
        no("infinity in 16 bits", norm("F16", &[32], half(0x7c00)), "values: model.norm.weight"),
        no("NaN in 16 bits of Google's", norm("BF16", &[32], half(0x7fc0)), "values: model.norm.weight"),
        no("infinity in 16 bits of Google's", norm("BF16", &[32], half(0xff80)), "values: model.norm.weight"),
        yes("the least number above zero", norm("F32", &[32], float(f32::from_bits(1)))),
        no(
            "no norm",
            changed(|entries| entries.retain(|entry| !entry.name.contains("norm"))),
            "5 of 20 tensors are missing, the first is `model.layers.0.input_layernorm.weight`; give every shard of the model",
        ),
        no(
            "a bias",
            also("model.layers.0.self_attn.q_proj.bias", "F32", &[1], &[0; 4]),
            "model: `model.layers.0.self_attn.q_proj.bias` is not part of the model that config.json describes",
        ),
        no(
            "a layer too many",
            also("model.layers.2.input_layernorm.weight", "F32", &[1], &[0; 4]),
            "model: `model.layers.2.input_layernorm.weight` is not part of the model that config.json describes",
        ),
        no(
            "a layer by another number",
            also("model.layers.00.input_layernorm.weight", "F32", &[1], &[0; 4]),
            "model: `model.layers.00.input_layernorm.weight` is not part of the model that config.json describes",
        ),
        no(
            "a path for a name",
            also("../../../etc/passwd", "U8", &[1], &[0]),
            "model: `../../../etc/passwd` is not part of the model that config.json describes",
        ),
        no(
            "lines and a bell in a name",
            also("a\nb\u{7}\u{0}", "U8", &[1], &[0]),
            "model: `a b  ` is not part of the model that config.json describes",
        ),
        no(
            "a name of a megabyte",
            also(&long, "U8", &[1], &[0]),
            "model: `aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa` is not part of the model that config.json describes",
        ),
        no(
            "no name",
            also("", "U8", &[1], &[0]),
            "model: `` is not part of the model that config.json describes",
        ),
        yes("a tied output layer of anything", also("lm_head.weight", "I64", &[0, 7], b"")),
        yes("a buffer that is derived", also("model.rotary_emb.inv_freq", "F64", &[1], &[0xff; 8])),
        refused(
            "the same tensors in two files",
            whole(
                "b.safetensors: tensor `model.embed_tokens.weight` is in another shard too; give each shard of the model once",
                &LINES,
            ),
            || {
                let bytes = pack(&model());
                let files = [("a.safetensors", bytes.as_slice()), ("b.safetensors", bytes.as_slice())];
                Weights::from_files(&tiny_config(64), &files).map(drop).map_err(|error| error.to_string())
            },
        ),
    ]
}

pub(super) fn disguises() -> Vec<Case> {
    let page = b"<!DOCTYPE html><html><body>Log in to download this model</body></html>";
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 7\n";
    vec![
        no(
            "what torch.save writes",
            b"PK\x03\x04\0\0\x08\x08\0\0\0\0\0\0archive/data.pkl",
            "other: a ZIP archive, as torch.save writes pickles, not safetensors; convert it with safetensors.torch.save_file",
        ),
        no(
            "what torch.save wrote once",
            b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M",
            "other: a pickle, which runs code when it is read, not safetensors; convert it with safetensors.torch.save_file",
        ),
        no(
            "a pickle of protocol 3",
            b"\x80\x03}q\0X\x06\0\0\0weightq\x01",
            "other: a pickle, which runs code when it is read, not safetensors; convert it with safetensors.torch.save_file",
        ),
        no(
            "a pickle of protocol 4",
            b"\x80\x04\x95\x10\0\0\0\0\0\0\0\x8c\x02os",
            "other: a pickle, which runs code when it is read, not safetensors; convert it with safetensors.torch.save_file",
        ),
        no(
            "a pickle of protocol 5",
            b"\x80\x05\x95\x10\0\0\0\0\0\0\0\x8c\x02os",
            "other: a pickle, which runs code when it is read, not safetensors; convert it with safetensors.torch.save_file",
        ),
        no(
            "a pickle in ASCII",
            b"cos\nsystem\n(S'true'\ntR.",
            "file: header of 8391184065724903267 bytes, at most 100000000; download or convert the file again",
        ),
        no(
            "a GGUF model",
            b"GGUF\x03\0\0\0\0\0\0\0\0\0\0\0",
            "other: a GGUF model, not safetensors; give it alone, as one .gguf file",
        ),
        no("a compressed file", b"\x1f\x8b\x08\0\0\0\0\0\x02\x03", "other: gzip, not safetensors; unpack it"),
        no(
            "a pointer of Git LFS",
            pointer,
            "other: a Git LFS pointer and not the file it points at, not safetensors; fetch that with git lfs pull",
        ),
        no(
            "a page that asks who is there",
            page,
            "other: a web page, not safetensors; check the address, and whether it wants a token",
        ),
        no(
            "an answer in JSON",
            b"{\"error\":\"Access to this model is restricted\"}",
            "other: JSON alone, not safetensors; check the address, and whether it wants a token",
        ),
        no(
            "a program",
            b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0",
            "file: header of 282584257676671 bytes, at most 100000000; download or convert the file again",
        ),
    ]
}

//! `tokenizer.json` of a model, and a text for whatever tokenizer it is.
#![no_main]

use cooperator_models::testing::byte_tokenizer;
use cooperator_models::tokenizer::Tokenizer;

fn seeds() -> Vec<String> {
    let mut merged = byte_tokenizer();
    merged["model"]["vocab"]["ab"] = 259.into();
    merged["model"]["merges"] = serde_json::json!([["a", "b"]]);
    let words = r#"{"version":"1.0","added_tokens":[],"normalizer":{"type":"Sequence","normalizers":[{"type":"Prepend","prepend":"_"},{"type":"Replace","pattern":{"String":" "},"content":"_"}]},"pre_tokenizer":{"type":"WhitespaceSplit"},"post_processor":null,"decoder":{"type":"Strip","content":" ","start":1,"stop":0},"model":{"type":"WordLevel","vocab":{"?":0,"a":1},"unk_token":"?"}}"#;
    vec![byte_tokenizer().to_string(), merged.to_string(), words.to_owned()]
}

libfuzzer_sys::fuzz_target!(
    init: cooperator_fuzz::plant(seeds()),
    |bytes: &[u8]| match Tokenizer::for_vocabulary(bytes, 300) {
        Ok(tokenizer) => {
            let ids = tokenizer.encode_with_markers("a b, 12 <|im_end|> ab\u{e9}").unwrap_or_default();
            assert!(ids.iter().all(|id| *id < 300));
            let _ = tokenizer.decode(&ids);
        }
        Err(error) => cooperator_fuzz::shown(error),
    }
);

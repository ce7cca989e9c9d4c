//! Files that are almost in order: whatever is changed in one, it is refused in one line or taken.

use std::io::Cursor;

use cooperator_models::chat::ChatTemplate;
use cooperator_models::config::LlamaConfig;
use cooperator_models::gguf;
use cooperator_models::lora::{LoraAdapter, LoraConfig};
use cooperator_models::testing::{byte_tokenizer, byte_tokenizer_config, tiny_config};
use cooperator_models::tokenizer::Tokenizer;
use cooperator_models::weights::{Weights, shards};
use cooperator_mutate::mutated;
use proptest::prelude::*;

use crate::gguf_file::File;
use crate::safetensors_file::{model, pack};

/// What was read, or a reason in one line.
fn told<T, E: std::error::Error>(read: Result<T, E>) -> Result<(), TestCaseError> {
    let line = read.err().map(|error| error.to_string()).unwrap_or_default();
    prop_assert!(!line.contains(char::is_control) && line.len() < 1000, "{line}");
    Ok(())
}

fn adapter() -> LoraAdapter {
    let target_modules = vec!["q_proj".to_owned()];
    let config = LoraConfig { rank: 2, alpha: 4.0, dropout: 0.0, target_modules };
    LoraAdapter::init(config, &tiny_config(64), 1).unwrap()
}

/// The header of three tensors.
fn header() -> Vec<u8> {
    let file = pack(&model()[..3]);
    let length = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    file[8..8 + length].to_vec()
}

proptest! {
    #[test]
    fn safetensors(bytes in mutated(vec![pack(&model()), adapter().to_safetensors().unwrap()])) {
        told(Weights::from_files(&tiny_config(64), &[("m.safetensors", &bytes)]))?;
        let config = adapter().config_json("base");
        told(LoraAdapter::from_peft(&tiny_config(64), config.as_bytes(), &bytes))?;
    }

    #[test]
    fn headers_of_safetensors(header in mutated(vec![header()])) {
        let bytes = [&(header.len() as u64).to_le_bytes(), header.as_slice(), &[0; 64]].concat();
        told(Weights::from_files(&tiny_config(64), &[("m.safetensors", &bytes)]))?;
    }

    #[test]
    fn indices(bytes in mutated(vec![br#"{"metadata":{"total_size":1},"weight_map":{"a":"a.safetensors","b":"b.safetensors"}}"#.to_vec()])) {
        told(shards(&bytes))?;
    }

    #[test]
    fn gguf_files(bytes in mutated(vec![File::valid().bytes()])) {
        told(gguf::read(Cursor::new(bytes)))?;
    }

    #[test]
    fn headers_of_gguf(header in mutated(vec![File::valid().bytes()[..7000].to_vec()])) {
        told(gguf::read(Cursor::new(header)))?;
    }

    #[test]
    fn configs(bytes in mutated(vec![tiny_config(64).to_json("bfloat16").to_string().into_bytes()])) {
        let read = LlamaConfig::from_json(&bytes);
        if let Ok(config) = &read {
            prop_assert!(config.inverse_frequencies().iter().all(|frequency| frequency.is_finite()));
            let again = LlamaConfig::from_json(config.to_json("bfloat16").to_string().as_bytes());
            prop_assert_eq!(again.as_ref(), Ok(config));
        }
        told(read)?;
    }

    #[test]
    fn tokenizers(bytes in mutated(vec![byte_tokenizer().to_string().into_bytes()])) {
        let read = Tokenizer::for_vocabulary(&bytes, 300);
        if let Ok(tokenizer) = &read {
            let ids = tokenizer.encode("a b, 12 <|im_end|>").unwrap_or_default();
            prop_assert!(ids.iter().all(|id| *id < 300));
            let _ = tokenizer.decode(&ids);
        }
        told(read)?;
    }

    #[test]
    fn chat_templates(bytes in mutated(vec![byte_tokenizer_config().to_string().into_bytes()])) {
        let read = ChatTemplate::from_tokenizer_config(&bytes, |_| String::new());
        if let Ok(template) = &read {
            told(template.render(&[], true))?;
        }
        told(read)?;
    }

    #[test]
    fn adapters(bytes in mutated(vec![adapter().config_json("base").into_bytes()])) {
        told(LoraAdapter::from_peft(&tiny_config(64), &bytes, &adapter().to_safetensors().unwrap()))?;
    }
}

//! Language models of the Llama family: reading them (Hugging Face layout, GGUF), their tokenizers and chat
//! templates, inference, LoRA adapters and their training. CPU, candle tensors; no network, no Kubernetes.

pub mod chat;
pub mod config;
pub mod gguf;
pub mod infer;
mod line;
pub mod lora;
pub mod optimizer;
pub mod sampling;
mod stored;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod tokenizer;
pub mod train;
pub mod weights;

//! Language models of the Llama family: reading them (Hugging Face layout, GGUF), their tokenizers and chat
//! templates, inference, LoRA adapters and their training. CPU, candle tensors; no network, no Kubernetes.

pub mod config;
pub mod lora;
pub mod optimizer;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod train;
pub mod weights;

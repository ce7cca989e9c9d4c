//! Manifests of models, datasets, checkpoints and adapters, and the lines of a dataset's shards.
#![no_main]

use cooperator_contract::manifest::{
    AdapterManifest, CheckpointManifest, DatasetManifest, Evaluation, ModelManifest, Record,
};
use cooperator_fuzz::{example, kept};

libfuzzer_sys::fuzz_target!(
    init: cooperator_fuzz::plant([
        example!("model"),
        example!("dataset"),
        example!("record"),
        example!("checkpoint"),
        example!("adapter"),
        example!("evaluation"),
    ]),
    |bytes: &[u8]| {
        kept::<ModelManifest>(bytes);
        kept::<DatasetManifest>(bytes);
        kept::<Record>(bytes);
        kept::<CheckpointManifest>(bytes);
        kept::<AdapterManifest>(bytes);
        kept::<Evaluation>(bytes);
    }
);

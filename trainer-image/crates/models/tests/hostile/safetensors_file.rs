//! The safetensors file of a tiny model, of which every part may be another. The fuzz targets start from it too.

use candle_core::DType;
use cooperator_models::testing::{random_tensors, tiny_config};

/// A tensor as it is written.
#[derive(Clone)]
pub struct Entry {
    pub name: String,
    pub dtype: &'static str,
    pub shape: Vec<usize>,
    pub data: Vec<u8>,
}

/// The tensors of a tiny model in order.
pub fn model() -> Vec<Entry> {
    let tensors = random_tensors(&tiny_config(64), 1).unwrap();
    let entry = |(name, tensor): (String, candle_core::Tensor)| {
        assert_eq!(tensor.dtype(), DType::BF16);
        let values = tensor.flatten_all().unwrap().to_vec1::<half::bf16>().unwrap();
        let data = values.into_iter().flat_map(half::bf16::to_le_bytes).collect();
        Entry { name, dtype: "BF16", shape: tensor.dims().to_vec(), data }
    };
    tensors.into_iter().map(entry).collect()
}

/// The file of these tensors.
pub fn pack(entries: &[Entry]) -> Vec<u8> {
    let (mut header, mut data) = (Vec::new(), Vec::new());
    for entry in entries {
        let from = data.len();
        data.extend(&entry.data);
        let (name, dtype, shape) = (serde_json::json!(entry.name), entry.dtype, &entry.shape);
        header.push(format!(
            r#"{name}:{{"dtype":"{dtype}","shape":{shape:?},"data_offsets":[{from},{}]}}"#,
            data.len()
        ));
    }
    raw(format!("{{{}}}", header.join(",")), &data)
}

/// A file with this header.
pub fn raw(header: impl AsRef<[u8]>, data: &[u8]) -> Vec<u8> {
    let header = header.as_ref();
    [&(header.len() as u64).to_le_bytes(), header, data].concat()
}

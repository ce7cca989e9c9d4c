//! How vendors name one and the same GPU.

use cooperator_core::market::Gpus;

/// A model's name as [`Gpus::model_name`] writes it, without what vendors add to it or leave out as they like: the number
/// of the socket's generation (`SXM5`) and the memory's size and kind, which the offer has by itself.
pub(crate) fn model(text: &str) -> String {
    let name = Gpus::model_name(&text.replace(" GB", "GB"));
    let kept = name.split('-').filter(|word| !is_memory(word)).map(|word| match word {
        "sxm2" | "sxm3" | "sxm4" | "sxm5" | "sxm6" => "sxm",
        other => other,
    });
    kept.collect::<Vec<_>>().join("-")
}

/// `80gb`, `hbm3`.
fn is_memory(word: &str) -> bool {
    let size = word.strip_suffix("gb").unwrap_or_default();
    let is_size = !size.is_empty() && size.bytes().all(|byte| byte.is_ascii_digit());
    is_size || word.starts_with("hbm")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_model_of_three_vendors_has_one_name() {
        for written in ["H100 SXM", "H100 (80 GB SXM5)", "NVIDIA H100 80GB HBM3 SXM"] {
            assert_eq!(model(written), "h100-sxm", "{written}");
        }
        assert_eq!(model("RTX 4090"), "rtx-4090");
        assert_eq!(model("Tesla V100-SXM2"), "v100-sxm");
        assert_eq!(model("GH200"), "gh200");
    }
}

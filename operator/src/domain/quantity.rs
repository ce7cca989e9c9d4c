//! Kubernetes quantities as whole numbers. What is not whole is rounded up: a need is never made smaller.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// Suffixes and what they multiply by, as a numerator over 1000.
const SUFFIXES: [(&str, i128); 14] = [
    ("Ki", 1_000 << 10),
    ("Mi", 1_000 << 20),
    ("Gi", 1_000 << 30),
    ("Ti", 1_000 << 40),
    ("Pi", 1_000 << 50),
    ("Ei", 1_000 << 60),
    ("m", 1),
    ("k", 1_000_000),
    ("M", 1_000_000_000),
    ("G", 1_000_000_000_000),
    ("T", 1_000_000_000_000_000),
    ("P", 1_000_000_000_000_000_000),
    ("E", 1_000_000_000_000_000_000_000),
    ("", 1_000),
];
/// Decimal places that are read.
const PLACES: usize = 9;

/// Thousandths of a unit: millicores of `cpu`. None: it is no quantity of 0 or more, or beyond any machine.
pub fn millis(quantity: &Quantity) -> Option<u64> {
    let text = quantity.0.as_str();
    let (number, factor) = match text.split_once(['e', 'E']).filter(|(_, exponent)| !exponent.is_empty()) {
        Some((number, exponent)) => {
            (number, 1_000_i128.checked_mul(10_i128.checked_pow(exponent.parse().ok()?)?)?)
        }
        None => SUFFIXES.iter().find_map(|(suffix, factor)| Some((text.strip_suffix(suffix)?, *factor)))?,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = format!("{whole}{fraction:0<PLACES$}");
    let all_digits =
        !(whole.is_empty() && fraction.is_empty()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    if !all_digits || fraction.len() > PLACES {
        return None;
    }
    let scaled = digits.parse::<i128>().ok()?.checked_mul(factor)?;
    let unit = 10_i128.pow(PLACES as u32);
    u64::try_from(scaled / unit + i128::from(scaled % unit != 0)).ok()
}

/// Whole units: bytes of `memory`, pieces of a device.
pub fn units(quantity: &Quantity) -> Option<u64> {
    Some(millis(quantity)?.div_ceil(1000))
}

/// Whole MiB of a quantity in bytes.
pub fn mebibytes(quantity: &Quantity) -> Option<u64> {
    Some(units(quantity)?.div_ceil(1 << 20))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantity_is_read_as_kubernetes_writes_it() {
        let millis = |text: &str| millis(&Quantity(text.into()));
        for (text, expected) in [
            ("1", 1000),
            ("250m", 250),
            ("0.5", 500),
            ("1.0001", 1001),
            ("2k", 2_000_000),
            ("0", 0),
            ("1e3", 1_000_000),
            ("1Ki", 1_024_000),
        ] {
            assert_eq!(millis(text), Some(expected), "{text}");
        }
        assert_eq!(mebibytes(&Quantity("4Gi".into())), Some(4096));
        assert_eq!(mebibytes(&Quantity("1".into())), Some(1));
        assert_eq!(units(&Quantity("2".into())), Some(2));
    }

    #[test]
    fn what_is_no_quantity_or_beyond_any_machine_is_none() {
        for text in ["", "-1", "x", "1.1.1", "1 Gi", "Gi", "1Ee", "1e99", "999999E", "0.00000000001"] {
            assert_eq!(millis(&Quantity(text.into())), None, "{text}");
        }
    }
}

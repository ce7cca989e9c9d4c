//! Decimal text to and from pico-units, exactly.

use super::{MoneyError, PICO, PLACES};

/// Reads `[-]digits[.digits]` with at most `places` decimals into pico-units. Trailing zeros beyond `places` are
/// no precision and are let through.
pub(super) fn parse(text: &str, places: u8) -> Result<i128, MoneyError> {
    let syntax = || MoneyError::Syntax(shown(text));
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = match digits.split_once('.') {
        Some((whole, fraction)) if !fraction.is_empty() => (whole, fraction),
        Some(_) => return Err(syntax()),
        None => (digits, ""),
    };
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) {
        return Err(syntax());
    }
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > usize::from(places) {
        return Err(MoneyError::TooPrecise { text: shown(text), places });
    }
    let pico = format!("{whole}{fraction:0<width$}", width = usize::from(PLACES));
    let pico = pico.trim_start_matches('0');
    if pico.is_empty() {
        return Ok(0);
    }
    let signed = if negative { format!("-{pico}") } else { pico.to_owned() };
    signed.parse().map_err(|_| MoneyError::Overflow)
}

/// Writes pico-units exactly, with at least `places` decimals.
pub(super) fn format(pico: i128, places: u8) -> String {
    let sign = if pico < 0 { "-" } else { "" };
    let (whole, rest) =
        (pico.unsigned_abs() / PICO.unsigned_abs(), pico.unsigned_abs() % PICO.unsigned_abs());
    let fraction = format!("{rest:0width$}", width = usize::from(PLACES));
    let exact = fraction.trim_end_matches('0').len();
    let kept = exact.max(usize::from(places.min(PLACES)));
    if kept == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{}", &fraction[..kept]) }
}

/// What was given, cut to 40 characters of one line.
pub(super) fn shown(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(40).collect()
}

//! One written form for one text, so that equal works have equal digests.

use unicode_normalization::UnicodeNormalization as _;

/// Unicode NFC, `\n` for every line break, no byte order mark, no control characters but tab and line break, no
/// blanks at line ends, at most one empty line in a row, nothing empty around. Applying it again changes nothing.
pub fn normalise(text: &str) -> String {
    let unified =
        text.replace("\r\n", "\n").replace(['\r', '\u{2028}', '\u{2029}', '\u{85}', '\u{0c}'], "\n");
    let kept = unified.chars().filter(|&c| c == '\n' || c == '\t' || !(c.is_control() || c == '\u{feff}'));
    let composed: String = kept.nfc().collect();
    let mut written = String::with_capacity(composed.len());
    let mut empty = 0;
    for line in composed.split('\n').map(str::trim_end) {
        if line.is_empty() {
            empty += 1;
            continue;
        }
        if !written.is_empty() {
            written.push_str(if empty > 0 { "\n\n" } else { "\n" });
        }
        // The first line's indentation is no part of a text, that of later ones may be (verse, code).
        written.push_str(if written.is_empty() { line.trim_start() } else { line });
        empty = 0;
    }
    written
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn equal_texts_of_different_tools_become_one() {
        let windows = "\u{feff}  Fellow citizens,  \r\n\r\n\r\n\r\nCafe\u{301}\0 \r\n";
        assert_eq!(normalise(windows), "Fellow citizens,\n\nCafé");
        assert_eq!(normalise("Fellow citizens,\n\nCafé"), "Fellow citizens,\n\nCafé");
    }

    #[test]
    fn indentation_of_later_lines_stays() {
        assert_eq!(normalise("if x:\n\ty = 1\n"), "if x:\n\ty = 1");
    }

    #[test]
    fn blank_text_is_empty() {
        assert_eq!(normalise(" \r\n\t\u{feff}\n"), "");
    }

    proptest! {
        #[test]
        fn applying_it_again_changes_nothing(text in "\\PC{0,40}[ \\t\\r\\n\u{feff}\u{301}\u{2028}]{0,6}\\PC{0,40}") {
            let once = normalise(&text);
            prop_assert_eq!(normalise(&once), once);
        }
    }
}

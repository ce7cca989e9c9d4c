//! Cutting a text into records.

use unicode_segmentation::UnicodeSegmentation as _;

use crate::tokens::{Tokens, TokensError};

/// How many bytes behind a window are looked at for a bound.
const AHEAD: usize = 64;
/// Most bytes that are tokenised at once, 1 MiB: a token takes a hundred bytes and more while it is counted, and a row
/// may be one text of [`super::MAX_LINE`] bytes.
const STRETCH: usize = 1 << 20;

/// Cuts a normalised text into records of at most `limit` tokens (at least 1), each with its count, at paragraph,
/// else sentence, else word bounds, in order, nothing lost but blanks at the cuts.
///
/// A paragraph or sentence bound is taken in the later half of what fits, so that records do not become crumbs.
///
/// # Errors
/// [`TokensError`].
pub fn split(text: &str, limit: usize, tokens: &Tokens) -> Result<Vec<(String, usize)>, TokensError> {
    let (mut records, mut rest) = (Vec::new(), text);
    while !rest.is_empty() {
        let (stretch, behind) = rest.split_at(cut(rest, STRETCH));
        split_stretch(stretch, limit.max(1), tokens, &mut records)?;
        rest = behind;
    }
    Ok(records)
}

fn split_stretch(
    text: &str,
    limit: usize,
    tokens: &Tokens,
    records: &mut Vec<(String, usize)>,
) -> Result<(), TokensError> {
    let starts = tokens.starts(text)?;
    let mut from = 0;
    while from < text.len() {
        let rest = &text[from..];
        let first = starts.partition_point(|start| *start < from);
        let mut end = starts.get(first + limit).map_or(rest.len(), |end| end - from);
        from += loop {
            let cut = cut(rest, end);
            let record = rest[..cut].trim();
            let count = tokens.count(record)?;
            // Alone, a record may count a little more than within its text.
            let length = rest[..cut].trim_end().len();
            let smaller =
                rest.floor_char_boundary(length * limit / count.max(1)).max(rest.ceil_char_boundary(1));
            if count > limit && smaller < length {
                end = smaller;
                continue;
            }
            if count > 0 {
                records.push((record.to_owned(), count));
            }
            break cut;
        };
    }
    Ok(())
}

/// Where a record of at most `end` bytes of `rest` ends: at least one character, blanks behind it included.
fn cut(rest: &str, end: usize) -> usize {
    // A token may be less than a character: never stand still.
    let end = rest.floor_char_boundary(end).max(rest.ceil_char_boundary(1));
    if end == rest.len() {
        return end;
    }
    // A bound just behind the window is as good as one in it, if only blanks lie between.
    let ahead = &rest[..rest.ceil_char_boundary(end + AHEAD)];
    let fits = |at: &usize| *at > 0 && ahead[..*at].trim_end().len() <= end;
    let late = |at: &usize| fits(at) && *at >= end / 2;
    let paragraph = || ahead.rmatch_indices("\n\n").map(|(at, _)| at + 2).find(late);
    let sentence = || ahead.split_sentence_bound_indices().map(|(at, _)| at).filter(late).last();
    let word = || ahead.split_word_bound_indices().map(|(at, _)| at).rfind(fits);
    paragraph().or_else(sentence).or_else(word).unwrap_or(end)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tokens::tests::word_tokenizer;

    fn records(text: &str, limit: usize) -> Vec<String> {
        let cut = split(text, limit, &word_tokenizer()).unwrap();
        cut.into_iter().map(|(record, _)| record).collect()
    }

    #[test]
    fn a_text_that_fits_is_one_record() {
        assert_eq!(records("a b a", 3), ["a b a"]);
    }

    #[test]
    fn paragraphs_are_kept_together_where_they_fit() {
        assert_eq!(records("a a a\n\nb b b\n\na a", 4), ["a a a", "b b b", "a a"]);
    }

    #[test]
    fn a_long_paragraph_is_cut_between_sentences() {
        assert_eq!(
            records("One two three. Four five six. Seven.", 5),
            ["One two three.", "Four five six.", "Seven."]
        );
    }

    #[test]
    fn a_long_sentence_is_cut_between_words() {
        assert_eq!(records("a b c d e f g", 3), ["a b c", "d e f", "g"]);
    }

    #[test]
    fn a_text_longer_than_is_tokenised_at_once_is_cut_between_paragraphs_and_nothing_is_lost() {
        let text = "a a b\n\n".repeat(STRETCH / 7 * 3 / 2);
        let records = records(text.trim_end(), 3000);
        assert_eq!(records.join("\n\n"), text.trim_end());
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_no_record_is_too_long(text in "[a-z .\u{e9}\u{4e2d}\u{1f600}\n]{0,200}", limit in 1_usize..12) {
            let tokens = word_tokenizer();
            let cut = split(&text, limit, &tokens).unwrap();
            for (record, count) in &cut {
                prop_assert_eq!(tokens.count(record).unwrap(), *count);
                prop_assert!(*count <= limit, "{} > {}: {:?}", count, limit, record);
            }
            let dense = |text: &str| text.split_whitespace().collect::<String>();
            let joined: String = cut.iter().map(|(record, _)| record.as_str()).collect();
            prop_assert_eq!(dense(&joined), dense(&text));
        }
    }
}

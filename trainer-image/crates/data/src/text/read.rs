//! Documents of a file, one at a time.

use std::io::{BufRead, Read as _};

use cooperator_contract::run::{TextFormat, TextOptions};

use super::formats::format_of;
use super::row::text_of;

/// Longest line in bytes, 16 MiB.
pub const MAX_LINE: usize = 16 << 20;
/// A stretch of plain text is handed on at the next empty line once it has so many bytes.
const STRETCH: usize = 256 << 10;
/// And at the next line break once it has so many.
const MAX_STRETCH: usize = 1 << 20;
/// Bad rows named in an error.
const NAMED_ROWS: usize = 10;

/// A file that is not the text it should be. `file` is its name in the source.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Bytes that are no UTF-8.
    #[error("{file}: line {line}, byte {byte} of the file is not UTF-8; convert the file to UTF-8")]
    NotUtf8 {
        /// Name.
        file: String,
        /// From 1.
        line: u64,
        /// From 0.
        byte: u64,
    },
    /// A NUL byte: a binary file.
    #[error(
        "{file}: line {line} has a NUL byte, so this is no text; remove the file or export it as UTF-8 text"
    )]
    Binary {
        /// Name.
        file: String,
        /// From 1.
        line: u64,
    },
    /// A file of another kind, by how it begins.
    #[error("{file}: this is {what}, not UTF-8 text; {way}")]
    Format {
        /// Name.
        file: String,
        /// What it is.
        what: &'static str,
        /// The way out.
        way: &'static str,
    },
    /// A line beyond [`MAX_LINE`].
    #[error("{file}: line {line} is longer than {MAX_LINE} bytes; break it into shorter lines")]
    LongLine {
        /// Name.
        file: String,
        /// From 1.
        line: u64,
    },
    /// Rows that are no JSON object with the text field.
    #[error("{file}: {count} bad rows, first {rows}: row {row}: {cause}")]
    BadRows {
        /// Name.
        file: String,
        /// How many in all.
        count: u64,
        /// Numbers of the first ten, from 1.
        rows: String,
        /// The first.
        row: u64,
        /// What is wrong with the first, and the way out.
        cause: String,
    },
    /// The disk.
    #[error("{file}: {source}")]
    Io {
        /// Name.
        file: String,
        /// Why.
        source: std::io::Error,
    },
}

/// Hands every document of a file to `each`, as it is written there. Empty rows are skipped; every row is looked at
/// before bad ones are reported.
///
/// # Errors
/// [`ReadError`] of the file, or whatever `each` returns.
pub fn documents<E: From<ReadError>>(
    file: &str,
    mut reader: impl BufRead,
    options: &TextOptions,
    each: impl FnMut(&str) -> Result<(), E>,
) -> Result<(), E> {
    let start = reader.fill_buf().map_err(|source| ReadError::Io { file: file.to_owned(), source })?;
    if let Some((what, way)) = format_of(start) {
        return Err(ReadError::Format { file: file.to_owned(), what, way }.into());
    }
    let lines = Lines { file, reader, line: 0, offset: 0, bytes: Vec::new() };
    let lower = file.to_ascii_lowercase();
    let rows = match options.format {
        TextFormat::JsonLines => true,
        TextFormat::Plain => false,
        TextFormat::Auto => lower.ends_with(".jsonl") || lower.ends_with(".ndjson"),
    };
    if rows { json_lines(lines, &options.text_field, each) } else { plain(lines, each) }
}

fn plain<E: From<ReadError>>(
    mut lines: Lines<'_, impl BufRead>,
    mut each: impl FnMut(&str) -> Result<(), E>,
) -> Result<(), E> {
    let mut stretch = String::new();
    while let Some(line) = lines.next()? {
        let empty = line.trim().is_empty();
        stretch.push_str(line);
        if stretch.len() >= MAX_STRETCH || (empty && stretch.len() >= STRETCH) {
            each(&stretch)?;
            stretch.clear();
        }
    }
    if stretch.is_empty() { Ok(()) } else { each(&stretch) }
}

fn json_lines<E: From<ReadError>>(
    mut lines: Lines<'_, impl BufRead>,
    field: &str,
    mut each: impl FnMut(&str) -> Result<(), E>,
) -> Result<(), E> {
    let mut bad: Option<(u64, String)> = None;
    let (mut count, mut named) = (0_u64, Vec::new());
    while let Some(line) = lines.next()? {
        let line = line.trim_start_matches('\u{feff}').trim();
        if line.is_empty() {
            continue;
        }
        match text_of(line, field) {
            Ok(text) if bad.is_none() => each(&text)?,
            Ok(_) => {}
            Err(cause) => {
                count += 1;
                if named.len() < NAMED_ROWS {
                    named.push(lines.line.to_string());
                }
                bad.get_or_insert((lines.line, cause));
            }
        }
    }
    let Some((row, cause)) = bad else { return Ok(()) };
    let (file, rows) = (lines.file.to_owned(), named.join(", "));
    Err(ReadError::BadRows { file, count, rows, row, cause }.into())
}

/// Lines of a file as UTF-8, each with its line break, of bounded length.
struct Lines<'a, R> {
    file: &'a str,
    reader: R,
    /// Number of the last line handed out, from 1.
    line: u64,
    /// Where the next line begins.
    offset: u64,
    bytes: Vec<u8>,
}

impl<R: BufRead> Lines<'_, R> {
    fn next(&mut self) -> Result<Option<&str>, ReadError> {
        self.bytes.clear();
        let file = || self.file.to_owned();
        let limit = MAX_LINE as u64 + 1;
        let read = self.reader.by_ref().take(limit).read_until(b'\n', &mut self.bytes);
        let read = read.map_err(|source| ReadError::Io { file: file(), source })? as u64;
        if read == 0 {
            return Ok(None);
        }
        self.line += 1;
        let (line, offset) = (self.line, self.offset);
        self.offset += read;
        if self.bytes.contains(&0) {
            return Err(ReadError::Binary { file: file(), line });
        }
        if read == limit {
            return Err(ReadError::LongLine { file: file(), line });
        }
        match std::str::from_utf8(&self.bytes) {
            Ok(text) => Ok(Some(text)),
            Err(error) => {
                Err(ReadError::NotUtf8 { file: file(), line, byte: offset + error.valid_up_to() as u64 })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(file: &str, bytes: &[u8]) -> Result<Vec<String>, ReadError> {
        let options =
            TextOptions { format: TextFormat::Auto, text_field: "text".to_owned(), record_tokens: 512 };
        let mut found = Vec::new();
        documents(file, bytes, &options, |text| {
            found.push(text.to_owned());
            Ok::<_, ReadError>(())
        })?;
        Ok(found)
    }

    #[test]
    fn rows_are_documents_and_empty_rows_are_skipped() {
        let found = read("a.jsonl", b"\xef\xbb\xbf{\"text\":\"one\"}\r\n\n  \n{\"text\":\"two\",\"more\":1}")
            .unwrap();
        assert_eq!(found, ["one", "two"]);
    }

    #[test]
    fn the_first_ten_bad_rows_are_numbered_and_their_content_is_not_repeated() {
        let rows = "{\"text\":\"fine\"}\n".to_owned() + &"{\"secret\":1}\n".repeat(12);
        let error = read("a.jsonl", rows.as_bytes()).unwrap_err().to_string();
        assert_eq!(
            error,
            "a.jsonl: 12 bad rows, first 2, 3, 4, 5, 6, 7, 8, 9, 10, 11: row 2: no field `text`; \
             set spec.text.textField or correct the row"
        );
        let error = read("a.jsonl", b"{\"text\": 5}\n{\"text\":\"cut o").unwrap_err().to_string();
        assert!(error.contains("2 bad rows, first 1, 2: row 1: field `text` is no string"), "{error}");
    }

    #[test]
    fn bytes_that_are_no_utf8_are_named_by_line_and_byte() {
        let error = read("a.txt", b"one\ntwo \xff\n").unwrap_err().to_string();
        assert_eq!(error, "a.txt: line 2, byte 8 of the file is not UTF-8; convert the file to UTF-8");
    }

    #[test]
    fn a_binary_file_and_an_endless_line_are_refused() {
        assert!(matches!(read("a.txt", b"PK\x00\x01"), Err(ReadError::Binary { line: 1, .. })));
        let long = vec![b'a'; MAX_LINE + 1];
        assert!(matches!(read("a.txt", &long), Err(ReadError::LongLine { line: 1, .. })));
        assert_eq!(read("a.txt", &long[1..]).unwrap().len(), 1);
    }

    /// A line that goes on for this many bytes, and how many of them were asked for.
    struct Endless {
        left: u64,
        handed_out: u64,
    }

    impl BufRead for Endless {
        fn fill_buf(&mut self) -> std::io::Result<&[u8]> {
            static PIECE: [u8; 64 << 10] = [b'a'; 64 << 10];
            Ok(&PIECE[..usize::try_from(self.left).map_or(PIECE.len(), |left| left.min(PIECE.len()))])
        }

        fn consume(&mut self, bytes: usize) {
            self.left -= bytes as u64;
            self.handed_out += bytes as u64;
        }
    }

    impl std::io::Read for Endless {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            let read = self.fill_buf()?.read(into)?;
            self.consume(read);
            Ok(read)
        }
    }

    #[test]
    fn of_a_line_of_a_gibibyte_no_more_is_read_than_the_bound() {
        for format in [TextFormat::Plain, TextFormat::JsonLines] {
            let options = TextOptions { format, text_field: "text".to_owned(), record_tokens: 512 };
            let mut line = Endless { left: 1 << 30, handed_out: 0 };
            let error = documents("a", &mut line, &options, |_| Ok::<_, ReadError>(())).unwrap_err();
            assert!(matches!(error, ReadError::LongLine { line: 1, .. }), "{error}");
            assert_eq!(line.handed_out, MAX_LINE as u64 + 1);
        }
    }

    #[test]
    fn a_long_plain_text_comes_in_stretches_that_end_with_a_paragraph_and_lose_nothing() {
        let paragraph = format!("{}\n\n", "word ".repeat(10_000));
        let text = paragraph.repeat(12);
        let found = read("a.txt", text.as_bytes()).unwrap();
        assert!(found.len() > 1 && found.iter().all(|stretch| stretch.ends_with("\n\n")));
        assert_eq!(found.concat(), text);
    }

    const ROWS: &str =
        "{\"text\":\"one\",\"id\":1}\r\n\n{\"deep\":[{\"a\":[1e9,null]}],\"text\":\"tw\\u00f6\"}\n";

    proptest! {
        #[test]
        fn a_file_that_was_changed_is_refused_in_one_line_or_read(
            bytes in cooperator_mutate::mutated(vec![ROWS.into(), "Fellow citizens,\n\nI am.\n".into()]),
        ) {
            for file in ["a.jsonl", "a.txt"] {
                if let Err(error) = read(file, &bytes) {
                    let line = error.to_string();
                    prop_assert!(!line.contains(char::is_control) && line.len() < 1000, "{line}");
                }
            }
        }
    }
}

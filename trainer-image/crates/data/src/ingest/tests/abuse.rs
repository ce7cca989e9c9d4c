//! Files that members give, most of them no text at all: each is refused by its exact line, or becomes these records.

use super::*;

mod rows;

/// What becomes of a file.
enum Becomes {
    /// The line behind "contribution `...`: ".
    Refused(&'static str),
    /// Records, in order.
    Records(&'static [&'static str]),
    /// No record, and no fault of the file.
    Nothing,
}

use Becomes::{Nothing, Records, Refused};

struct Case {
    name: &'static str,
    file: &'static str,
    bytes: Vec<u8>,
    becomes: Becomes,
}

fn case(name: &'static str, file: &'static str, bytes: impl Into<Vec<u8>>, becomes: Becomes) -> Case {
    Case { name, file, bytes: bytes.into(), becomes }
}

/// A file of plain text.
fn text(name: &'static str, bytes: impl Into<Vec<u8>>, becomes: Becomes) -> Case {
    case(name, "a.txt", bytes, becomes)
}

/// A file of JSON rows.
fn rows(name: &'static str, bytes: impl Into<Vec<u8>>, becomes: Becomes) -> Case {
    case(name, "a.jsonl", bytes, becomes)
}

const BINARY: Becomes =
    Refused("a.txt: line 1 has a NUL byte, so this is no text; remove the file or export it as UTF-8 text");

fn encodings() -> Vec<Case> {
    vec![
        text(
            "bad UTF-8 at the start",
            b"\xc3(ab",
            Refused("a.txt: line 1, byte 0 of the file is not UTF-8; convert the file to UTF-8"),
        ),
        text(
            "bad UTF-8 in the middle",
            b"one\ntwo \xff three\n",
            Refused("a.txt: line 2, byte 8 of the file is not UTF-8; convert the file to UTF-8"),
        ),
        text(
            "a character cut off at the end",
            b"one\ncaf\xc3",
            Refused("a.txt: line 2, byte 7 of the file is not UTF-8; convert the file to UTF-8"),
        ),
        text(
            "a slash written too long",
            b"\xc0\xaf",
            Refused("a.txt: line 1, byte 0 of the file is not UTF-8; convert the file to UTF-8"),
        ),
        text(
            "a surrogate written as UTF-8",
            b"a\xed\xa0\x80",
            Refused("a.txt: line 1, byte 1 of the file is not UTF-8; convert the file to UTF-8"),
        ),
        text(
            "a code point beyond the last",
            b"\xf4\x90\x80\x80",
            Refused("a.txt: line 1, byte 0 of the file is not UTF-8; convert the file to UTF-8"),
        ),
        text(
            "Latin-1",
            b"caf\xe9 au lait",
            Refused("a.txt: line 1, byte 3 of the file is not UTF-8; convert the file to UTF-8"),
        ),
        rows(
            "bad UTF-8 in the second row",
            b"{\"text\":\"one\"}\n{\"text\":\"\xff\"}\n",
            Refused("a.jsonl: line 2, byte 24 of the file is not UTF-8; convert the file to UTF-8"),
        ),
        text("a UTF-8 mark", "\u{feff}one", Records(&["one"])),
        text("a UTF-8 mark on a later line", "one\n\u{feff}two", Records(&["one\ntwo"])),
        text("a UTF-8 mark alone", "\u{feff}", Nothing),
        rows("two UTF-8 marks before a row", "\u{feff}\u{feff}{\"text\":\"one\"}", Records(&["one"])),
        text(
            "UTF-16, low byte first",
            b"\xff\xfeo\0n\0",
            Refused("a.txt: this is UTF-16 text, not UTF-8 text; convert it to UTF-8"),
        ),
        text(
            "UTF-16, high byte first",
            b"\xfe\xff\0o\0n",
            Refused("a.txt: this is UTF-16 text, not UTF-8 text; convert it to UTF-8"),
        ),
        text(
            "UTF-32, low byte first",
            b"\xff\xfe\0\0o\0\0\0",
            Refused("a.txt: this is UTF-32 text, not UTF-8 text; convert it to UTF-8"),
        ),
        text(
            "UTF-32, high byte first",
            b"\0\0\xfe\xff\0\0\0o",
            Refused("a.txt: this is UTF-32 text, not UTF-8 text; convert it to UTF-8"),
        ),
        text("UTF-16 without a mark", b"o\0n\0e\0", BINARY),
        text("a letter and its accent apart", "cafe\u{301}", Records(&["caf\u{e9}"])),
        text("text that runs backwards", "a\u{202e}b", Records(&["a\u{202e}b"])),
    ]
}

fn lines() -> Vec<Case> {
    vec![
        text("an empty file", "", Nothing),
        rows("an empty file of rows", "", Nothing),
        text("blanks only", " \t\r\n \u{a0}\n\n", Nothing),
        text("a million empty lines", "\n".repeat(1_000_000), Nothing),
        rows("a million empty rows", "\n".repeat(1_000_000), Nothing),
        text("lines of Windows", "one\r\n\r\ntwo\r\n", Records(&["one\n\ntwo"])),
        text("lines of old Macs", "one\rtwo\r", Records(&["one\ntwo"])),
        text("lines of Unicode's own", "one\u{2028}two\u{2029}three", Records(&["one\ntwo\nthree"])),
        rows(
            "rows of old Macs",
            "{\"text\":\"one\"}\r{\"text\":\"two\"}\r",
            Refused(
                "a.jsonl: 1 bad rows, first 1: row 1: not JSON, column 16 (trailing characters); correct the row",
            ),
        ),
        rows("a last row without its line break", "{\"text\":\"one\"}", Records(&["one"])),
        text("a NUL byte", b"one\0two", BINARY),
        text(
            "a NUL byte on the third line",
            b"one\ntwo\nth\0ree\n",
            Refused(
                "a.txt: line 3 has a NUL byte, so this is no text; remove the file or export it as UTF-8 text",
            ),
        ),
        text("control characters", "a\u{1}b\u{1b}[31mc\u{7f}", Records(&["ab[31mc"])),
        text("a tab within a line", "a\tb", Records(&["a\tb"])),
        text(
            "a line beyond the bound",
            [b"one\n".as_slice(), &vec![b'a'; (16 << 20) + 1]].concat(),
            Refused("a.txt: line 2 is longer than 16777216 bytes; break it into shorter lines"),
        ),
        rows(
            "a row beyond the bound",
            vec![b'['; (16 << 20) + 1],
            Refused("a.jsonl: line 1 is longer than 16777216 bytes; break it into shorter lines"),
        ),
    ]
}

fn formats() -> Vec<Case> {
    let mut tar = vec![b'a'; 512];
    tar[257..262].copy_from_slice(b"ustar");
    vec![
        text(
            "a ZIP archive",
            b"PK\x03\x04\x14\0",
            Refused(
                "a.txt: this is a ZIP archive or an office document, not UTF-8 text; \
                 unpack it and give the files in it",
            ),
        ),
        text(
            "an empty ZIP archive",
            b"PK\x05\x06\0\0",
            Refused(
                "a.txt: this is an empty ZIP archive, not UTF-8 text; unpack it and give the files in it",
            ),
        ),
        rows(
            "gzip",
            b"\x1f\x8b\x08\0\0\0\0\0",
            Refused("a.jsonl: this is gzip, not UTF-8 text; unpack it and give the files in it"),
        ),
        rows(
            "zstd",
            b"\x28\xb5\x2f\xfd\x24",
            Refused("a.jsonl: this is zstd, not UTF-8 text; unpack it and give the files in it"),
        ),
        text(
            "xz",
            b"\xfd7zXZ\0\0",
            Refused("a.txt: this is xz, not UTF-8 text; unpack it and give the files in it"),
        ),
        text(
            "a 7z archive",
            b"7z\xbc\xaf\x27\x1c\0",
            Refused("a.txt: this is a 7z archive, not UTF-8 text; unpack it and give the files in it"),
        ),
        text(
            "a tar archive",
            tar,
            Refused("a.txt: this is a tar archive, not UTF-8 text; unpack it and give the files in it"),
        ),
        text(
            "a PDF",
            b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n",
            Refused("a.txt: this is a PDF, not UTF-8 text; export its text as UTF-8"),
        ),
        text(
            "a PDF of nothing but ASCII",
            "%PDF-1.4\n1 0 obj\n<< /Type /Catalog >>\nendobj\n",
            Refused("a.txt: this is a PDF, not UTF-8 text; export its text as UTF-8"),
        ),
        text(
            "an RTF document",
            "{\\rtf1\\ansi one}",
            Refused("a.txt: this is an RTF document, not UTF-8 text; export its text as UTF-8"),
        ),
        text(
            "a PNG image",
            b"\x89PNG\r\n\x1a\n",
            Refused("a.txt: this is a PNG image, not UTF-8 text; export its text as UTF-8"),
        ),
        text(
            "a JPEG image",
            b"\xff\xd8\xff\xe0",
            Refused("a.txt: this is a JPEG image, not UTF-8 text; export its text as UTF-8"),
        ),
        rows(
            "a Parquet file",
            b"PAR1\x15\x04\x15",
            Refused("a.jsonl: this is a Parquet file, not UTF-8 text; export its text as UTF-8"),
        ),
        rows(
            "an SQLite database",
            b"SQLite format 3\0",
            Refused("a.jsonl: this is an SQLite database, not UTF-8 text; export its text as UTF-8"),
        ),
        text(
            "a pickle of torch",
            b"\x80\x02\x8a\x0al\xfc\x9cF",
            Refused(
                "a.txt: this is a pickle, which runs code when it is read, not UTF-8 text; export its text as UTF-8",
            ),
        ),
        rows(
            "a pickle of today",
            b"\x80\x04\x95\x10\0",
            Refused(
                "a.jsonl: this is a pickle, which runs code when it is read, not UTF-8 text; \
                 export its text as UTF-8",
            ),
        ),
        // Nobody unpickles it here: it is the characters it is written in.
        text("a pickle in ASCII", "(dp0\nS'a'\nI1\ns.", Records(&["(dp0\nS'a'\nI1\ns."])),
        text("a program", b"\x7fELF\x02\x01\x01\0", BINARY),
        text("a model's weights", b"\x40\0\0\0\0\0\0\0{}", BINARY),
        text("a GGUF model", b"GGUF\x03\0\0\0", BINARY),
    ]
}

#[tokio::test]
async fn every_file_that_is_no_text_is_refused_by_its_place_and_the_way_out_and_every_other_has_one_form() {
    let cases: Vec<Case> = [encodings(), lines(), formats(), rows::cases()].into_iter().flatten().collect();
    assert!(cases.len() >= 60, "{} cases", cases.len());
    let bench = Bench::new().await;
    let mut wrong = Vec::new();
    for (number, Case { name, file, bytes, becomes }) in cases.into_iter().enumerate() {
        let contribution = format!("case-{number}");
        bench.server.set_object("works", &format!("{contribution}/{file}"), bytes);
        let mut task = bench.task(&[&contribution]);
        task.text.record_tokens = 512;
        let found = match bench.run(&task).await {
            Ok(digest) => {
                let manifest = bench.manifest(&digest).await;
                let records = bench.records(&manifest.shards).await;
                Ok(records.into_iter().map(|record| record.text).collect::<Vec<_>>())
            }
            Err(error) => Err(error),
        };
        let right = match (&found, &becomes) {
            (Ok(records), Records(expected)) => records == expected,
            (Err(error @ IngestError::Text { .. }), Refused(line)) => {
                error.reason() == FailureReason::SourceUnreadable
                    && error.to_string() == format!("contribution `{contribution}`: {line}")
            }
            (Err(error), Nothing) => error.reason() == FailureReason::NoRecords,
            _ => false,
        };
        if !right {
            wrong.push(format!(
                "{name}: {found:?} {}",
                found.as_ref().err().map_or_else(String::new, ToString::to_string)
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

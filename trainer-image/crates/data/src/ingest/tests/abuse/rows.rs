//! Rows of JSON that are none, or not what a row must be.

use super::*;

const NO_STRING: Becomes = Refused(
    "a.jsonl: 1 bad rows, first 1: row 1: field `text` is no string; set spec.text.textField or correct the row",
);
const NO_FIELD: Becomes = Refused(
    "a.jsonl: 1 bad rows, first 1: row 1: no field `text`; set spec.text.textField or correct the row",
);
const NO_OBJECT: Becomes = Refused("a.jsonl: 1 bad rows, first 1: row 1: not a JSON object; correct the row");
const TWICE: Becomes =
    Refused("a.jsonl: 1 bad rows, first 1: row 1: field `text` is there twice; correct the row");

pub(super) fn cases() -> Vec<Case> {
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    vec![
        rows(
            "a row cut off in its text",
            "{\"text\":\"one\"}\n{\"text\":\"cut o",
            Refused(
                "a.jsonl: 1 bad rows, first 2: row 2: not JSON, column 14 (EOF while parsing a string); correct the row",
            ),
        ),
        rows(
            "a row cut off before its text",
            "{\"text\":",
            Refused(
                "a.jsonl: 1 bad rows, first 1: row 1: not JSON, column 8 (EOF while parsing a value); correct the row",
            ),
        ),
        rows("a row that is a list", "[\"text\"]", NO_OBJECT),
        rows("a row that is a number", "5", NO_OBJECT),
        rows("a row that is a string", "\"text\"", NO_OBJECT),
        rows("a row that is nothing", "null", NO_OBJECT),
        rows("a row of 100,000 brackets", "[".repeat(100_000), NO_OBJECT),
        rows("a text that is a number", "{\"text\":5}", NO_STRING),
        rows("a text that is below zero", "{\"text\":-5}", NO_STRING),
        rows("a text that is a fraction", "{\"text\":0.5}", NO_STRING),
        rows("a text that is true", "{\"text\":true}", NO_STRING),
        rows("a text that is nothing", "{\"text\":null}", NO_STRING),
        rows("a text that is a list", "{\"text\":[\"one\"]}", NO_STRING),
        rows("a text that is an object", "{\"text\":{\"text\":\"one\"}}", NO_STRING),
        rows("a text of 100,000 brackets", format!("{{\"text\":{deep}}}"), NO_STRING),
        rows("no text", "{\"title\":\"one\"}", NO_FIELD),
        rows("an empty object", "{}", NO_FIELD),
        rows("a text by another name", "{\"Text\":\"one\"}", NO_FIELD),
        rows("two texts", "{\"text\":\"one\",\"text\":\"two\"}", TWICE),
        rows("a text and a number of the same name", "{\"text\":\"one\",\"text\":2}", TWICE),
        rows("something else twice", "{\"id\":1,\"id\":2,\"text\":\"one\"}", Records(&["one"])),
        rows("a name in escapes", "{\"te\\u0078t\":\"one\"}", Records(&["one"])),
        rows("10^400 beside the text", "{\"n\":1e400,\"text\":\"one\"}", Records(&["one"])),
        rows(
            "a number of 100,000 digits beside the text",
            format!("{{\"n\":{},\"text\":\"one\"}}", "9".repeat(100_000)),
            Records(&["one"]),
        ),
        rows(
            "100,000 brackets beside the text",
            format!("{{\"deep\":{deep},\"text\":\"one\"}}"),
            Records(&["one"]),
        ),
        rows(
            "10^400 as the text",
            "{\"text\":1e400}",
            Refused(
                "a.jsonl: 1 bad rows, first 1: row 1: not JSON, column 13 (number out of range); correct the row",
            ),
        ),
        rows(
            "half a surrogate pair in the text",
            "{\"text\":\"a\\ud800b\"}",
            Refused(
                "a.jsonl: 1 bad rows, first 1: row 1: not JSON, column 17 (unexpected end of hex escape); correct the row",
            ),
        ),
        rows(
            "half a surrogate pair beside the text",
            "{\"n\":\"\\ud800\",\"text\":\"one\"}",
            Records(&["one"]),
        ),
        rows("a NUL in escapes", "{\"text\":\"a\\u0000b\"}", Records(&["ab"])),
        rows(
            "a bare control character in the text",
            "{\"text\":\"a\u{1}\"}",
            Refused(
                "a.jsonl: 1 bad rows, first 1: row 1: not JSON, column 11 \
                 (control character (\\u0000-\\u001F) found while parsing a string); correct the row",
            ),
        ),
        rows(
            "single quotes",
            "{'text':'one'}",
            Refused(
                "a.jsonl: 1 bad rows, first 1: row 1: not JSON, column 2 (key must be a string); correct the row",
            ),
        ),
        rows(
            "a comma too many",
            "{\"text\":\"one\",}",
            Refused(
                "a.jsonl: 1 bad rows, first 1: row 1: not JSON, column 15 (trailing comma); correct the row",
            ),
        ),
        rows(
            "two rows on one line",
            "{\"text\":\"one\"}{\"text\":\"two\"}",
            Refused(
                "a.jsonl: 1 bad rows, first 1: row 1: not JSON, column 15 (trailing characters); correct the row",
            ),
        ),
        rows(
            "an object over three lines",
            "{\n\"text\":\"one\"\n}\n",
            Refused(
                "a.jsonl: 3 bad rows, first 1, 2, 3: row 1: not JSON, column 1 (EOF while parsing an object); correct the row",
            ),
        ),
        rows(
            "a page of HTML",
            "<html><body>404</body></html>",
            Refused(
                "a.jsonl: 1 bad rows, first 1: row 1: not JSON, column 1 (expected value); correct the row",
            ),
        ),
        rows(
            "twelve bad rows",
            "{\"text\":\"one\"}\n".to_owned() + &"{\"secret\":1}\n".repeat(12),
            Refused(
                "a.jsonl: 12 bad rows, first 2, 3, 4, 5, 6, 7, 8, 9, 10, 11: row 2: no field `text`; \
                 set spec.text.textField or correct the row",
            ),
        ),
        rows("an empty text", "{\"text\":\"\"}", Nothing),
        rows("a blank text", "{\"text\":\" \\n\\t\"}", Nothing),
    ]
}

//! Files that are no UTF-8 text whatever their name says, known by how they begin. Named before a byte of them is read
//! as text: a compressed file would only be "not UTF-8", and some PDFs would pass as texts.

/// What to do with a file that holds other files.
const UNPACK: &str = "unpack it and give the files in it";
/// What to do with a document.
const EXPORT: &str = "export its text as UTF-8";
/// What to do with text in another encoding.
const CONVERT: &str = "convert it to UTF-8";

/// How a format begins, what it is, and the way out. The longer of two that begin alike comes first.
const BEGINNINGS: [(&[u8], &str, &str); 22] = [
    (b"\xff\xfe\0\0", "UTF-32 text", CONVERT),
    (b"\0\0\xfe\xff", "UTF-32 text", CONVERT),
    (b"\xff\xfe", "UTF-16 text", CONVERT),
    (b"\xfe\xff", "UTF-16 text", CONVERT),
    (b"PK\x03\x04", "a ZIP archive or an office document", UNPACK),
    (b"PK\x05\x06", "an empty ZIP archive", UNPACK),
    (b"\x1f\x8b", "gzip", UNPACK),
    (b"\x28\xb5\x2f\xfd", "zstd", UNPACK),
    (b"\xfd7zXZ\0", "xz", UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", UNPACK),
    (b"Rar!\x1a\x07", "a RAR archive", UNPACK),
    (b"%PDF-", "a PDF", EXPORT),
    (b"{\\rtf", "an RTF document", EXPORT),
    (b"\xd0\xcf\x11\xe0", "an old office document", EXPORT),
    (b"PAR1\x15", "a Parquet file", EXPORT),
    (b"SQLite format 3\0", "an SQLite database", EXPORT),
    (b"\x89PNG", "a PNG image", EXPORT),
    (b"\xff\xd8\xff", "a JPEG image", EXPORT),
    (b"\x80\x02", "a pickle, which runs code when it is read", EXPORT),
    (b"\x80\x03", "a pickle, which runs code when it is read", EXPORT),
    (b"\x80\x04", "a pickle, which runs code when it is read", EXPORT),
    (b"\x80\x05", "a pickle, which runs code when it is read", EXPORT),
];

/// Where a tar archive has its name of itself, and that name.
const TAR: (usize, &[u8]) = (257, b"ustar");

/// What a file with this beginning is, and the way out; none: it may be text.
pub(super) fn format_of(start: &[u8]) -> Option<(&'static str, &'static str)> {
    let (at, name) = TAR;
    if start.get(at..at + name.len()) == Some(name) {
        return Some(("a tar archive", UNPACK));
    }
    BEGINNINGS.iter().find(|(begins, ..)| start.starts_with(begins)).map(|&(_, what, way)| (what, way))
}

//! Bytes of a GGUF header in their order, never more than the file has.

use std::io::Read;

use super::GgufError;
use super::header::malformed;
use crate::line::one_line;
use crate::weights::MAX_HEADER;

/// A reader that knows where it is and what is left.
pub(super) struct Source<R> {
    reader: R,
    at: u64,
    /// Bytes of the whole file.
    end: u64,
}

impl<R: Read> Source<R> {
    pub(super) fn new(bytes: u64, reader: R) -> Self {
        Self { reader, at: 0, end: bytes }
    }

    /// Bytes read so far.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// Whether so many bytes are there.
    pub(super) fn expect(&self, bytes: u64, what: &str) -> Result<(), GgufError> {
        let (at, left) = (self.at, self.end - self.at);
        if bytes > left {
            return Err(malformed(format!(
                "cut short: {what} takes {bytes} bytes at byte {at}, {left} are left"
            )));
        }
        if bytes > MAX_HEADER.saturating_sub(at) {
            return Err(malformed(format!(
                "{what} takes {bytes} bytes at byte {at}, headers have at most {MAX_HEADER}"
            )));
        }
        Ok(())
    }

    /// Says that so many bytes are read or passed over now.
    fn claim(&mut self, bytes: u64, what: &str) -> Result<(), GgufError> {
        self.expect(bytes, what)?;
        self.at += bytes;
        Ok(())
    }

    pub(super) fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N], GgufError> {
        self.claim(N as u64, what)?;
        let mut bytes = [0; N];
        self.reader.read_exact(&mut bytes).map_err(failed)?;
        Ok(bytes)
    }

    pub(super) fn u32(&mut self, what: &str) -> Result<u32, GgufError> {
        self.array(what).map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self, what: &str) -> Result<u64, GgufError> {
        self.array(what).map(u64::from_le_bytes)
    }

    /// So many bytes.
    pub(super) fn bytes(&mut self, count: u64, what: &str) -> Result<Vec<u8>, GgufError> {
        self.claim(count, what)?;
        let mut bytes = vec![0; count as usize];
        self.reader.read_exact(&mut bytes).map_err(failed)?;
        Ok(bytes)
    }

    /// Passes over so many bytes.
    pub(super) fn skip(&mut self, count: u64, what: &str) -> Result<(), GgufError> {
        self.claim(count, what)?;
        std::io::copy(&mut self.reader.by_ref().take(count), &mut std::io::sink()).map_err(failed)?;
        Ok(())
    }

    /// A string with its length before it.
    pub(super) fn text(&mut self, what: &str) -> Result<Vec<u8>, GgufError> {
        let length = self.u64(what)?;
        self.bytes(length, what)
    }

    /// A string that names something.
    pub(super) fn name(&mut self, what: &str, most: u64) -> Result<String, GgufError> {
        let length = self.u64(what)?;
        if length > most {
            let at = self.at;
            return Err(malformed(format!(
                "{what} of {length} bytes at byte {at}, at most {most} are possible"
            )));
        }
        let bytes = self.bytes(length, what)?;
        String::from_utf8(bytes).map_err(|error| {
            let shown = one_line(&String::from_utf8_lossy(error.as_bytes()));
            malformed(format!("{what} is not UTF-8: `{shown}`"))
        })
    }
}

fn failed(source: std::io::Error) -> GgufError {
    GgufError::Io { file: "GGUF".to_owned(), source }
}

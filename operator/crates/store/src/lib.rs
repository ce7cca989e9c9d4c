//! Object storage: any S3, always path-style.
//!
//! [`Store`] is a Collective's bucket and prefix; keys are those of [`cooperator_contract::layout`], without the
//! prefix. Three layers, each on the one before:
//!
//! - objects: [`Store::get`], [`Store::put`], [`Store::head`], [`Store::list`], [`Store::delete`], and files in
//!   parts ([`Store::put_file`], [`Store::get_to_file`]);
//! - content: [`Store::put_blob`], [`Store::get_blob`] and their file forms, addressed and checked by sha256;
//! - manifests: [`Store::put_manifest`], [`Store::get_manifest`]: canonical JSON, written last, checked when read.
//!
//! A store is opened with the Collective's key ([`Store::connect`]), or, on a machine that is not trusted with it, by a
//! broker ([`Store::brokered`]) that grants a URL for each call. All else is the same.
//!
//! What may pass by itself (5xx, 429, a broken connection) is retried inside with exponential backoff; what comes
//! out as [`Error::Unavailable`] has been tried [`Store::with_attempts`] times. Nothing here overwrites under a race:
//! a key has a single writer.

mod access;
mod broker;
mod client;
mod content;
mod credentials;
mod error;
mod multipart;
mod object;
mod presign;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;
mod transfer;

pub use client::Store;
pub use credentials::{Credentials, MissingCredentials};
pub use error::Error;
pub use object::Object;

/// What this crate's functions return.
pub type Result<T> = std::result::Result<T, Error>;

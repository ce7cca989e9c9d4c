//! The OpenAI API as far as it is served here: requests checked into one form, answers in OpenAI's shapes.

pub mod answer;
pub mod error;
pub mod request;

pub use error::ApiError;

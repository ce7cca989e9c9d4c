//! Real HTTP over loopback, with a server behind the gateway that says what a test tells it to: any OpenAI-compatible
//! server may stand there.

mod calls;
mod harness;
mod model;
mod money;
mod mutated;
mod requests;
mod streams;

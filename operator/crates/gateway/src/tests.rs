//! Real HTTP over loopback, with a server behind the gateway that says what a test tells it to: any OpenAI-compatible
//! server may stand there.

mod billing;
mod calls;
mod harness;
mod hostile;
mod logs;
mod model;
mod money;
mod mutated;
mod outage;
mod raw;
mod requests;
mod streams;

//! How a rented machine becomes a node: the token it is given, the script it runs at its first start, and which request for
//! a certificate is its own. Pure: no client, no clock.
//!
//! The machine is taken for hostile. Its token buys one certificate, for one node name, within the hour ([`approve`]); what
//! it says about itself (labels, taints, capacity) counts for nothing until the operator has looked.

pub mod approve;
pub mod claim;
pub mod request;
pub mod token;
pub mod user_data;

pub use approve::{Decision, Expectation, decide};
pub use claim::Claim;
pub use token::Token;
pub use user_data::{Artifact, Form, Tunnel, UserData};

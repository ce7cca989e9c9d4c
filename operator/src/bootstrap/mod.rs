//! How a rented machine becomes a node, as far as the API server has a part in it. What is decided, and what the machine is
//! given, is in `cooperator_join`.

pub mod csr;

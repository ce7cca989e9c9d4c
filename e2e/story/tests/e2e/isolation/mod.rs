//! Two collectives in two namespaces: whatever one has, it opens nothing of the other's.

mod access;
mod keys;
mod references;

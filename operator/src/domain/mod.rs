//! From the API's types to the domain's, where several kinds need the same.

mod bucket;
mod consent;
mod duration;
mod finding;
mod quantity;
mod resources;
mod text;

pub use bucket::{bucket, located};
pub use consent::{Terms, split_sheet};
pub use duration::duration;
pub use finding::{Finding, Hold};
pub use quantity::{mebibytes, millis, units};
pub use resources::resources;
pub use text::{count, parse_time};

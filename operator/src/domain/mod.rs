//! From the API's types to the domain's, where several kinds need the same.

mod bucket;
mod consent;
mod duration;
mod finding;
mod pod;
mod quantity;
mod resources;
mod text;
mod told;

pub use bucket::{bucket, located};
pub use consent::{Terms, split_sheet};
pub use duration::duration;
pub use finding::{Finding, Hold};
pub use pod::{has_ended, newest};
pub use quantity::{mebibytes, millis, units};
pub use resources::resources;
pub use text::{count, parse_time};
pub use told::{amount, falls_in, sum};

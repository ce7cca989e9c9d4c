//! What a claim goes through, told with a vendor in memory.

mod chaos;
mod doubt;
mod life;
mod pure;
mod strays;
mod world;

//! What developers run: the real cluster, the benches, the demo, the tests, the policies and the image.

pub mod bench;
mod cargo;
pub mod cluster;
pub mod demo;
mod dependencies;
pub mod example;
pub mod explore;
pub mod faults;
pub mod fuzz;
pub mod guards;
pub mod honest;
pub mod image;
pub mod landed;
pub mod policies;
pub mod progress;
pub mod proxy;
pub mod results;
mod sources;
pub mod standin;
pub mod storm;
pub mod targets;
pub mod test;

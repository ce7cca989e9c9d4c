//! Faults of a network, drawn by a seed.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use crate::call::{Call, SERVERS, Server};

/// Faults in one telling.
const COUNT: usize = 4;
/// Shortest and longest fault, in milliseconds.
const LASTING: std::ops::RangeInclusive<u64> = 50..=3000;

/// The way that is bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// From the operator to the server: what it asks.
    Up,
    /// From the server to the operator: what it is told.
    Down,
}

impl Stream {
    /// Toxiproxy's word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Up => "upstream",
            Self::Down => "downstream",
        }
    }
}

/// What is bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Connections are closed, new ones refused; both ways.
    Cut,
    /// What is sent is lost.
    Silence,
    /// Connections are reset when something is sent.
    Reset,
    /// Few bytes pass in a second.
    Slow {
        /// How many, in 1024.
        kilobytes: u32,
    },
    /// All comes later.
    Late {
        /// How much, by half of it more or less.
        milliseconds: u32,
    },
    /// A connection is closed after so many bytes: in the middle of an answer, as likely as not.
    Short {
        /// How many.
        bytes: u32,
    },
}

/// A fault of the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// It begins at the call of this number, from 1: the server gets that call, what follows meets the fault.
    pub at: usize,
    /// Where.
    pub server: Server,
    /// What.
    pub kind: Kind,
    /// Which way.
    pub stream: Stream,
    /// How long.
    pub lasting: Duration,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, server, kind, stream, lasting } = self;
        match kind {
            Kind::Cut => write!(f, "cut")?,
            Kind::Silence => write!(f, "silence {}", stream.word())?,
            Kind::Reset => write!(f, "resets {}", stream.word())?,
            Kind::Slow { kilobytes } => write!(f, "{kilobytes} KiB/s {}", stream.word())?,
            Kind::Late { milliseconds } => write!(f, "{milliseconds} ms late {}", stream.word())?,
            Kind::Short { bytes } => write!(f, "broken off after {bytes} B {}", stream.word())?,
        }
        write!(f, " of {} at #{at} for {} ms", server.word(), lasting.as_millis())
    }
}

/// The faults of one telling of a story with these calls, in their order.
pub fn draw(calls: &[Call], seed: u64) -> Vec<Fault> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut moments = BTreeSet::new();
    while moments.len() < COUNT.min(calls.len()) {
        moments.insert(random.random_range(1..=calls.len()));
    }
    moments.into_iter().map(|at| fault(&mut random, at, &calls[at - 1])).collect()
}

fn fault(random: &mut ChaCha8Rng, at: usize, call: &Call) -> Fault {
    // As often as not the call at which it begins goes to another server: then it meets what is under way there.
    let other = SERVERS.choose(random).copied().unwrap_or(Server::Kubernetes);
    let server = if random.random_bool(0.5) { Server::of(call) } else { other };
    let kind = match random.random_range(0..6) {
        0 => Kind::Cut,
        1 => Kind::Silence,
        2 => Kind::Reset,
        3 => Kind::Slow { kilobytes: random.random_range(1..=16) },
        4 => Kind::Late { milliseconds: random.random_range(50..=1000) },
        _ => Kind::Short { bytes: random.random_range(1..=4000) },
    };
    let stream = if random.random_bool(0.5) { Stream::Up } else { Stream::Down };
    Fault { at, server, kind, stream, lasting: Duration::from_millis(random.random_range(LASTING)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calls() -> Vec<Call> {
        (0..100).map(|_| "PATCH collectives/band/status".to_owned()).collect()
    }

    #[test]
    fn a_seed_draws_the_same_faults_again_each_at_a_moment_of_its_own() {
        assert_eq!(draw(&calls(), 1), draw(&calls(), 1));
        assert_ne!(draw(&calls(), 1), draw(&calls(), 2));
        for seed in 0..200 {
            let moments: Vec<usize> = draw(&calls(), seed).iter().map(|fault| fault.at).collect();
            assert!(moments.is_sorted_by(|one, next| one < next), "{moments:?}");
            assert!(moments.len() == COUNT && moments[0] >= 1 && moments[COUNT - 1] <= 100);
        }
    }

    #[test]
    fn every_kind_of_fault_strikes_every_server() {
        let drawn: Vec<Fault> = (0..200).flat_map(|seed| draw(&calls(), seed)).collect();
        for server in SERVERS {
            let kinds: BTreeSet<String> = drawn
                .iter()
                .filter(|fault| fault.server == server)
                .map(|fault| format!("{:?}", std::mem::discriminant(&fault.kind)))
                .collect();
            assert_eq!(kinds.len(), 6, "{server:?}: {kinds:?}");
        }
    }

    #[test]
    fn a_fault_is_told_in_words() {
        let fault = Fault {
            at: 7,
            server: Server::S3,
            kind: Kind::Slow { kilobytes: 3 },
            stream: Stream::Down,
            lasting: Duration::from_millis(900),
        };
        assert_eq!(fault.to_string(), "3 KiB/s downstream of s3 at #7 for 900 ms");
    }
}

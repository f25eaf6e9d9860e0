//! Typed rows whose bytes are their memory: the exchange codec **abomonation**, opt-in, for
//! operators of one's own between processes of one generation on one machine, and for nothing else.
//!
//! The engine's own frames do not need it: they are bytes already. A stream of `Vec<T>` is written
//! field by field by serde; one of [`Abom<T>`] is copied as it lies, and what its rows own behind
//! it. The receiver copies the bytes once and lets the rows point into the copy.
//!
//! # Safety
//!
//! Whoever can give bytes to this codec can do everything that the process can (RUSTSEC-2021-0120):
//! a length, an enum or a `bool` is believed. So it reads from nobody but our own: the other
//! processes of the same generation, started by the same supervisor from the same binary on the
//! same machine, over socket pairs that no other process can open. Never from TCP, never from a
//! file, never in a release. Inside one process it is not used at all: containers are moved.
//!
//! - The feature `abomonation` is in no other feature; the build stops unless the variable
//!   `TWINFLOW_ABOMONATION` says `same-machine`, and always together with `full`.
//! - Rows are types of [`abom_row!`](crate::abom_row), which refuses what this codec of all cannot
//!   carry: padding (memory that nobody wrote would go to the other process), and what a row owns
//!   that is not made of single bytes (it would be read where it is not aligned).
//! - The bytes begin with the name, size and alignment of the row's type, so that two processes of
//!   different builds stop; that is against mistakes, not against an attacker.
//!
//! # Example
//!
//! ```
//! use timely::dataflow::{channels::pact::ExchangeCore, operators::generic::Operator};
//! use timely::container::CapacityContainerBuilder;
//! use twinflow_operators::{abom::Abom, abom_row};
//!
//! abom_row! {
//!     #[derive(Clone, Debug, PartialEq)]
//!     pub struct Level {
//!         pub tank: String,
//!         pub litres: f64,
//!     }
//! }
//!
//! // What an operator exchanges by: `ExchangeCore::<Builder, _>::new_core(by_tank)`.
//! type Builder = CapacityContainerBuilder<Abom<Level>>;
//! let by_tank = |level: &Level| level.tank.len() as u64;
//! let pact = ExchangeCore::<Builder, _>::new_core(by_tank);
//! # drop(pact);
//!
//! let rows = Abom::from(vec![Level { tank: "north".into(), litres: 7.5 }]);
//! assert_eq!(rows.rows()[0].tank, "north");
//! ```

mod codec;
mod row;

use std::io::Write;

use timely::{
    Accountable,
    bytes::arc::Bytes,
    container::{DrainContainer, PushInto, SizableContainer},
    dataflow::channels::ContainerBytes,
};

/// What a row is to the codec; made by [`abom_row!`](crate::abom_row), not by hand.
pub use abomonation::Abomonation;

use self::codec::Received;
pub use self::row::AbomRow;

/// The wall: what the feature alone does not open.
const SAID: bool = match option_env!("TWINFLOW_ABOMONATION") {
    Some(said) => matches!(said.as_bytes(), b"same-machine"),
    None => false,
};
const _: () = assert!(
    SAID,
    "the feature `abomonation` is unsound on bytes of others (RUSTSEC-2021-0120) and in no \
     release; build with TWINFLOW_ABOMONATION=same-machine if all processes that exchange rows \
     are yours, of one build and on one machine"
);

/// A container of typed rows: made here, or received and read where they lie.
#[derive(Debug)]
pub struct Abom<T: AbomRow>(Rows<T>);

#[derive(Debug)]
enum Rows<T: AbomRow> {
    Made(Vec<T>),
    Received(Received<T>),
}

impl<T: AbomRow> Abom<T> {
    /// The rows, without a copy.
    pub fn rows(&self) -> &[T] {
        match &self.0 {
            Rows::Made(rows) => rows,
            Rows::Received(rows) => rows.as_slice(),
        }
    }

    /// The rows as values of their own; received ones are copied.
    fn made(&mut self) -> &mut Vec<T> {
        if let Rows::Received(rows) = &self.0 {
            self.0 = Rows::Made(rows.as_slice().to_vec());
        }
        match &mut self.0 {
            Rows::Made(rows) => rows,
            Rows::Received(_) => unreachable!("they were made just now"),
        }
    }
}

impl<T: AbomRow> From<Vec<T>> for Abom<T> {
    fn from(rows: Vec<T>) -> Self {
        Self(Rows::Made(rows))
    }
}

impl<T: AbomRow> Default for Abom<T> {
    fn default() -> Self {
        Vec::new().into()
    }
}

impl<T: AbomRow> Clone for Abom<T> {
    fn clone(&self) -> Self {
        self.rows().to_vec().into()
    }
}

impl<T: AbomRow> Accountable for Abom<T> {
    fn record_count(&self) -> i64 {
        i64::try_from(self.rows().len()).expect("fewer rows than bytes of memory")
    }
}

impl<T: AbomRow> DrainContainer for Abom<T> {
    type Item<'a> = T;
    type DrainIter<'a> = std::vec::Drain<'a, T>;

    fn drain(&mut self) -> Self::DrainIter<'_> {
        self.made().drain(..)
    }
}

impl<T: AbomRow> SizableContainer for Abom<T> {
    fn at_capacity(&self) -> bool {
        match &self.0 {
            Rows::Made(rows) => rows.at_capacity(),
            Rows::Received(_) => true,
        }
    }

    fn ensure_capacity(&mut self, stash: &mut Option<Self>) {
        let mut spare = stash.take().and_then(|stash| match stash.0 {
            Rows::Made(rows) => Some(rows),
            Rows::Received(_) => None,
        });
        self.made().ensure_capacity(&mut spare);
        *stash = spare.map(Self::from);
    }
}

impl<T: AbomRow> PushInto<T> for Abom<T> {
    fn push_into(&mut self, row: T) {
        self.made().push(row);
    }
}

impl<T: AbomRow> ContainerBytes for Abom<T> {
    fn from_bytes(bytes: Bytes) -> Self {
        Self(Rows::Received(Received::decode(&bytes)))
    }

    fn length_in_bytes(&self) -> usize {
        codec::length(self.rows())
    }

    fn into_bytes<W: Write>(&self, writer: &mut W) {
        codec::encode(self.rows(), writer);
    }
}

#[cfg(test)]
mod tests;

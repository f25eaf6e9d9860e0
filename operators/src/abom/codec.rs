//! The bytes: `layout u64 | rows u64 | the rows as they lie | what they own | zeros up to 8`.

#![expect(unsafe_code, reason = "the codec is made of it; the walls are in the module above")]

use std::{any::type_name, io::Write, marker::PhantomData, slice};

use twinflow_connectors::route::body_hash;

use super::AbomRow;

const HEAD: usize = 16;
/// What the copy on the receiving side is made of; rows begin at a multiple of it.
type Unit = u128;

/// What two processes have to agree on to exchange these rows.
fn layout<T>() -> u64 {
    let sizes = (size_of::<T>() as u64) << 8 | align_of::<T>() as u64;
    body_hash(type_name::<T>().as_bytes()) ^ sizes
}

fn padded(length: usize) -> usize {
    length.next_multiple_of(8)
}

pub(super) fn length<T: AbomRow>(rows: &[T]) -> usize {
    padded(HEAD + size_of_val(rows) + rows.iter().map(T::extent).sum::<usize>())
}

pub(super) fn encode<T: AbomRow>(rows: &[T], writer: &mut impl Write) {
    const FULL: &str = "a slab takes all bytes";
    writer.write_all(&layout::<T>().to_le_bytes()).expect(FULL);
    writer.write_all(&(rows.len() as u64).to_le_bytes()).expect(FULL);
    // SAFETY: these are the bytes of the rows, borrowed as long, and all of them were written: a
    // row has no padding.
    let plain = unsafe { slice::from_raw_parts(rows.as_ptr().cast::<u8>(), size_of_val(rows)) };
    writer.write_all(plain).expect(FULL);
    let mut written = HEAD + plain.len();
    for row in rows {
        // SAFETY: a row owns single bytes only, which may be written as such.
        unsafe { row.entomb(writer) }.expect(FULL);
        written += row.extent();
    }
    writer.write_all(&[0; 8][..padded(written) - written]).expect(FULL);
}

/// Rows in a copy of the bytes that brought them. They point into it, so they are only lent, and
/// never dropped as values.
#[derive(Debug)]
pub(super) struct Received<T> {
    /// Its length is 0 throughout; the bytes are in its capacity.
    copy: Vec<Unit>,
    rows: usize,
    of: PhantomData<T>,
}

impl<T: AbomRow> Received<T> {
    /// Of bytes that [`encode`] made in a process of this build. Whoever else gives bytes that pass
    /// these checks can make the program do anything.
    pub(super) fn decode(bytes: &[u8]) -> Self {
        const { assert!(align_of::<T>() <= align_of::<Unit>(), "a row's alignment is too large") };
        let name = type_name::<T>();
        let word = |at: usize| {
            let word = bytes.get(at..at + 8).expect("a head of 16 bytes");
            u64::from_le_bytes(word.try_into().expect("eight bytes"))
        };
        assert!(
            word(0) == layout::<T>(),
            "rows of another type or build than '{name}' of this one"
        );
        let rows = usize::try_from(word(8)).expect("a count of rows");
        let plain = rows.checked_mul(size_of::<T>()).filter(|size| *size <= bytes.len() - HEAD);
        let plain = plain.unwrap_or_else(|| panic!("{rows} rows of '{name}' in {}", bytes.len()));

        let mut copy = Vec::<Unit>::with_capacity(bytes.len().div_ceil(size_of::<Unit>()));
        let start = copy.as_mut_ptr().cast::<u8>();
        // SAFETY: the copy has room for all bytes and is new, so they do not overlap. `HEAD` and
        // `plain` lie within it, one behind the other, so that rows and rest do not overlap.
        let (first, mut rest) = unsafe {
            start.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
            let rest = start.add(HEAD + plain);
            (start.add(HEAD), slice::from_raw_parts_mut(rest, bytes.len() - HEAD - plain))
        };
        // SAFETY: the rows begin at a multiple of `Unit` and lie within the copy. Their bytes are
        // those of valid rows of this type: a process of this build wrote them. A `String` whose
        // pointer is not restored yet is not read through.
        let lent = unsafe { slice::from_raw_parts_mut(first.cast::<T>(), rows) };
        for row in lent {
            // SAFETY: behind the rows lies what they own, in their order; a row that would reach
            // past the end gives `None`. Single bytes are aligned everywhere.
            rest = unsafe { row.exhume(rest) }
                .unwrap_or_else(|| panic!("what the rows of '{name}' own is cut off"));
        }
        Self { copy, rows, of: PhantomData }
    }

    pub(super) fn as_slice(&self) -> &[T] {
        let start = self.copy.as_ptr().cast::<u8>();
        // SAFETY: `decode` has put so many valid rows there; nobody has changed them since, and
        // what they point to is in the same copy, which lives as long as they are lent.
        unsafe { slice::from_raw_parts(start.add(HEAD).cast::<T>(), self.rows) }
    }
}
